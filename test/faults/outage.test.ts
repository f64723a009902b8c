// etcd gone altogether, killed or frozen: how fast calls learn of it, that releases are taken all the same, and that
// everything is finished once it is back. The figures are printed.
import { expect } from 'chai';
import { ClaimLog } from '../support/claim-log.js';
import { DriverProcess } from '../support/driver-process.js';
import { entries } from '../support/etcd.js';
import { EtcdMembers } from '../support/etcd-members.js';
import { Load } from '../support/load.js';
import { eventually, sleep } from '../support/process.js';

const DEADLINE_MS = 5_000;
/** A process waits so long for an etcd that may start beside it. */
const START_WINDOW_MS = 15_000;
const SLACK_MS = 1_000;
const AT_ONCE_MS = 100;
const CLAIMS = '/etcd-ipam/claims/';
const SUBNET = '10.67.0.0/24';

type Body = Record<string, unknown>;

async function timed(driver: DriverProcess, call: string, body: Body) {
  const asked = performance.now();
  const { status, text, json } = await driver.client.call(`/IpamDriver.${call}`, body);
  return { ms: performance.now() - asked, status, text, json };
}

const seconds = (ms: number) => `${(ms / 1_000).toFixed(2)} s`;
const best = (all: readonly { ms: number }[]) => Math.min(...all.map(({ ms }) => ms));
const askPool = { AddressSpace: 'local', Pool: SUBNET, SubPool: '', Options: {}, V6: false };

describe('etcd gone altogether', function () {
  this.timeout(300_000);
  let etcd: EtcdMembers;

  beforeEach(async () => {
    etcd = await EtcdMembers.start();
  });
  afterEach(() => etcd?.[Symbol.asyncDispose]());

  const FAULTS = {
    'killed for 60 s': [60_000, () => etcd.kill(0, 1, 2), () => etcd.restart(0, 1, 2)],
    'frozen for 20 s': [20_000, () => etcd.freeze(0, 1, 2), () => etcd.thaw(0, 1, 2)],
  } as const;

  for (const [name, [lasting, begin, end]] of Object.entries(FAULTS))
    it(`${name}: the first error comes within the deadline, then all at once, and everything is finished afterwards`, async () => {
      const log = await ClaimLog.start(etcd, CLAIMS);
      await using load = await Load.start({ drivers: 2, callers: 8, etcd: () => etcd.url });
      const [driver] = load.drivers as [DriverProcess];
      const { PoolID } = (await timed(driver, 'RequestPool', askPool)).json;
      const ask = { PoolID, Address: '', Options: null };
      const held: string[] = [];
      for (let nth = 0; nth < 20; nth++)
        held.push((await timed(driver, 'RequestAddress', ask)).json.Address.split('/')[0]);
      // Before that calls wait longer, on purpose.
      await sleep(START_WINDOW_MS);

      const since = performance.now();
      await begin();
      const first = await timed(driver, 'RequestAddress', ask);
      expect(first.status, first.text).to.equal(500);
      expect(first.text).to.match(/etcd at .* is not reachable|etcd at .* did not answer in time/);
      await eventually('the outage is known', async () => (await timed(driver, 'RequestAddress', ask)).ms < 1_000);

      const requests = [];
      for (let nth = 0; nth < 20; nth++) requests.push(await timed(driver, 'RequestAddress', ask));
      expect(requests.map(({ status }) => status)).to.not.include(200);
      const releases = [];
      for (const Address of held) releases.push(await timed(driver, 'ReleaseAddress', { PoolID, Address }));
      releases.push(await timed(driver, 'ReleasePool', { PoolID }));
      expect(releases.map(({ text }) => text)).to.deep.equal(releases.map(() => '{}'));

      await sleep(lasting - (performance.now() - since));
      await end();
      await etcd.whole();
      const back = performance.now();
      await load.everyoneGrants();
      const again = performance.now() - back;
      await load.stop();
      await eventually('all is free', async () => (await entries(etcd, CLAIMS)).length === 0, 60_000);
      console.log(
        `      fault: etcd ${name}: first error after ${seconds(first.ms)}, then after ${seconds(best(requests))} ` +
          `(${requests.length} in a row), releases answered after ${seconds(best(releases))}; ` +
          `all drivers grant ${seconds(again)} after its return`,
      );
      expect(first.ms).to.be.lessThan(DEADLINE_MS + SLACK_MS + load.lateness(since));
      expect(best(requests)).to.be.lessThan(AT_ONCE_MS);
      expect(best(releases)).to.be.lessThan(AT_ONCE_MS);
      expect(load.longestCall).to.be.lessThan(DEADLINE_MS + SLACK_MS + load.lateness(since));
      const nodes = (await entries(etcd, '/etcd-ipam/sessions/')).map(({ key }) => key.split('/')[3]);
      expect(nodes).to.deep.equal(['node-0', 'node-1']);
      const pools = (await entries(etcd, '/etcd-ipam/pools/')).map(({ key }) => key);
      expect(pools, 'the pool that was given back meanwhile is gone').to.deep.equal([
        '/etcd-ipam/pools/local/v4/010.066.000.000-22',
      ]);
      expect(load.twice).to.deep.equal([]);
      await log.tenures();
    });

  for (const [name, begin, end] of [
    ['down', () => etcd.kill(0, 1, 2), () => etcd.restart(0, 1, 2)],
    ['frozen', () => etcd.freeze(0, 1, 2), () => etcd.thaw(0, 1, 2)],
  ] as const)
    it(`an engine that starts with 50 stale endpoints, a plugin as young as it and etcd ${name} has given them back within 10 s`, async () => {
      const stale: string[] = [];
      let PoolID = '';
      {
        await using before = await DriverProcess.start(etcd.url, 'web', 1);
        PoolID = (await timed(before, 'RequestPool', askPool)).json.PoolID;
        const named = (nth: number) => ({ 'com.docker.network.endpoint.name': `c${nth}` });
        for (let nth = 0; nth < 50; nth++) {
          const ask = { PoolID, Address: '', Options: named(nth) };
          stale.push((await timed(before, 'RequestAddress', ask)).json.Address.split('/')[0]);
        }
      }
      await begin();
      await using driver = await DriverProcess.start(etcd.url, 'web', 1, {}, 'listening');
      const started = performance.now();
      const releases = [];
      for (const Address of stale) releases.push(await timed(driver, 'ReleaseAddress', { PoolID, Address }));
      const given = performance.now() - started;
      expect(releases.map(({ text }) => text)).to.deep.equal(stale.map(() => '{}'));
      // What restarts with the engine waits for etcd until the plugin is 15 s old, all of it together.
      for (const Address of ['10.67.0.9', '', '', ''])
        expect((await timed(driver, 'RequestAddress', { PoolID, Address, Options: null })).status).to.equal(500);
      const all = performance.now() - started;
      console.log(
        `      fault: etcd ${name} while an engine starts: 50 releases took ${seconds(given)}, with four requests ${seconds(all)}`,
      );
      expect(given).to.be.lessThan(10_000);
      expect(all).to.be.lessThan(START_WINDOW_MS + 10_000);

      await end();
      await etcd.whole();
      const free = async () => (await entries(etcd, CLAIMS)).length === 0;
      await eventually('all 50 are free', free, 60_000);
    });
});
