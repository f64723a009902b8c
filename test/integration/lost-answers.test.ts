// Every kind of transaction there is, its answer lost on the way: what happened is found out, nothing happens twice, and
// nothing stays behind. A proxy stands between the driver and a real etcd.
import { expect } from 'chai';
import type { TxnRequest } from '../../src/etcd/client.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { tableOf } from '../support/oracle.js';
import { eventually } from '../support/process.js';
import { TcpProxy } from '../support/proxy.js';
import { AS, Look, WholeDriver, type WholeOptions } from '../support/whole-driver.js';

const SUBNET = '10.66.0.0/24';
const CLAIMS = 'claims/local/v4/010.066.000.000-';
const HOLDERS = 'holders/local/v4/010.066.000.000-';
const wide = (last: number, length = 24) => `${CLAIMS}${length}/010.066.000.00${last}`;

/** One host whose way to etcd can be cut, another whose way is straight, and a look at etcd itself. */
interface Stage {
  readonly web: WholeDriver;
  readonly db: WholeDriver;
  readonly look: Look;
  /** Stops web and starts it anew in another boot of its host. */
  reboot(): Promise<WholeDriver>;
}

interface Scenario<C = unknown> {
  readonly title: string;
  /** Transactions that the act takes when nothing goes wrong; a first one may only find out what is there. */
  readonly writes: number;
  /** Its last transaction grants something. */
  readonly grants?: true;
  prepare(stage: Stage): Promise<C>;
  act(stage: Stage, prepared: C): Promise<unknown>;
  /** What must be so after the act. */
  check(stage: Stage, result: unknown, prepared: C): Promise<void>;
}

/** A scenario whose act is a request for an address that ends in exactly one claim of that kind. */
function granting(
  title: string,
  kind: string,
  prepare: (stage: Stage) => Promise<string>,
  address: string,
  options: Record<string, string> | null = null,
  writes = 1,
): Scenario {
  return {
    ...{ title, writes, prepare, grants: true },
    act: ({ web }, pool) => web.address(pool as string, address, options),
    async check({ look, web }, result, pool) {
      const [network] = (pool as string).split('?');
      const length = network?.split('/')[2];
      const key = `${CLAIMS}${length}/010.066.000.00${String(result).split('.')[3]}`;
      const claims = await look.keyspace(CLAIMS);
      expect(claims[key], `claim of ${result}`).to.include({ kind });
      if (address !== '') expect(result).to.equal(address);
      const join = (pool as string).slice(-16);
      const holders = await look.keyspace(HOLDERS);
      if (kind === 'shared') {
        expect(Object.keys(holders).filter((key) => key.endsWith(join))).to.have.length(1);
      } else {
        expect(Object.values(claims).filter((claim) => claim.join === join)).to.have.length(1);
        expect(claims[key]).to.include({ join, node: 'web' });
      }
      expect(web.told.at(-1)).to.include({ outcome: 'granted', address: result });
    },
  };
}

const mine = ({ web }: Stage) => web.pool(SUBNET);

async function both({ web, db }: Stage, first: (pool: string) => Promise<unknown>, options = {}): Promise<string> {
  await first(await db.pool(SUBNET, options));
  return web.pool(SUBNET, options);
}

/** Takes the grant of a request back, as after a caller that had gone. */
async function undone(
  web: WholeDriver,
  request: (call: Parameters<WholeDriver['driver']['requestPool']>[1]) => unknown,
) {
  const undos: (() => Promise<void>)[] = [];
  const signal = new AbortController().signal;
  await request({ deadline: performance.now() + 5_000, signal, onUndelivered: (undo) => undos.push(undo) });
  return () => Promise.all(undos.map((undo) => undo())).then(() => settled(web));
}

function settled(web: WholeDriver): Promise<unknown> {
  return eventually('all undos and queued releases are done', () => web.allocator.pending === 0, 8_000, 10);
}

