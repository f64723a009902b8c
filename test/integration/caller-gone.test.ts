// Callers that leave before they are answered, and those that ask again with nothing in hand: no address is held by
// nobody. A proxy makes etcd slow to answer.
import { expect } from 'chai';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { tableOf } from '../support/oracle.js';
import { eventually, sleep } from '../support/process.js';
import { TcpProxy } from '../support/proxy.js';
import { AS, Look, WholeDriver } from '../support/whole-driver.js';

const SUBNET = '10.66.0.0/24';

interface Departure {
  readonly title: string;
  readonly call: 'RequestAddress' | 'RequestPool';
  /** Transactions it takes; the last one grants. */
  readonly writes: number;
  /** What there is before; the PoolID that the call names, if any. */
  prepare(web: WholeDriver, db: WholeDriver): Promise<string>;
  body(poolId: string): object;
}

function address(
  ...[title, Address, Options, writes, prepare]: [string, string, object | null, number, Departure['prepare']]
): Departure {
  return { title, call: 'RequestAddress', writes, prepare, body: (PoolID) => ({ PoolID, Address, Options }) };
}

const mine = (web: WholeDriver) => web.pool(SUBNET);

const DEPARTURES: readonly Departure[] = [
  address('a dynamic address', '', null, 1, mine),
  address('a static address', '10.66.0.9', AS.named('web.1'), 1, mine),
  address('an address without a name', '10.66.0.9', null, 1, mine),
  address('a first gateway', '', AS.gateway, 1, mine),
  address('a gateway that others hold', '10.66.0.1', AS.gateway, 2, async (web, db) => {
    await db.address(await db.pool(SUBNET), '', AS.gateway);
    return web.pool(SUBNET);
  }),
  address('an address that the same name holds', '10.66.0.9', AS.named('web.1'), 2, async (web) => {
    const pool = await web.pool(SUBNET);
    await web.address(pool, '10.66.0.9', AS.named('web.1'));
    return pool;
  }),
  {
    title: 'a new pool',
    call: 'RequestPool',
    writes: 1,
    prepare: async () => '',
    body: () => ({ AddressSpace: 'local', Pool: SUBNET, SubPool: '', Options: {}, V6: false }),
  },
  {
    title: 'a pool that others joined',
    call: 'RequestPool',
    writes: 1,
    prepare: async (_, db) => {
      await db.pool(SUBNET);
      return '';
    },
    body: () => ({ AddressSpace: 'local', Pool: SUBNET, SubPool: '', Options: {}, V6: false }),
  },
  {
    title: 'a predefined pool',
    call: 'RequestPool',
    writes: 1,
    prepare: async () => '',
    body: () => ({ AddressSpace: 'local', Pool: '', SubPool: '', Options: {}, V6: false }),
  },
];

describe('a caller who has gone', () => {
  let etcd: EtcdFixture;
  let look: Look;
  let proxy: TcpProxy;
  let web: WholeDriver;
  let db: WholeDriver;

  /** Without what an undo may leave: the gateway that a pool remembers. */
  const records = async () => tableOf(await look.keyspace()).map((line) => line.replace(/ gateway=.*/, ''));

  before(async () => {
    etcd = await startEtcd();
    look = new Look(etcd.url);
  });
  after(async () => {
    look?.close();
    await etcd?.stop();
  });
  beforeEach(async () => {
    proxy = await TcpProxy.to(etcd.url);
    web = await WholeDriver.start({ etcd: proxy.url, pools: '10.9.0.0/27/29' });
    db = await WholeDriver.start({ etcd: etcd.url, node: 'db' });
    await Promise.all([web, db].map((one) => one.session.current(performance.now() + 5_000)));
  });
  afterEach(async () => {
    proxy.resume();
    await web.stop();
    await db.stop();
    await proxy.close();
    await look.clear();
  });

  for (const { title, call, writes, prepare, body } of DEPARTURES) {
    it(`leaves while etcd has granted ${title} and not yet answered: 2 s later there is nothing of it`, async () => {
      const poolId = await prepare(web, db);
      const before = await records();
      const at = await look.revision();
      const engine = new AbortController();
      // Whatever comes first is answered; the last transaction is executed, and its answer held.
      let count = 0;
      web.beforeWrite = () => {
        if (++count === writes) proxy.swallowReplies();
      };
      const answer = web.call(call, body(poolId), { signal: engine.signal }).then(
        () => 'answered',
        () => 'gone',
      );
      await eventually('etcd shows the commit', async () => (await look.revision()) !== at, 3_000, 10);
      engine.abort();
      expect(await answer).to.equal('gone');
      web.beforeWrite = () => undefined;
      proxy.resume();
      await eventually(
        'the driver saw it',
        () => web.events.some(({ outcome }) => outcome === 'undelivered'),
        2_000,
        5,
      );
      await eventually('the undo', async () => (await records()).join() === before.join(), 2_000, 10).catch(
        () => undefined,
      );
      expect(await records()).to.deep.equal(before);
      expect(web.told.at(-1)).to.include({ call, outcome: 'undone' });
      expect(web.faults).to.deep.equal([]);
    });
  }

  it('leaves before its request has reached etcd: nothing is granted', async () => {
    const poolId = await web.pool(SUBNET);
    const before = await records();
    proxy.pause();
    const engine = new AbortController();
    const body = { PoolID: poolId, Address: '', Options: null };
    const answer = web.call('RequestAddress', body, { signal: engine.signal }).catch(() => 'gone');
    await sleep(100);
    engine.abort();
    expect(await answer).to.equal('gone');
    proxy.resume();
    await eventually('the driver saw it', () => web.events.some(({ outcome }) => outcome === 'undelivered'));
    await eventually('the undo', () => web.allocator.pending === 0);
    expect(await records()).to.deep.equal(before);
  });

  it('was answered, and leaves then: the address stays his', async () => {
    const poolId = await web.pool(SUBNET);
    const engine = web.dial();
    const { json } = await engine.call('/IpamDriver.RequestAddress', { PoolID: poolId, Address: '', Options: null });
    engine.close();
    await sleep(200);
    expect(json.Address).to.equal('10.66.0.1/24');
    expect(await look.keys('claims/')).to.deep.equal(['claims/local/v4/010.066.000.000-24/010.066.000.001']);
  });

  for (const call of ['RequestPool', 'RequestAddress', 'ReleaseAddress', 'ReleasePool']) {
    it(`leaves during ${call} and repeats it with an empty body: refused, and etcd's revision stays`, async () => {
      const poolId = await web.pool(SUBNET);
      await web.address(poolId, '10.66.0.9');
      const engine = new AbortController();
      const calls = () => web.events.length;
      const before = calls();
      const body = { AddressSpace: 'local', Pool: '10.77.0.0/24', PoolID: poolId, Address: '10.66.0.9' };
      proxy.pause();
      const answer = web.call(call, body, { signal: engine.signal }).catch(() => 'gone');
      await sleep(50);
      engine.abort();
      expect(await answer).to.equal('gone');
      proxy.resume();
      await eventually('the call is over', () => calls() > before);
      await eventually('the undo', () => web.allocator.pending === 0);
      const settled = await look.revision();
      const again = await web.call(call, undefined);
      expect(again.status).to.equal(500);
      expect(again.json.Err).to.match(/^\w+ came with an empty body/);
      expect(await look.revision()).to.equal(settled);
    });
  }
});
