// How far one etcd goes: what single things cost it, measured with the driver's own code, 500 hosts that are simulated in one
// process, and what 1,000 hosts with 100 containers each come to by that.
import { claimsOf } from '../../src/ipam/keyspace.js';
import { readNodes } from '../../src/ipam/nodes.js';
import { all } from '../../src/ipam/pages.js';
import { parsePrefix } from '../../src/net/prefix.js';
import { eventually, sleep } from '../support/process.js';
import { type Costs, costsSoFar, perCall, residentMb } from './costs.js';
import type { Unit, Units } from './hosts-model.js';
import { tableOfLoads } from './hosts-table.js';
import { SimulatedHost } from './simulated-host.js';
import type { Scale, Scenario, Site } from './site.js';
import type { Line } from './turns.js';

const HOSTS = 500;
const CLAIMS_EACH = 20;
const CALLS = 3_000;
const IDLE_MS = 120_000;
/** So that the end of rests can be waited for. */
const COOLDOWN = '5s';
const POOL = '10.64.0.0/12';
const NAME = { 'com.docker.network.endpoint.name': 'web.1.w8hz5ppl0f' };

export const hosts: Scenario = {
  title: `${HOSTS} hosts in one process, what things cost etcd, and what 1,000 hosts with 100 containers each come to`,
  async run(site, scale) {
    await site.driver.stop();
    const lines: Line[] = [];
    const note = (what: string, measured: Measured, remark = '') => {
      lines.push({
        ...NOTHING,
        what,
        calls: measured.times,
        costs: measured.costs,
        remark: [worded(measured.unit), remark].filter(Boolean).join('; '),
      });
      return measured.unit;
    };
    const one = await oneHost(site, scale, note);
    const many = await manyHosts(site, scale, note);
    // A few calls say nothing of what one costs.
    if (!scale.once) console.log(tableOfLoads({ ...one, ...many }));
    return lines;
  },
};

const NOTHING = { inFlight: 1, median: Number.NaN, p99: Number.NaN, perSecond: Number.NaN };

interface Measured {
  readonly times: number;
  readonly unit: Unit;
  readonly costs: Costs;
}

type OfMany = Pick<Units, 'hostMinute' | 'claimAtOnce' | 'nodeRead' | 'claimRead'>;

type Note = (what: string, measured: Measured, remark?: string) => Unit;

/** What it costs where nobody else's transactions share etcd's work: the dearest that it can be. */
async function oneHost(site: Site, { once }: Scale, note: Note): Promise<Omit<Units, keyof OfMany>> {
  const driver = await site.another('one', 'session alive', {
    IPAM_COOLDOWN: once ? '2s' : COOLDOWN,
    IPAM_HISTORY: '7d',
  });
  const { PoolID } = await driver.must('RequestPool', {
    AddressSpace: 'local',
    Pool: '10.66.0.0/16',
    SubPool: '',
    Options: {},
  });
  const calls = once ? 20 : CALLS;
  const given: string[] = [];
  const empty = await databaseBytes(site);
  const claim = await measured(site, calls, async () => {
    for (let i = 0; i < calls; i++)
      given.push((await driver.must('RequestAddress', { PoolID, Address: '', Options: NAME })).Address.split('/')[0]);
  });
  await compacted(site);
  const keptClaim = ((await databaseBytes(site)) - empty) / calls;
  const release = await measured(site, calls, async () => {
    for (const Address of given) await driver.must('ReleaseAddress', { PoolID, Address });
  });
  const restEnd = await measured(site, calls, () =>
    eventually('all have rested', async () => (await site.look.count('claims/')) === 0, 60_000),
  );
  await compacted(site);
  const keptTenure = ((await databaseBytes(site)) - empty) / calls;
  const leases = once ? 10 : 1_000;
  const lease = await measured(site, leases, async () => {
    for (let i = 0; i < leases; i++) {
      const by = performance.now() + 10_000;
      await site.etcd.revoke((await site.etcd.grant(60, by)).id, by);
    }
  });
  const { id } = await site.etcd.grant(60, performance.now() + 10_000);
  const keepalive = await measured(site, leases, async () => {
    for (let i = 0; i < leases; i++) await site.etcd.keepAlive(id, performance.now() + 10_000);
  });
  await driver.must('ReleasePool', { PoolID });
  await driver.stop();
  return {
    claim: note('RequestAddress', claim, `${keptClaim.toFixed(0)} bytes once compacted`),
    release: note('ReleaseAddress, with rest and past', release),
    restEnd: note('end of a rest', restEnd, `${keptTenure.toFixed(0)} bytes of the past once compacted`),
    lease: note('lease granted and ended', lease),
    keepalive: note('keepalive', keepalive),
    keptClaim,
    keptTenure,
  };
}

