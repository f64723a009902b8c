// What every measurement stands on: a fresh etcd that writes to a disk, a driver as operators run it, and the arithmetic of
// samples. Refuses to know what is measured.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EtcdClient, openClient } from '../../src/etcd/client.js';
import { DriverProcess } from '../support/driver-process.js';
import { freePorts } from '../support/etcd.js';
import { eventually } from '../support/process.js';
import { Look } from '../support/whole-driver.js';

export interface Site extends AsyncDisposable {
  /** The client that the driver itself uses, in the measuring process. */
  readonly etcd: EtcdClient;
  readonly look: Look;
  readonly driver: DriverProcess;
  readonly etcdVersion: string;
  readonly url: string;
  /** The reply's body; a refusal rejects with its text. */
  // biome-ignore lint/suspicious/noExplicitAny: who calls says what he expects of it
  must(call: string, body: object): Promise<any>;
}

/** One line of the printed table. */
export interface Line {
  readonly what: string;
  readonly inFlight: number;
  /** Milliseconds of single calls. */
  readonly samples: readonly number[];
  /** Milliseconds that all of them took together. */
  readonly wall: number;
  /** Printed behind the numbers. */
  readonly remark?: string;
}

export interface Scenario {
  readonly title: string;
  /** `once`: as few calls as show that it works. */
  run(site: Site, once: boolean): Promise<Line[]>;
}

export async function openSite(): Promise<Site> {
  const directory = await mkdtemp(join(tmpdir(), 'bench-'));
  const [port, peerPort] = (await freePorts(2)) as [number, number];
  const url = `http://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const member = spawn(
    'etcd',
    [
      ...['--name', 'one', '--data-dir', join(directory, 'data'), '--log-level', 'error'],
      ...['--listen-client-urls', url, '--advertise-client-urls', url],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `one=${peer}`],
    ],
    { stdio: 'ignore' },
  );
  const etcd = openClient({ endpoints: [url] });
  const look = new Look(url);
  const soon = () => performance.now() + 2_000;
  const etcdVersion = await eventually('etcd answers', () => etcd.version(soon()).catch(() => undefined), 20_000);
  const driver = await DriverProcess.start(url, 'bench', Number.POSITIVE_INFINITY);
  return {
    ...{ etcd, look, driver, etcdVersion, url },
    async must(call, body) {
      const { status, json, text } = await driver.client.call(`/IpamDriver.${call}`, body);
      if (status !== 200) throw new Error(`${call}: ${text}`);
      return json;
    },
    async [Symbol.asyncDispose]() {
      await driver.stop();
      look.close();
      etcd.close();
      const ended = once(member, 'exit');
      member.kill('SIGKILL');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** `count` calls, `inFlight` at a time; what each took is added to the samples. Resolves with what all took together. */
export async function series(
  count: number,
  inFlight: number,
  samples: number[],
  call: () => Promise<unknown>,
): Promise<number> {
  let left = count;
  const started = performance.now();
  const worker = async () => {
    while (left-- > 0) {
      const begun = performance.now();
      await call();
      samples.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return performance.now() - started;
}

/** The value below which that part of the samples lies. */
export function quantile(samples: readonly number[], part: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}
