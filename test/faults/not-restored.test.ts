// What befalls an etcd of three members every week, with a driver at each and calls under way: none of it looks like a restore.
// A restore does.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openClient } from '../../src/etcd/client.js';
import { SessionKeeper } from '../../src/etcd/session.js';
import { EtcdStore } from '../../src/etcd/store.js';
import { refusal } from '../support/allocator-fixture.js';
import { keyspace } from '../support/etcd.js';
import { EtcdMembers } from '../support/etcd-members.js';
import { eventually, sleep } from '../support/process.js';
import { TcpProxy } from '../support/proxy.js';
import { Serving } from '../support/serving.js';

const MARK = '/etcd-ipam/restored';
const WITHIN_MS = 60_000;

describe('three members of an etcd and the drivers at them', function () {
  this.timeout(240_000);
  let etcd: EtcdMembers;
  let directory: string;
  const drivers: Serving[] = [];
  const granted = [0, 0, 0];
  const refused = [0, 0, 0];
  let over = false;
  const busy: Promise<void>[] = [];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'restored-'));
    etcd = await EtcdMembers.start();
    for (const [i, url] of etcd.url.split(',').entries()) {
      const driver = await Serving.start(url, `node-${i}`, { IPAM_SESSION_TTL: '5s' });
      drivers.push(driver);
      const pool = await driver.pool('10.66.0.0/16');
      for (let caller = 0; caller < 4; caller++) busy.push(call(driver, i, pool));
    }
  });
  after(async () => {
    over = true;
    await Promise.all(busy);
    for (const driver of drivers) await driver[Symbol.asyncDispose]();
    await etcd?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  async function call(driver: Serving, i: number, pool: string): Promise<void> {
    while (!over) {
      const ip = await driver.address(pool, 'web').catch(() => undefined);
      if (!ip) {
        refused[i]!++;
        await sleep(50);
      } else {
        granted[i]!++;
        await driver.must('ReleaseAddress', { PoolID: pool, Address: ip });
      }
    }
  }

  async function everyoneGrants(): Promise<void> {
    const before = [...granted];
    await eventually('every driver grants', () => granted.every((count, i) => count > before[i]! + 20), WITHIN_MS);
  }

  const mark = async () => (await keyspace(etcd, MARK))[MARK];
  const alarms = () => drivers.flatMap(({ log }) => log.filter((line) => line.includes('restored')));

  const weather: Record<string, () => Promise<void>> = {
    'the leader passes on its office': async () => void (await etcd.moveLeader()),
    'the leader is killed and comes back': async () => {
      const leader = await etcd.leader();
      await etcd.kill(leader);
      await etcd.leader();
      await etcd.restart(leader);
    },
    'a member freezes while the others go on': async () => {
      const follower = await etcd.follower();
      etcd.freeze(follower);
      await goOn(follower);
      etcd.thaw(follower);
    },
    'a member is cut off from the others, and has to catch up': async () => {
      const follower = await etcd.follower();
      etcd.cut(follower);
      await goOn(follower);
      etcd.heal();
    },
    'all are killed at once': () => etcd.restart(0, 1, 2),
    'it is compacted': () => etcd.compact(),
  };

  async function goOn(without: number): Promise<void> {
    const before = [...granted];
    const others = [0, 1, 2].filter((i) => i !== without);
    await eventually('the others grant', () => others.every((i) => granted[i]! > before[i]! + 100), WITHIN_MS);
  }

  for (const [what, happen] of Object.entries(weather)) {
    it(`${what}: nobody takes it for restored`, async () => {
      await everyoneGrants();
      await happen();
      await etcd.whole();
      await everyoneGrants();
      expect(await mark()).to.equal(undefined);
      expect(alarms()).to.deep.equal([]);
    });
  }

  /** etcd counts a transaction without operations as a serializable one (isTxnSerializable in its v3_server.go). */
  it('a member that is behind answers who asks for nothing: that is no sign, and the store asks for something', async () => {
    const behind = await etcd.follower();
    const urls = etcd.url.split(',');
    const ahead = await TcpProxy.to(urls[(behind + 1) % 3]!);
    const client = openClient({ endpoints: [ahead.url, urls[behind]!] });
    const breaks: string[] = [];
    client.history.onBreak(({ what }) => breaks.push(what));
    const identity = { node: 'nobody', instance: 'i1', machine: 'm', boot: 'b' };
    const session = new SessionKeeper(client, { ...identity, prefix: '/etcd-ipam/', ttl: 10, report: () => undefined });
    const store = new EtcdStore(client, session, '/etcd-ipam/');
    try {
      etcd.cut(behind);
      await goOn(behind);
      await client.read({ success: [{ request_range: { key: Buffer.from('k') } }] }, performance.now() + 5_000);
      ahead.pause();
      const { header } = await client.read({ success: [] }, performance.now() + 5_000);
      expect(breaks).to.deep.equal([]);
      expect(Number(header.revision)).to.be.below(Number(client.history.seen()));
      expect(await refusal(store.read([], performance.now() + 3_000))).to.match(/is not reachable/);
    } finally {
      store.close();
      client.close();
      await ahead.close();
      etcd.heal();
    }
    await etcd.whole();
  });

  it('it is restored from a snapshot: everybody notices, and nobody grants', async () => {
    await everyoneGrants();
    const file = join(directory, 'snapshot');
    await etcd.snapshot(file);
    await everyoneGrants();
    await etcd.restore(file);
    await eventually('the mark stands', mark, WITHIN_MS);
    await eventually(
      'all say so',
      () => drivers.every(({ log }) => log.some((line) => /^etcd was restored/.test(line))),
      WITHIN_MS,
    );
    const [before, already] = [[...granted], [...refused]];
    await eventually(
      'all are refused, again and again',
      () => refused.every((count, i) => count > already[i]! + 20),
      WITHIN_MS,
    );
    expect(granted).to.deep.equal(before);
  });
});
