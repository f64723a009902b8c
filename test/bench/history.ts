// What it costs to keep who had an address: the engine's release through the socket with IPAM_HISTORY and without, in turns, and
// what that leaves in etcd.
import { DriverProcess } from '../support/driver-process.js';
import { run } from '../support/process.js';
import { type Line, type Scenario, type Site, series } from './site.js';

const ROUNDS = 6;
const CALLS = 200;

interface Way {
  readonly what: string;
  readonly driver: DriverProcess;
  readonly PoolID: string;
  readonly claims: number[];
  readonly releases: number[];
  readonly wall: { claims: number; releases: number };
  bytes: number;
}

export const history: Scenario = {
  title: 'claims and releases of containers, with IPAM_HISTORY=7d and without',
  async run(site, once) {
    await using keeping = await DriverProcess.start(site.url, 'keeping', Number.POSITIVE_INFINITY, {
      IPAM_HISTORY: '7d',
    });
    const lines: Line[] = [];
    for (const inFlight of [1, 16]) {
      const ways = [await wayOf(site.driver, 'without', '10.67.0.0/16'), await wayOf(keeping, '7d', '10.68.0.0/16')];
      const calls = once ? 2 * inFlight : CALLS + 10 * inFlight;
      if (!once) for (const way of ways) await both(site, way, calls, inFlight); // warm
      for (const way of ways) clear(way);
      for (let round = 0; round < (once ? 1 : ROUNDS); round++)
        for (const way of ways) await both(site, way, calls, inFlight);
      lines.push(...ways.flatMap((way) => linesOf(way, inFlight)));
      for (const { driver, PoolID } of ways) await must(driver, 'ReleasePool', { PoolID });
    }
    const { records, bytes } = await kept(site);
    if (records === 0) throw new Error('nothing was kept');
    return lines.map((line, i) =>
      i === 3
        ? { ...line, remark: `${line.remark}; ${Math.round(bytes / records)} bytes of key and value a record` }
        : line,
    );
  },
};

async function both(site: Site, way: Way, calls: number, inFlight: number): Promise<void> {
  const given: string[] = [];
  const Options = { 'com.docker.network.endpoint.name': 'web.1.w8hz5ppl0f' };
  const { driver, PoolID } = way;
  const before = await inUse(site);
  way.wall.claims += await series(calls, inFlight, way.claims, async () => {
    given.push((await must(driver, 'RequestAddress', { PoolID, Address: '', Options })).Address.split('/')[0]);
  });
  way.wall.releases += await series(calls, inFlight, way.releases, () =>
    must(driver, 'ReleaseAddress', { PoolID, Address: given.pop() }),
  );
  way.bytes += (await inUse(site)) - before;
}

function linesOf(way: Way, inFlight: number): Line[] {
  const { what, claims, releases, wall, bytes } = way;
  const remark = `etcd grew by ${Math.round(bytes / releases.length)} bytes for each container`;
  return [
    { what: `RequestAddress, ${what}`, inFlight, samples: claims, wall: wall.claims },
    { what: `ReleaseAddress, ${what}`, inFlight, samples: releases, wall: wall.releases, remark },
  ];
}

async function wayOf(driver: DriverProcess, what: string, Pool: string): Promise<Way> {
  const { PoolID } = await must(driver, 'RequestPool', { AddressSpace: 'local', Pool, SubPool: '', Options: {} });
  return { what, driver, PoolID, claims: [], releases: [], wall: { claims: 0, releases: 0 }, bytes: 0 };
}

function clear(way: Way): void {
  way.claims.length = way.releases.length = 0;
  way.wall.claims = way.wall.releases = way.bytes = 0;
}

// biome-ignore lint/suspicious/noExplicitAny: who calls says what he expects of it
async function must({ client }: DriverProcess, call: string, body: object): Promise<any> {
  const { status, json, text } = await client.call(`/IpamDriver.${call}`, body);
  if (status !== 200) throw new Error(`${call}: ${text}`);
  return json;
}

/** Uncompacted, as between two compactions. */
async function inUse({ url }: Site): Promise<number> {
  const { stdout } = await run('etcdctl', [`--endpoints=${url}`, 'endpoint', 'status', '-w', 'json'], {
    env: { PATH: process.env.PATH, ETCDCTL_API: '3' },
  });
  return JSON.parse(stdout)[0].Status.dbSizeInUse;
}

async function kept({ etcd }: Site): Promise<{ records: number; bytes: number }> {
  const range = { key: Buffer.from('/etcd-ipam/history/'), range_end: Buffer.from('/etcd-ipam/history0') };
  const reply = await etcd.read({ success: [{ request_range: range }] }, performance.now() + 30_000);
  const { kvs } = reply.responses[0]!.response_range;
  return { records: kvs.length, bytes: kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0) };
}
