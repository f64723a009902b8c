// What every measurement stands on: a fresh etcd that writes to a disk, and drivers as operators run them. Refuses to know
// what is measured.
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
import { Callers } from './caller.js';
import type { Counted } from './costs.js';
import type { Line } from './turns.js';

export interface Site extends Counted, AsyncDisposable {
  /** The client that the driver itself uses, in the measuring process. */
  readonly etcd: EtcdClient;
  readonly look: Look;
  readonly driver: Driver;
  readonly etcdVersion: string;
  /** The first driver's reply; a refusal rejects with its text. */
  readonly must: Callers['must'];
  readonly url: string;
  /** One more driver, which ends with the site or before. */
  another(node: string, ready?: 'session alive' | 'listening', env?: Record<string, string>): Promise<Driver>;
}

export interface Driver {
  readonly process: DriverProcess;
  readonly must: Callers['must'];
  stop(): Promise<void>;
}

export interface Scale {
  /** As few calls as show that it works. */
  readonly once: boolean;
  /** The most claims that are put into a pool by hand. */
  readonly size: number;
}

export interface Scenario {
  readonly title: string;
  run(site: Site, scale: Scale): Promise<Line[]>;
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
      // Some layouts of others need it.
      ...['--max-request-bytes', String(16 << 20)],
      ...['--listen-client-urls', url, '--advertise-client-urls', url],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `one=${peer}`],
    ],
    { stdio: 'ignore' },
  );
  const gone = once(member, 'exit');
  const etcd = openClient({ endpoints: [url], attemptMs: 10_000 });
  const look = new Look(url);
  const soon = () => performance.now() + 2_000;
  const drivers = new Set<Driver>();
  const another: Site['another'] = async (node, ready = 'session alive', env = {}) => {
    const started = await DriverProcess.start(url, node, 1, { IPAM_DEADLINE: '30s', ...env }, ready);
    const callers = new Callers(started.socket);
    const driver: Driver = {
      process: started,
      must: (call, body) => callers.must(call, body),
      async stop() {
        drivers.delete(driver);
        callers.close();
        await started.stop();
      },
    };
    drivers.add(driver);
    return driver;
  };
  const end = async () => {
    for (const one of drivers) await one.stop();
    look.close();
    etcd.close();
    member.kill('SIGKILL');
    await gone;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const etcdVersion = await eventually('etcd answers', () => etcd.version(soon()).catch(() => undefined), 20_000);
    const driver = await another('bench');
    return {
      ...{ etcd, look, driver, etcdVersion, url, another, etcdPid: member.pid!, must: driver.must },
      get driverPids() {
        return [...drivers].map(({ process }) => process.pid);
      },
      [Symbol.asyncDispose]: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}
