// Every kind of transaction there is, its answer lost on the way: what happened is found out, nothing happens twice, and
// nothing stays behind. A proxy stands between the driver and a real etcd.
import { expect } from 'chai';
import type { TxnRequest } from '../../src/etcd/client.js';
import { HURRIED_MS, Lossy, onlyNodes, type Scenario, type Stage, settled, undone } from '../support/lossy.js';
import { AS, WholeDriver } from '../support/whole-driver.js';

const SUBNET = '10.66.0.0/24';
const CLAIMS = 'claims/local/v4/010.066.000.000-';
const HOLDERS = 'holders/local/v4/010.066.000.000-';
const wide = (last: number, length = 24) => `${CLAIMS}${length}/010.066.000.00${last}`;

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

async function rested({ web }: Stage): Promise<string> {
  const pool = await web.pool(SUBNET);
  await web.address(pool, '10.66.0.9', AS.named('web.1'));
  await web.release(pool, '10.66.0.9');
  return pool;
}

async function both({ web, db }: Stage, first: (pool: string) => Promise<unknown>, options = {}): Promise<string> {
  await first(await db.pool(SUBNET, options));
  return web.pool(SUBNET, options);
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
    ...{ title: 'ReleaseAddress that lays a claim to rest', writes: 1, rests: true },
    async prepare({ web }) {
      const pool = await web.pool(SUBNET);
      return { pool, address: await web.address(pool, '', AS.named('web.1')) };
    },
    act: ({ web }, held) => web.release(...(Object.values(held as object) as [string, string])),
    async check({ look }) {
      const claims = Object.values(await look.keyspace(CLAIMS));
      expect(claims.map(({ kind }) => kind)).to.deep.equal(['cooling']);
    },
  },
  {
    ...granting('what rests, by number', 'endpoint', rested, '10.66.0.9', AS.named('db'), 2),
    rests: true,
  },
  {
    ...{ title: 'ReleasePool of the last join, where an address rests', writes: 1, rests: true, prepare: rested },
    act: ({ web }, pool) => web.drop(pool as string),
    check: ({ look }) => onlyNodes(look),
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

describe('lost answers', () => {
  const lossy = new Lossy();
  const { stage, lose, cleanUp } = lossy;
  for (const scenario of SCENARIOS) lossy.tell(scenario);

  it('the creation of the session: one key, held by the process that made it', async () => {
    let losing: ReturnType<typeof lose> | undefined;
    const web = await WholeDriver.start({ etcd: lossy.proxy.url, begun: (one) => (losing = lose(one, [1])) });
    lossy.started.push(web);
    const { key, version } = await web.session.current(performance.now() + 5_000);
    expect(await losing!.commits()).to.equal(1);
    expect(await lossy.look.keys('sessions/')).to.deep.equal([String(key).slice('/etcd-ipam/'.length)]);
    await web.pool(SUBNET);
    expect(web.sessions.filter(({ kind }) => kind === 'alive')).to.have.length(1);
    expect(version).to.match(/^\d+$/);
    await cleanUp();
  });

  it('the fence: grants go on with the version that it wrote', async () => {
    const { web } = await stage();
    const pool = await web.pool(SUBNET);
    const before = await web.session.current(performance.now() + 1_000);
    const losing = lose(web, [1]);
    await web.session.fence(performance.now() + 5_000);
    expect(await losing.commits()).to.equal(1);
    const after = await web.session.current(performance.now() + 1_000);
    expect(Number(after.version)).to.be.greaterThan(Number(before.version));
    expect(await web.address(pool)).to.equal('10.66.0.1');
    await cleanUp();
  });

  it('a release stuck until its caller was answered lands after the address was given to another: no effect', async () => {
    const { web, db } = await stage({ attemptMs: 150 });
    const [mine, theirs] = [await web.pool(SUBNET), await db.pool(SUBNET)];
    expect(await web.address(mine, '10.66.0.9')).to.equal('10.66.0.9');
    let stuck: TxnRequest | undefined;
    web.beforeWrite = (request) => {
      if (stuck) return;
      stuck = request;
      lossy.proxy.pause();
    };
    web.deadlineMs = HURRIED_MS;
    const answer = await web.call('ReleaseAddress', { PoolID: mine, Address: '10.66.0.9' });
    expect([answer.status, answer.json]).to.deep.equal([200, {}]);
    lossy.proxy.resume();
    await settled(web);
    expect(await db.address(theirs, '10.66.0.9')).to.equal('10.66.0.9');
    expect(await lossy.look.land(stuck!), 'the copy lands').to.equal(false);
    expect((await lossy.look.keyspace(CLAIMS))[wide(9)]).to.include({ node: 'db' });
    await cleanUp();
  });

  it('a removal of a pool stuck until its caller was answered lands after the pool was made again: no effect', async () => {
    const { web, db } = await stage({ attemptMs: 150 });
    const mine = await web.pool(SUBNET);
    await web.address(mine);
    const stuck: TxnRequest[] = [];
    web.beforeWrite = (request) => {
      if (stuck.push(request) === 3) lossy.proxy.pause();
    };
    web.deadlineMs = HURRIED_MS;
    const answer = await web.call('ReleasePool', { PoolID: mine });
    expect([answer.status, answer.json]).to.deep.equal([200, {}]);
    lossy.proxy.resume();
    await settled(web);
    const theirs = await db.pool(SUBNET);
    await db.address(theirs, '', AS.gateway);
    await db.address(theirs);
    const before = await lossy.look.keyspace();
    expect(stuck.length).to.be.at.least(3);
    for (const one of stuck) expect(await lossy.look.land(one), 'a copy lands').to.equal(false);
    expect(await lossy.look.keyspace()).to.deep.equal(before);
    await cleanUp();
  });

  for (const call of ['ReleaseAddress', 'ReleasePool'] as const) {
    it(`${call} while etcd answers nothing is answered {} within the deadline, and done when etcd is back`, async () => {
      const { web } = await stage({ attemptMs: 150 });
      const pool = await web.pool(SUBNET);
      await web.address(pool, '10.66.0.9');
      lossy.proxy.pause();
      web.deadlineMs = HURRIED_MS;
      const answer = await web.call(call, { PoolID: pool, Address: '10.66.0.9' });
      expect([answer.status, answer.json]).to.deep.equal([200, {}]);
      expect(web.told.at(-1)).to.include({ call, outcome: 'queued' });
      lossy.proxy.resume();
      await settled(web);
      expect(await lossy.look.keys(CLAIMS)).to.deep.equal([]);
      await cleanUp();
    });
  }
});