const SCENARIOS: readonly Scenario[] = [
  {
    ...{ title: 'RequestPool makes a pool', writes: 1, grants: true, prepare: async () => undefined },
    act: ({ web }) => web.pool(SUBNET),
    async check({ look }, result) {
      expect(await look.keys('pools/')).to.have.length(1);
      expect(await look.keys('joins/')).to.deep.equal([
        `joins/local/v4/010.066.000.000-24/${String(result).slice(-16)}`,
      ]);
    },
  },
  {
    ...{ title: 'RequestPool joins a pool', writes: 1, grants: true, prepare: ({ db }) => db.pool(SUBNET) },
    act: ({ web }) => web.pool(SUBNET),
    async check({ look }, result, theirs) {
      const joins = [result, theirs].map((id) => `joins/local/v4/010.066.000.000-24/${String(id).slice(-16)}`);
      expect(await look.keys('joins/')).to.have.members(joins);
    },
  },
  {
    ...{ title: 'RequestPool takes a predefined pool', writes: 1, grants: true, prepare: async () => undefined },
    act: ({ web }) => web.pool(''),
    async check({ look }, result) {
      expect(result).to.match(/^local\/10\.9\.0\.0\/29\?join=/);
      expect(await look.keys('pools/')).to.deep.equal(['pools/local/v4/010.009.000.000-29']);
      expect(await look.keys('joins/')).to.have.length(1);
    },
  },
  {
    // Somebody's removal had come as far as its claims when he died.
    ...{ title: 'RequestPool finishes what another removed half', writes: 4 },
    async prepare({ look }) {
      await look.put('spaces/local', { token: 'x' });
      await look.put('pools/local/v4/010.066.000.000-24', { state: 'closing', since: '', token: 'x' });
      await look.put(wide(7), { kind: 'endpoint', node: 'db', join: 'x', since: '', token: 'x' });
      await look.put(`${HOLDERS}24/010.066.000.001/x`, {
        role: 'gateway',
        node: 'db',
        boot: '',
        since: '',
        token: 'x',
      });
    },
    act: ({ web }) => web.pool(SUBNET),
    async check({ look }) {
      expect(await look.keys('claims/')).to.deep.equal([]);
      expect(await look.keys('joins/')).to.have.length(1);
      expect((await look.keyspace('pools/'))['pools/local/v4/010.066.000.000-24']).to.include({ state: 'open' });
    },
  },
  granting('dynamic claim', 'endpoint', mine, ''),
  granting('static claim', 'endpoint', mine, '10.66.0.9', AS.named('web.1')),
  granting('claim by number without a name', 'unsure', mine, '10.66.0.9'),
  granting('gateway, first holder', 'shared', mine, '', AS.gateway),
  granting(
    'gateway, second holder',
    'shared',
    ({ web, db }) => both({ web, db } as Stage, (pool) => db.address(pool, '', AS.gateway)),
    '',
    AS.gateway,
    2,
  ),
  granting(
    'gateway again for the same join',
    'shared',
    async ({ web }) => {
      const pool = await web.pool(SUBNET);
      await web.address(pool, '10.66.0.1', AS.gateway);
      return pool;
    },
    '10.66.0.1',
    AS.gateway,
    2,
  ),
  granting(
    'auxiliary address, first holder',
    'shared',
    ({ web }) => web.pool(SUBNET, { aux: '10.66.0.5' }),
    '10.66.0.5',
  ),
  granting(
    'auxiliary address, second holder',
    'shared',
    (stage) => both(stage, (pool) => stage.db.address(pool, '10.66.0.5'), { aux: '10.66.0.5' }),
    '10.66.0.5',
    null,
    2,
  ),
  granting(
    'the same name asks again',
    'endpoint',
    async ({ web }) => {
      const pool = await web.pool(SUBNET);
      await web.address(pool, '10.66.0.9', AS.named('web.1'));
      return pool;
    },
    '10.66.0.9',
    AS.named('web.1'),
    2,
  ),
  ...(['10.66.0.2', ''] as const).map((address): Scenario => {
    let pool = '';
    const title = `${address === '' ? 'dynamic' : 'static'} take-over of an earlier boot's claim`;
    return {
      ...{ title, writes: 2, grants: true },
      async prepare({ web, reboot }) {
        pool = await web.pool('10.66.0.0/30');
        await web.address(pool, '10.66.0.1', AS.gateway);
        await web.address(pool, '10.66.0.2', AS.named('before'));
        return reboot();
      },
      act: async (_, web) => (web as WholeDriver).address(pool, address, AS.named('after')),
      async check({ look }, result) {
        expect(result).to.equal('10.66.0.2');
        const claims = await look.keyspace(CLAIMS);
        expect(Object.keys(claims)).to.deep.equal([wide(1, 30), wide(2, 30)]);
        expect(claims[wide(2, 30)]).to.include({ kind: 'endpoint', name: 'after', boot: 'boot-2' });
      },
    };
  }),
  {
    ...{ title: 'ReleaseAddress of a claim', writes: 1 },
    async prepare({ web }) {
      const pool = await web.pool(SUBNET);
      return { pool, address: await web.address(pool) };
    },
    act: ({ web }, held) => web.release(...(Object.values(held as object) as [string, string])),
    check: async ({ look }) => expect(await look.keys(CLAIMS)).to.deep.equal([]) as never,
  },
  {
    ...{ title: 'ReleaseAddress of a shared address that others hold too', writes: 1 },
    async prepare(stage) {
      const pool = await both(stage, (theirs) => stage.db.address(theirs, '', AS.gateway));
      await stage.web.address(pool, '', AS.gateway);
      return pool;
    },
    act: ({ web }, pool) => web.release(pool as string, '10.66.0.1'),
    async check({ look }) {
      expect(await look.keys(CLAIMS)).to.deep.equal([wide(1)]);
      expect(Object.values(await look.keyspace(HOLDERS)).map(({ node }) => node)).to.deep.equal(['db']);
    },
  },
  {
    ...{ title: 'ReleaseAddress of a shared address that nobody else holds', writes: 1 },
    async prepare({ web }) {
      const pool = await web.pool(SUBNET);
      await web.address(pool, '', AS.gateway);
      return pool;
    },
    act: ({ web }, pool) => web.release(pool as string, '10.66.0.1'),
    async check({ look }) {
      expect([...(await look.keys(CLAIMS)), ...(await look.keys(HOLDERS))]).to.deep.equal([]);
    },
  },
  {
    ...{ title: 'ReleasePool of an empty pool, all in one', writes: 1, prepare: mine },
    act: ({ web }, pool) => web.drop(pool as string),
    check: ({ look }) => onlyNodes(look),
  },
  {
    ...{ title: 'ReleasePool of a pool that others joined, with leftovers', writes: 3 },
    async prepare(stage) {
      const pool = await both(stage, (theirs) => stage.db.address(theirs, '', AS.gateway));
      await stage.web.address(pool, '', AS.gateway);
      await stage.web.address(pool);
      return pool;
    },
    act: ({ web }, pool) => web.drop(pool as string),
    async check({ look }) {
      expect(await look.keys(CLAIMS)).to.deep.equal([wide(1)]);
      expect(Object.values(await look.keyspace(HOLDERS)).map(({ node }) => node)).to.deep.equal(['db']);
      expect(Object.values(await look.keyspace('joins/')).map(({ node }) => node)).to.deep.equal(['db']);
    },
  },
  {
    ...{ title: 'ReleasePool of the last join, with leftovers', writes: 4 },
    async prepare({ web }) {
      const pool = await web.pool(SUBNET);
      await web.address(pool, '', AS.gateway);
      await web.address(pool);
      return pool;
    },
    act: ({ web }, pool) => web.drop(pool as string),
    check: ({ look }) => onlyNodes(look),
  },
  undoing('of a claim', (pool) => ({ poolId: pool, address: '', options: null }), []),
  undoing(
    'of a first gateway',
    (pool) => ({ poolId: pool, address: '', options: new Map(Object.entries(AS.gateway)) }),
    [],
  ),
  {
    ...{ title: 'undo of a pool', writes: 1 },
    prepare: ({ web }) =>
      undone(web, (call) =>
        web.driver.requestPool({ addressSpace: 'local', pool: SUBNET, subPool: '', options: null, v6: false }, call),
      ),
    act: (_, undo) => (undo as () => Promise<unknown>)(),
    check: ({ look }) => onlyNodes(look),
  },
  {
    ...{ title: 'undo of a request by the same name', writes: 1 },
    async prepare({ web, look }) {
      const poolId = await web.pool(SUBNET);
      const options = new Map(Object.entries(AS.named('web.1')));
      await web.address(poolId, '10.66.0.9', AS.named('web.1'));
      const before = (await look.keyspace(CLAIMS))[wide(9)];
      const undo = await undone(web, (call) =>
        web.driver.requestAddress({ poolId, address: '10.66.0.9', options }, call),
      );
      return { undo, before };
    },
    act: (_, { undo }) => undo(),
    async check({ look }, _, { before }) {
      expect((await look.keyspace(CLAIMS))[wide(9)]).to.deep.equal(before);
    },
  } satisfies Scenario<{ undo: () => Promise<unknown>; before: unknown }> as Scenario,
];

