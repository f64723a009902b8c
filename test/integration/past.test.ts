// Who had an address when: asked of the commands, of random claims and releases on a real etcd, and of what a short retention
// leaves.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { type EtcdClient, openClient } from '../../src/etcd/client.js';
import { parseAddress } from '../../src/net/address.js';
import { whoHadAt } from '../../src/ops/had.js';
import { World } from '../support/allocator-fixture.js';
import { DriverProcess } from '../support/driver-process.js';
import { entries } from '../support/etcd.js';
import { eventually, type Outcome, run } from '../support/process.js';
import { chance } from '../support/sequences.js';
import { EtcdBackend } from '../support/stores.js';

const S = '10.66.0.0/28';
const soon = () => performance.now() + 20_000;

describe('who had an address', function () {
  this.timeout(180_000);
  let backend: EtcdBackend;
  let client: EtcdClient;

  before(async () => {
    backend = await EtcdBackend.start();
    client = openClient({ endpoints: [backend.etcd.url] });
  });
  afterEach(() => backend.clear());
  after(async () => {
    client?.close();
    await backend?.close();
  });

  const command = (...args: string[]): Promise<Outcome> =>
    run(process.execPath, ['dist/main.js', ...args], { env: { ETCD_ENDPOINTS: backend.etcd.url, TZ: 'UTC' } });

  it('is answered right for 300 instants and addresses across 1,000 random claims and releases by three hosts', async () => {
    const seed = Number(process.env.ETCD_IPAM_TEST_SEED ?? Date.now() & 0x7fffffff);
    console.log(`      seed ${seed} (ETCD_IPAM_TEST_SEED repeats it)`);
    const next = chance(`past ${seed}`);
    const world = new World(backend, seed);
    world.keepMs = 600_000;
    const hosts = await Promise.all(['a', 'b', 'c'].map((node) => world.host(node)));
    const nets = await Promise.all(hosts.map((host) => host.network(S)));
    // A day passes meanwhile, by the clock that all of them read.
    const now = () => Date.now() + world.skippedWallMs;
    const began = now();
    const log: { ip: string; who: string; from: number[]; to: number[] }[] = [];
    const held = new Map<string, (typeof log)[number] & { at: number }>();
    for (let call = 0; call < 1_000; call++) {
      world.skippedWallMs += 1_000 + (next() % 170_000);
      const at = next() % hosts.length;
      const mine = [...held.values()].filter((one) => one.at === at);
      const release = mine.length > 0 && (held.size > 11 || next() % 2 === 0);
      const before = now();
      if (release) {
        const one = mine[next() % mine.length]!;
        expect(await nets[at]!.release(one.ip)).to.equal('released');
        one.to = [before, now()];
        held.delete(one.ip);
      } else if (held.size <= 11) {
        const who = `c${call}`;
        const { ip } = await nets[at]!.endpoint({ name: who });
        const one = { ip, who, from: [before, now()], to: [], at };
        log.push(one);
        held.set(ip, one);
      }
    }
    const ended = now() + 1_000;
    let [had, nobody, asked] = [0, 0, 0];
    while (asked < 300) {
      const instant = began + (next() % (ended - began));
      const ip = `10.66.0.${1 + (next() % 14)}`;
      const of = log.filter((one) => one.ip === ip);
      // The very milliseconds of a call say nothing.
      const unclear = of.some(({ from, to }) =>
        [from, to].some(([first, last]) => first !== undefined && instant >= first - 5 && instant <= last! + 5),
      );
      if (unclear) continue;
      asked++;
      const right = of.find(({ from, to }) => from[1]! < instant && (to[0] ?? ended) > instant);
      const [then] = await whoHadAt(hosts[0]!.link, parseAddress(ip), new Date(instant), soon());
      expect(
        then!.had.map(({ name }) => name),
        `${ip} at ${new Date(instant).toISOString()}`,
      ).to.deep.equal(right ? [right.who] : []);
      if (right) had++;
      else nobody++;
    }
    console.log(`      ${log.length} claims, ${log.length - held.size} releases; ${had} of 300 had a holder`);
    expect(Math.min(had, nobody)).to.be.greaterThan(20);
    // What stands and what has ended is all that there is of it: one record each.
    const told = (await entries(backend.etcd, '/etcd-ipam/history/')).length;
    expect(told).to.equal(log.length - held.size);
  });

  it('is what who says of a container that has gone, of the one that has it, and of a pool that is no more', async () => {
    const driver = await DriverProcess.start(backend.etcd.url, 'a', 4, { IPAM_HISTORY: '7d', IPAM_COOLDOWN: '0s' });
    const must = async (call: string, body: object) => {
      const { status, json, text } = await driver.client.call(`/IpamDriver.${call}`, body);
      if (status !== 200) throw new Error(text);
      return json;
    };
    const name = (value: string) => ({ 'com.docker.network.endpoint.name': value });
    try {
      const ask = { AddressSpace: 'local', Pool: S, SubPool: '', Options: {}, V6: false };
      const { PoolID } = await must('RequestPool', ask);
      const early = new Date().toISOString();
      await sleep(5);
      for (const value of ['web', 'db']) {
        await must('RequestAddress', { PoolID, Address: '10.66.0.7', Options: name(value) });
        if (value === 'web') {
          await sleep(5);
          await must('ReleaseAddress', { PoolID, Address: '10.66.0.7' });
        }
        await sleep(5);
      }
      const [past] = await entries(backend.etcd, '/etcd-ipam/history/');
      const { since, until, ...rest } = past!.value as Record<string, string>;
      expect(past!.leased).to.equal(true);
      expect(past!.key).to.match(/^\/etcd-ipam\/history\/local\/v4\/010\.066\.000\.007\/[\d:TZ.-]{24}-[0-9a-f]{16}$/);
      expect(Object.keys(rest).sort()).to.deep.equal(['how', 'join', 'kind', 'name', 'node', 'pool']);
      expect(rest).to.include({ pool: S, kind: 'endpoint', node: 'a', name: 'web', how: 'released' });

      const who = (await command('who', '10.66.0.7')).stdout;
      expect(who).to.match(
        /^10\.66\.0\.7 of 10\.66\.0\.0\/28 in local: a container\n {2}node {4}a, which is alive\n {2}name {4}db\n/,
      );
      expect(who.split('\n').at(-2)).to.equal(`  past    web on a, ${since} to ${until}, released`);
      const then = await command('who', '10.66.0.7', '--at', since!);
      expect([then.code, then.stdout]).to.deep.equal([
        0,
        `10.66.0.7 of 10.66.0.0/28 in local at ${since}:\n  web on a, ${since} to ${until}, released\n` +
          'by the clocks of the hosts, and as exact as they are\n',
      ]);
      const before = await command('who', '10.66.0.7', '--at', early, '--json');
      const [nobody] = JSON.parse(before.stdout);
      expect(before.code).to.equal(1);
      expect(nobody).to.deep.include({ space: 'local', pool: S, at: early, had: [] });
      expect(nobody.after).to.include({ name: 'web', since, until, how: 'released' });
      const today = await command('who', '10.66.0.7', '--at', new Date().toISOString(), '--json');
      expect(JSON.parse(today.stdout)[0].had.map((one: { name: string }) => one.name)).to.deep.equal(['db']);

      await must('ReleasePool', { PoolID });
      const gone = await command('who', '10.66.0.7');
      expect(gone.code).to.equal(1);
      expect(gone.stdout).to.match(
        /^10\.66\.0\.7 of 10\.66\.0\.0\/28 in local: there is no such pool any more\n {2}past {4}db on a, .* its network was removed\n {10}web on a, .* released\n$/,
      );
      expect((await command('check')).code).to.equal(0);
    } finally {
      await driver.stop();
    }
  });

  it('is known for as long as IPAM_HISTORY says, and then etcd itself forgets it; on shared leases', async () => {
    const driver = await DriverProcess.start(backend.etcd.url, 'a', 4, { IPAM_HISTORY: '2s', IPAM_COOLDOWN: '0s' });
    try {
      const body = { AddressSpace: 'local', Pool: '10.67.0.0/16', SubPool: '', Options: {}, V6: false };
      const { PoolID } = (await driver.client.call('/IpamDriver.RequestPool', body)).json!;
      const leases = async () => (await backend.etcd.ctl('lease', 'list')).trim().split('\n').length - 1;
      const before = await leases();
      for (let i = 0; i < 40; i++) {
        const { Address } = (
          await driver.client.call('/IpamDriver.RequestAddress', { PoolID, Address: '', Options: {} })
        ).json!;
        await driver.client.call('/IpamDriver.ReleaseAddress', { PoolID, Address: Address.split('/')[0] });
      }
      expect((await leases()) - before).to.be.lessThan(10);
      const told = async () => (await entries(backend.etcd, '/etcd-ipam/history/')).length;
      await eventually('all is forgotten', async () => (await told()) === 0, 60_000);
      const { Address } = (await driver.client.call('/IpamDriver.RequestAddress', { PoolID, Address: '', Options: {} }))
        .json!;
      await driver.client.call('/IpamDriver.ReleaseAddress', { PoolID, Address: Address.split('/')[0] });
      expect(await told()).to.equal(1);
    } finally {
      await driver.stop();
    }
  });

  it('one that was kept without an end is found by check, and its end is put right', async () => {
    const key = 'history/local/v4/010.066.000.007/2026-11-29T14:03:00.000Z-0123456789abcdef';
    await backend.plant(key, { pool: S, kind: 'endpoint', since: 'then', until: 'then', how: 'released' });
    await backend.plant('history/local/v4/10.66.0.7/then', {});
    const found = JSON.parse((await command('check', '--json')).stdout).findings as { kind: string; subject: string }[];
    expect(found.map(({ kind, subject }) => [kind, subject])).to.deep.equal([
      ['unleased', key],
      ['foreign-key', 'history/local/v4/10.66.0.7/then'],
    ]);
    await command('check', '--fix');
    expect(Object.keys(await backend.records())).to.deep.equal(['history/local/v4/10.66.0.7/then']);
  });

  for (const [text, why] of [
    [
      'yesterday',
      /'yesterday' is invalid for argument|option '--at <time>' argument 'yesterday' is invalid. it has to be a time/,
    ],
    ['2026-02-30', /it has to be a time/],
    ['2026-11-29 25:00', /it has to be a time/],
  ] as const)
    it(`--at '${text}' is refused in one line`, async () => {
      const { code, stderr } = await command('who', '10.66.0.7', '--at', text);
      expect(code).to.be.greaterThan(0);
      expect(stderr.split('\n')[0]).to.match(why);
    });
});