async function manyHosts(site: Site, { once }: Scale, note: Note): Promise<OfMany> {
  const count = once ? 5 : HOSTS;
  const simulated: SimulatedHost[] = [];
  const inside = { ...site, driverPids: [process.pid], etcdPid: site.etcdPid, url: site.url };
  note(
    'session begun',
    await measured(inside, count, async () => {
      for (let i = 0; i < count; i++) simulated.push(new SimulatedHost(site.url, i));
      await Promise.all(simulated.map((host) => host.alive()));
    }),
  );
  const minutes = (once ? 1_000 : IDLE_MS) / 60_000;
  await sleep(once ? 0 : 15_000);
  const idle = await measured(inside, count * minutes, () => sleep(minutes * 60_000));
  const { etcdUs, driverUs } = idle.costs;
  const cores = (us: number) => `${((us * count) / 60e6).toFixed(3)} cores`;
  const hostMinute = note(
    `minute of ${count} idle hosts, of each`,
    idle,
    `all of them: etcd ${cores(etcdUs)} and ${residentMb(site.etcdPid).toFixed(0)} MB, their process ${cores(driverUs)}`,
  );
  const survey = await measured(inside, 5 * count, async () => {
    for (let i = 0; i < 5; i++) await readNodes(simulated[i]!.store, performance.now() + 10_000);
  });
  const prefix = parsePrefix(POOL);
  for (const host of simulated) await host.join(prefix);
  const each = once ? 2 : CLAIMS_EACH;
  const started = performance.now();
  const start = await measured(inside, count * each, () =>
    Promise.all(
      simulated.map(async (host) => {
        for (let i = 0; i < each; i++) await host.claim();
      }),
    ),
  );
  const seconds = (performance.now() - started) / 1_000;
  const tried = simulated.reduce((sum, host) => sum + host.tried, 0) / (count * each);
  const claims = await site.look.count('claims/');
  if (claims !== count * each) throw new Error(`${count * each} addresses given, ${claims} claims in etcd`);
  const claimAtOnce = note(
    `claim, ${count} hosts at once on one pool`,
    start,
    `${((count * each) / seconds).toFixed(0)} a second, ${tried.toFixed(3)} tried a grant`,
  );
  const read = await measured(inside, count * each, async () => {
    for await (const _ of all(simulated[0]!.store, claimsOf({ space: 'local', prefix }), performance.now() + 30_000));
  });
  note(
    `release, ${count} hosts at once`,
    await measured(inside, count * each, () =>
      Promise.all(
        simulated.map(async (host) => {
          while (await host.release());
        }),
      ),
    ),
  );
  for (const host of simulated) await host.stop();
  return {
    hostMinute,
    claimAtOnce,
    nodeRead: note('node read for metrics', survey),
    claimRead: note('claim read for reconciliation', read),
  };
}

async function measured(
  site: Parameters<typeof costsSoFar>[0],
  times: number,
  act: () => Promise<unknown>,
): Promise<Measured> {
  const [before, counted] = [await costsSoFar(site), await countersOf(site)];
  await act();
  const costs = perCall(before, await costsSoFar(site), times);
  const after = await countersOf(site);
  const unit = {
    etcdUs: costs.etcdUs,
    bytes: costs.bytes,
    commits: (after.commits - counted.commits) / times,
    dbBytes: (after.dbBytes - counted.dbBytes) / times,
  };
  return { times: Math.round(times), unit, costs };
}

async function countersOf({ url }: Pick<Site, 'url'>): Promise<{ commits: number; dbBytes: number }> {
  // What was written is in the database after a tenth of a second.
  await sleep(300);
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  return {
    commits: value('etcd_server_proposals_committed_total'),
    dbBytes: value('etcd_mvcc_db_total_size_in_use_in_bytes'),
  };
}

async function databaseBytes(site: Site): Promise<number> {
  return (await countersOf(site)).dbBytes;
}

/** All that was overwritten or removed is gone from the database. */
async function compacted({ url, etcd }: Site): Promise<void> {
  const { header } = await etcd.read(
    { success: [{ request_range: { key: Buffer.from('\0') } }] },
    performance.now() + 10_000,
  );
  const body = JSON.stringify({ revision: header.revision, physical: true });
  const reply = await fetch(`${url}/v3/kv/compaction`, { method: 'POST', body });
  if (!reply.ok) throw new Error(`etcd did not compact: ${await reply.text()}`);
}

function worded({ commits, dbBytes }: Unit): string {
  return `${commits.toFixed(2)} commits, database + ${dbBytes.toFixed(0)} bytes`;
}