function undoing(
  title: string,
  request: (pool: string) => Parameters<WholeDriver['driver']['requestAddress']>[0],
  left: string[],
): Scenario {
  return {
    ...{ title: `undo ${title}`, writes: 1 },
    async prepare({ web }) {
      const pool = await web.pool(SUBNET);
      return undone(web, (call) => web.driver.requestAddress(request(pool), call));
    },
    act: (_, undo) => (undo as () => Promise<unknown>)(),
    async check({ look }) {
      expect([...(await look.keys(CLAIMS)), ...(await look.keys(HOLDERS))]).to.deep.equal(left);
    },
  };
}

async function onlyNodes(look: Look): Promise<void> {
  const keys = await look.keys();
  expect(keys.filter((key) => !key.startsWith('nodes/') && !key.startsWith('sessions/'))).to.deep.equal([]);
}

describe('lost answers', function () {
  this.timeout(30_000);
  let etcd: EtcdFixture;
  let look: Look;
  let proxy: TcpProxy;
  let started: WholeDriver[] = [];

  const start = async (options: WholeOptions) => {
    const whole = await WholeDriver.start({ pools: '10.9.0.0/27/29', ...options });
    started.push(whole);
    await whole.session.current(performance.now() + 5_000);
    return whole;
  };
  const stage = async (options: Partial<WholeOptions> = {}): Promise<Stage> => {
    const web = await start({ etcd: proxy.url, ...options });
    const db = await start({ etcd: etcd.url, node: 'db' });
    const reboot = async () => {
      await web.stop();
      return start({ etcd: proxy.url, boot: 'boot-2', ...options });
    };
    return { web, db, look, reboot };
  };
  /**
   * The replies of these transactions are lost, counted from now on: once etcd shows the commit the line is cut. One that
   * finds its compare false leaves no trace; 200 ms are enough for it.
   */
  const lose = (web: WholeDriver, ...nths: number[]) => {
    let count = 0;
    const lost: Promise<boolean>[] = [];
    web.beforeWrite = async () => {
      if (!nths.includes(++count)) return;
      const before = await look.revision();
      proxy.swallowReplies();
      const committed = eventually('the commit', async () => (await look.revision()) !== before, 200, 2);
      lost.push(
        committed
          .then(
            () => true,
            () => false,
          )
          .finally(() => {
            proxy.cut();
            proxy.resume();
          }),
      );
    };
    return { writes: () => count, commits: async () => (await Promise.all(lost)).filter((one) => one).length };
  };
  /** All records but those of the hosts; the gateway that a pool remembers is a hint, which an undo leaves. */
  const records = async () => tableOf(await look.keyspace()).map((line) => line.replace(/ gateway=.*/, ''));
  /** Ends every join there is, through the driver of its host, and expects that nothing stays. */
  const cleanUp = async () => {
    for (const [key, { node, range }] of Object.entries(await look.keyspace('joins/'))) {
      const [, space, , wide, join] = key.split('/');
      const [network, length] = wide!.split('-');
      const subnet = `${network!.split('.').map(Number).join('.')}/${length}`;
      const whole = started.findLast((one) => one.node === node)!;
      await whole.drop(`${space}/${subnet}?${range ? `range=${range}&` : ''}join=${join}`);
      await settled(whole);
    }
    await onlyNodes(look);
    for (const whole of started) expect(whole.faults).to.deep.equal([]);
  };

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
  });
  afterEach(async () => {
    proxy.resume();
    for (const whole of started) await whole.stop();
    started = [];
    await proxy.close();
    await look.clear();
  });

  for (const scenario of SCENARIOS) {
    const { title, writes } = scenario;
    const perform = async (
      options: Partial<WholeOptions>,
      disturb: (web: WholeDriver) => Promise<unknown> | unknown,
    ) => {
      const on = await stage(options);
      const prepared = await scenario.prepare(on);
      const web = started.findLast((one) => one.node === 'web')!;
      const disturbed = disturb(web);
      const result = await scenario.act(on, prepared);
      await disturbed;
      return { on: { ...on, web }, prepared, result };
    };

    it(`${title}: ${writes} ${writes === 1 ? 'transaction' : 'transactions'} when nothing is lost`, async () => {
      let counted = () => 0;
      const { on, prepared, result } = await perform({}, (web) => {
        counted = lose(web).writes;
      });
      await scenario.check(on, result, prepared);
      expect(counted()).to.equal(writes);
      await cleanUp();
    });

    for (let nth = 1; nth <= writes; nth++) {
      it(`${title}: the answer of transaction ${nth} of ${writes} is lost: done once all the same`, async () => {
        let losing: ReturnType<typeof lose> | undefined;
        const { on, prepared, result } = await perform({}, (web) => {
          losing = lose(web, nth);
        });
        if (nth === writes) expect(await losing!.commits()).to.equal(1);
        await scenario.check(on, result, prepared);
        await cleanUp();
      });
    }

    it(`${title}: the answers of transaction ${writes} and of the one that settles it are lost: done once all the same`, async () => {
      let losing: ReturnType<typeof lose> | undefined;
      const { on, prepared, result } = await perform({}, (web) => {
        losing = lose(web, writes, writes + 1);
      });
      expect(await losing!.commits()).to.be.at.least(1);
      await scenario.check(on, result, prepared);
      await cleanUp();
    });

    if (!scenario.grants) continue;

    it(`${title}: stuck while its call goes on with another one, lands when that was answered: no effect`, async () => {
      let stuck: TxnRequest | undefined;
      let count = 0;
      const { on, prepared, result } = await perform({ attemptMs: 200 }, (web) => {
        web.beforeWrite = (request) => {
          if (++count !== writes) return;
          stuck = request;
          proxy.pause();
          setTimeout(() => {
            proxy.cut();
            proxy.resume();
          }, 250);
        };
      });
      expect(count, 'transactions, the fence among them').to.be.at.least(writes + 2);
      const before = await look.keyspace();
      expect(await look.land(stuck!), 'the copy lands').to.equal(false);
      expect(await look.keyspace()).to.deep.equal(before);
      await scenario.check(on, result, prepared);
      await cleanUp();
    });

    // The transaction is in a buffer somewhere while its sender has given up; a copy of it lands, sooner or later.
    for (const landing of ['before', 'after'] as const) {
      it(`${title}: stuck until the call was refused, lands ${landing} the doubt is settled: nothing of it stays`, async () => {
        let stuck: TxnRequest | undefined;
        let count = 0;
        const impatient = { deadlineMs: 700, attemptMs: 150 };
        const on = await stage(impatient);
        const prepared = await scenario.prepare(on);
        const web = started.findLast((one) => one.node === 'web')!;
        const before = await records();
        web.beforeWrite = (request) => {
          if (++count !== writes) return;
          stuck = request;
          proxy.pause();
        };
        const refusal = await scenario.act(on, prepared).then(
          (result) => `granted ${result}`,
          (error: Error) => error.message,
        );
        expect(refusal).to.match(/is not reachable: no answer within|did not finish within 0\.7 s/);
        await eventually('the driver itself gave up', () => web.told.some(({ outcome }) => outcome === 'failed'));
        if (landing === 'before') expect(await look.land(stuck!), 'the copy lands').to.equal(true);
        proxy.resume();
        await settled(web);
        if (landing === 'after') expect(await look.land(stuck!), 'the copy lands').to.equal(false);
        expect(await records()).to.deep.equal(before);
        expect(await web.pool('10.77.0.0/24'), 'the driver goes on').to.be.a('string');
        await cleanUp();
      });
    }
  }

  it('the creation of the session: one key, held by the process that made it', async () => {
    let losing: ReturnType<typeof lose> | undefined;
    const web = await WholeDriver.start({ etcd: proxy.url, begun: (one) => (losing = lose(one, 1)) });
    started.push(web);
    const { key, version } = await web.session.current(performance.now() + 5_000);
    expect(await losing!.commits()).to.equal(1);
    expect(await look.keys('sessions/')).to.deep.equal([key.slice('/etcd-ipam/'.length)]);
    await web.pool(SUBNET);
    expect(web.sessions.filter(({ kind }) => kind === 'alive')).to.have.length(1);
    expect(version).to.match(/^\d+$/);
    await cleanUp();
  });

  it('the fence: grants go on with the version that it wrote', async () => {
    const { web } = await stage();
    const pool = await web.pool(SUBNET);
    const before = await web.session.current(performance.now() + 1_000);
    const losing = lose(web, 1);
    await web.session.fence(performance.now() + 5_000);
    expect(await losing.commits()).to.equal(1);
    const after = await web.session.current(performance.now() + 1_000);
    expect(Number(after.version)).to.be.greaterThan(Number(before.version));
    expect(await web.address(pool)).to.equal('10.66.0.1');
    await cleanUp();
  });

  it('a release stuck until its caller was answered lands after the address was given to another: no effect', async () => {
    const { web, db } = await stage({ deadlineMs: 700, attemptMs: 150 });
    const [mine, theirs] = [await web.pool(SUBNET), await db.pool(SUBNET)];
    expect(await web.address(mine, '10.66.0.9')).to.equal('10.66.0.9');
    let stuck: TxnRequest | undefined;
    web.beforeWrite = (request) => {
      if (stuck) return;
      stuck = request;
      proxy.pause();
    };
    const answer = await web.call('ReleaseAddress', { PoolID: mine, Address: '10.66.0.9' });
    expect([answer.status, answer.json]).to.deep.equal([200, {}]);
    proxy.resume();
    await settled(web);
    expect(await db.address(theirs, '10.66.0.9')).to.equal('10.66.0.9');
    expect(await look.land(stuck!), 'the copy lands').to.equal(false);
    expect((await look.keyspace(CLAIMS))[wide(9)]).to.include({ node: 'db' });
    await cleanUp();
  });

  it('a removal of a pool stuck until its caller was answered lands after the pool was made again: no effect', async () => {
    const { web, db } = await stage({ deadlineMs: 700, attemptMs: 150 });
    const mine = await web.pool(SUBNET);
    await web.address(mine);
    const stuck: TxnRequest[] = [];
    web.beforeWrite = (request) => {
      if (stuck.push(request) === 3) proxy.pause();
    };
    const answer = await web.call('ReleasePool', { PoolID: mine });
    expect([answer.status, answer.json]).to.deep.equal([200, {}]);
    proxy.resume();
    await settled(web);
    const theirs = await db.pool(SUBNET);
    await db.address(theirs, '', AS.gateway);
    await db.address(theirs);
    const before = await look.keyspace();
    expect(stuck.length).to.be.at.least(3);
    for (const one of stuck) expect(await look.land(one), 'a copy lands').to.equal(false);
    expect(await look.keyspace()).to.deep.equal(before);
    await cleanUp();
  });

  for (const call of ['ReleaseAddress', 'ReleasePool'] as const) {
    it(`${call} while etcd answers nothing is answered {} within the deadline, and done when etcd is back`, async () => {
      const { web } = await stage({ deadlineMs: 700, attemptMs: 150 });
      const pool = await web.pool(SUBNET);
      await web.address(pool, '10.66.0.9');
      proxy.pause();
      const answer = await web.call(call, { PoolID: pool, Address: '10.66.0.9' });
      expect([answer.status, answer.json]).to.deep.equal([200, {}]);
      expect(web.told.at(-1)).to.include({ call, outcome: 'queued' });
      proxy.resume();
      await settled(web);
      expect(await look.keys(CLAIMS)).to.deep.equal([]);
      await cleanUp();
    });
  }
});
