// The transactions of the global space and of a swarm's nodes, their answers lost on the way; see lost-answers.test.ts.
// Each test ends with the whole keyspace, and then with all of it gone.
import { expect } from 'chai';
import { parse, type Requests } from '../../src/docker/wire.js';
import { bare, Lossy, type Records, type Scenario, type Stage, undone } from '../support/lossy.js';
import { AS, type WholeDriver } from '../support/whole-driver.js';

const S = '10.80.0.0/24';
const AT = 'v4/010.080.000.000-24';
const T = '10.81.0.0/24';
const AT_T = 'v4/010.081.000.000-24';
const SMALL = '10.80.0.0/29';
const AT_SMALL = 'v4/010.080.000.000-29';

const wide = (at: string, last: number) => `${at}/${at.slice(3, 14)}.00${last}`;
const guard: Records = { 'spaces/local': {} };

/** The global pool, ruled by the nth join there has been. */
function pool(
  epoch: number,
  nth: number,
  stage: 'new' | 'asked' | 'served',
  at = AT,
  gateway: string | undefined = hostOf(at, 1),
): Records {
  const ruled = { epoch, leader: `J${nth}`, stage, ...(gateway && { gateway }) };
  return { ...guard, [`pools/global/${at}`]: { state: 'open', ...ruled } };
}

/** An epoch. `former`: the join that it replaces, made by db. */
function epoch(nth: number, node: string, count: number, former?: number, at = AT, more: object = {}): Records {
  const replaces = { join: `J${former}`, stage: 'served', record: { node: 'db', boot: 'boot-1', epoch: 1 } };
  const record = { node, boot: 'boot-1', epoch: count, ...(former && { replaces }), ...more };
  return { [`joins/global/${at}/J${nth}`]: record };
}

function gateway(nth: number, count: number, at = AT): Records {
  const holder = { [`holders/global/${wide(at, 1)}/J${nth}`]: { role: 'gateway', epoch: count } };
  return { [`claims/global/${wide(at, 1)}`]: { kind: 'shared' }, ...holder };
}

function task(last: number, nth: number, count: number, at = AT, more: object = {}): Records {
  return { [`claims/global/${wide(at, last)}`]: { kind: 'swarm', join: `J${nth}`, epoch: count, ...more } };
}

/** A node's network of the swarm, and what it was asked for on the leader's word. */
function worker(nth: number, node: string, ...lasts: number[]): Records {
  const own = { node, boot: 'boot-1' };
  const claims = lasts.map((last) => [`claims/local/${wide(AT, last)}`, { kind: 'swarm', ...own, join: `J${nth}` }]);
  return { [`joins/local/${AT}/J${nth}`]: { ...own, managed: true }, ...Object.fromEntries(claims) };
}
const workers: Records = { [`pools/local/${AT}`]: { state: 'open' } };

function hostOf(at: string, last: number): string {
  const network = at.slice(3, 14).split('.').map(Number).join('.');
  return `${network}.${last}`;
}

const lead = (host: WholeDriver, subnet = S) => host.pool(subnet, null, '', 'global');

/** Db leads and has a task at .2; all the tasks of its network that follow are at the next addresses. */
async function led({ db }: Stage, subnet = S, tasks = 1): Promise<string> {
  const id = await lead(db, subnet);
  await db.address(id, '', AS.gateway);
  for (let nth = 0; nth < tasks; nth++) await db.address(id);
  return id;
}

/** Web has begun to lead and has asked for the gateway, as a leader does that takes over. */
async function followed(stage: Stage, subnet = S, tasks = 1): Promise<string[]> {
  const former = await led(stage, subnet, tasks);
  const id = await lead(stage.web, subnet);
  await stage.web.address(id, subnet.replace(/0\/\d+$/, '1'), AS.gateway);
  return [former, id];
}

/** A leader with a task at .2, two nodes with the network, of which db has the task. */
async function worked(stage: Stage, onDb: boolean): Promise<string[]> {
  const leader = await led(stage);
  const [theirs, mine] = [await stage.db.pool(S, null), await stage.web.pool(S, null)];
  if (onDb) await stage.db.address(theirs, '10.80.0.2');
  return [leader, theirs, mine];
}

type Ask = { readonly pool: string } | { readonly address: string; readonly options?: Record<string, string> };

interface Granting {
  readonly title: string;
  readonly writes?: number;
  /** The PoolIDs of all joins there have been; what is asked for is asked through the last one. */
  prepare(stage: Stage): Promise<string[]>;
  readonly ask: Ask;
  readonly after: readonly Records[];
  /** What an undo leaves, if not what there was. */
  readonly left?: readonly Records[];
}

const served = {
  '2, J2': [pool(2, 2, 'served'), epoch(2, 'web', 2, 1)],
  J1: [pool(1, 1, 'served'), epoch(1, 'web', 1)],
};

const GRANTS: readonly Granting[] = [
  {
    title: 'RequestPool makes a global pool',
    prepare: async () => [],
    ask: { pool: S },
    after: [pool(1, 1, 'new', AT, ''), epoch(1, 'web', 1)],
  },
  {
    title: 'RequestPool begins an epoch after one that has served',
    prepare: async (stage) => [await led(stage)],
    ask: { pool: S },
    after: [pool(2, 2, 'new'), epoch(2, 'web', 2, 1), gateway(1, 1), task(2, 1, 1)],
    left: [pool(2, 1, 'served'), epoch(1, 'db', 1), gateway(1, 1), task(2, 1, 1)],
  },
  {
    title: 'RequestPool begins an epoch after one that has not served, and would go back to the one before that',
    prepare: async (stage) => {
      const former = await led(stage);
      const failed = await lead(stage.web);
      await stage.web.must('GetCapabilities', {});
      return [former, failed];
    },
    ask: { pool: S },
    after: [pool(3, 3, 'new'), epoch(3, 'web', 3, 1), gateway(1, 1), task(2, 1, 1)],
    left: [pool(3, 1, 'served'), epoch(1, 'db', 1), gateway(1, 1), task(2, 1, 1)],
  },
  {
    title: 'gateway of a new global pool',
    prepare: async ({ web }) => [await lead(web)],
    ask: { address: '', options: AS.gateway },
    after: [pool(1, 1, 'asked'), epoch(1, 'web', 1), gateway(1, 1)],
    left: [pool(1, 1, 'asked'), epoch(1, 'web', 1)],
  },
  {
    title: 'gateway that replaces the part of the epoch before',
    writes: 2,
    prepare: async (stage) => [await led(stage), await lead(stage.web)],
    ask: { address: '10.80.0.1', options: AS.gateway },
    after: [pool(2, 2, 'asked'), epoch(2, 'web', 2, 1), gateway(2, 2), task(2, 1, 1)],
    left: [pool(2, 2, 'asked'), epoch(2, 'web', 2, 1), gateway(1, 1), task(2, 1, 1)],
  },
  {
    title: 'first task of an epoch, which says that it serves',
    prepare: async ({ web }) => {
      const id = await lead(web);
      await web.address(id, '', AS.gateway);
      return [id];
    },
    ask: { address: '' },
    after: [...served.J1, gateway(1, 1), task(2, 1, 1)],
    left: [...served.J1, gateway(1, 1)],
  },
  {
    title: 'first task of an epoch, by number',
    prepare: async ({ web }) => {
      const id = await lead(web);
      await web.address(id, '', AS.gateway);
      return [id];
    },
    ask: { address: '10.80.0.9' },
    after: [...served.J1, gateway(1, 1), task(9, 1, 1)],
    left: [...served.J1, gateway(1, 1)],
  },
  {
    title: 'dynamic claim of an epoch that serves',
    writes: 2,
    prepare: async (stage) => {
      const ids = await followed(stage);
      await stage.web.address(ids[1]!, '10.80.0.2');
      return ids;
    },
    ask: { address: '' },
    after: [...served['2, J2'], gateway(2, 2), task(2, 2, 2), task(3, 2, 2)],
  },
  {
    title: 'claim of what the epoch before gave',
    writes: 2,
    prepare: (stage) => followed(stage),
    ask: { address: '10.80.0.2' },
    after: [...served['2, J2'], gateway(2, 2), task(2, 2, 2)],
    left: [...served['2, J2'], gateway(2, 2), task(2, 1, 1)],
  },
  {
    title: 'dynamic claim of what the epoch before gave, where nothing else is left',
    writes: 2,
    prepare: async (stage) => {
      const ids = await followed(stage, SMALL);
      for (let nth = 0; nth < 4; nth++) await stage.web.address(ids[1]!);
      stage.web.rounds = 30;
      return ids;
    },
    ask: { address: '' },
    after: [
      ...[pool(2, 2, 'served', AT_SMALL), epoch(2, 'web', 2, 1, AT_SMALL), gateway(2, 2, AT_SMALL)],
      ...[2, 3, 4, 5, 6].map((last) => task(last, 2, 2, AT_SMALL)),
    ],
  },
  {
    title: 'claim in a sibling pool of what the epoch before gave there',
    writes: 2,
    prepare: async (stage) => {
      const former = await led(stage, T);
      const sibling = await lead(stage.web, T);
      await stage.web.address(sibling, '10.81.0.1', AS.gateway);
      return [former, sibling, await lead(stage.web)];
    },
    ask: { address: '10.81.0.2' },
    after: [
      ...[pool(2, 2, 'served', AT_T), epoch(2, 'web', 2, 1, AT_T), gateway(2, 2, AT_T)],
      ...[pool(1, 3, 'new', AT, ''), epoch(3, 'web', 1), task(2, 2, 2, AT_T, { through: 'J3' })],
    ],
    left: [
      ...[pool(2, 2, 'served', AT_T), epoch(2, 'web', 2, 1, AT_T), gateway(2, 2, AT_T)],
      ...[pool(1, 3, 'new', AT, ''), epoch(3, 'web', 1), task(2, 1, 1, AT_T)],
    ],
  },
  {
    title: 'a node claims what the leader gave',
    prepare: (stage) => worked(stage, false),
    ask: { address: '10.80.0.2' },
    after: [
      ...[pool(1, 1, 'served'), epoch(1, 'db', 1), gateway(1, 1), task(2, 1, 1)],
      ...[workers, worker(2, 'db'), worker(3, 'web', 2)],
    ],
  },
  {
    title: 'a node takes over, on the leader’s word, what another one has',
    prepare: (stage) => worked(stage, true),
    ask: { address: '10.80.0.2' },
    after: [
      ...[pool(1, 1, 'served'), epoch(1, 'db', 1), gateway(1, 1), task(2, 1, 1)],
      ...[workers, worker(2, 'db'), worker(3, 'web', 2)],
    ],
  },
];

interface Freeing {
  readonly title: string;
  readonly writes?: number;
  prepare(stage: Stage): Promise<string[]>;
  /** Given back through the last PoolID; the pool itself where there is none. */
  readonly address?: string;
  readonly after: readonly Records[];
}

const RELEASES: readonly Freeing[] = [
  {
    title: 'ReleaseAddress of a task',
    prepare: async (stage) => {
      const ids = await followed(stage);
      await stage.web.address(ids[1]!, '10.80.0.2');
      return ids;
    },
    address: '10.80.0.2',
    after: [...served['2, J2'], gateway(2, 2)],
  },
  {
    title: 'ReleaseAddress of the gateway of an epoch that has not served, which keeps it',
    prepare: (stage) => followed(stage),
    address: '10.80.0.1',
    after: [pool(2, 2, 'asked'), epoch(2, 'web', 2, 1, AT, { left: true }), gateway(2, 2), task(2, 1, 1)],
  },
  {
    title: 'ReleaseAddress through a sibling pool',
    prepare: async (stage) => {
      const former = await led(stage, T);
      const ids = [former, await lead(stage.web, T), await lead(stage.web)];
      await stage.web.address(ids[2]!, '10.81.0.2');
      return ids;
    },
    address: '10.81.0.2',
    after: [
      ...[pool(2, 2, 'served', AT_T), epoch(2, 'web', 2, 1, AT_T), gateway(1, 1, AT_T)],
      ...[pool(1, 3, 'new', AT, ''), epoch(3, 'web', 1)],
    ],
  },
  {
    title: 'ReleaseAddress of what a node took over on the leader’s word',
    prepare: async (stage) => {
      const ids = await worked(stage, true);
      await stage.web.address(ids[2]!, '10.80.0.2');
      return ids;
    },
    address: '10.80.0.2',
    after: [
      ...[pool(1, 1, 'served'), epoch(1, 'db', 1), gateway(1, 1), task(2, 1, 1)],
      ...[workers, worker(2, 'db'), worker(3, 'web')],
    ],
  },
  {
    title: 'ReleasePool of an epoch that has not served, which goes back to the one before',
    prepare: (stage) => followed(stage),
    after: [pool(2, 1, 'served'), epoch(1, 'db', 1), gateway(1, 1), task(2, 1, 1)],
  },
  {
    title: 'ReleasePool of an epoch that has not served, without a gateway',
    prepare: async (stage) => [await led(stage), await lead(stage.web)],
    after: [pool(2, 1, 'served'), epoch(1, 'db', 1), gateway(1, 1), task(2, 1, 1)],
  },
  {
    title: 'ReleasePool of an epoch that has served, with what it and the one before left',
    writes: 4,
    prepare: async (stage) => {
      const ids = await followed(stage, S, 2);
      await stage.web.address(ids[1]!, '10.80.0.2');
      return ids;
    },
    after: [],
  },
  {
    title: 'ReleasePool of the last epoch when all was given back, all in one',
    prepare: async (stage) => {
      const ids = await followed(stage);
      await stage.web.address(ids[1]!, '10.80.0.2');
      for (const last of [2, 1]) await stage.web.release(ids[1]!, `10.80.0.${last}`);
      return ids;
    },
    after: [],
  },
];

function granting({ title, writes = 1, prepare, ask, after, left }: Granting): Scenario[] {
  const call = 'pool' in ask ? 'RequestPool' : 'RequestAddress';
  const body = (ids: readonly string[]) =>
    'pool' in ask
      ? { AddressSpace: 'global', Pool: ask.pool, SubPool: '', Options: null, V6: false }
      : { PoolID: ids.at(-1), Address: ask.address, Options: ask.options ?? null };
  const grant: Scenario<string[]> = {
    ...{ title, writes, grants: true, prepare },
    left: (poolIds) => left && { records: whole(left), poolIds },
    act: ({ web }, ids) => web.must(call, body(ids)),
    async check({ look, web }, reply, ids) {
      const { PoolID, Address } = reply as { PoolID?: string; Address?: string };
      expect(await bare(look, ...ids, ...(PoolID ? [PoolID] : []))).to.deep.equal(whole(after));
      if (Address) expect(web.told.at(-1)).to.include({ outcome: 'granted', address: Address.split('/')[0] });
    },
  };
  const undo: Scenario<Undoing> = {
    ...{ title: `undo: ${title}`, writes: 1 },
    async prepare(stage) {
      const ids = await prepare(stage);
      const before = await bare(stage.look, ...ids);
      const { driver } = stage.web;
      const request = parse(call, JSON.stringify(body(ids)));
      const back = await undone(stage.web, (lent) =>
        call === 'RequestPool'
          ? driver.requestPool(request as Requests['RequestPool'], lent)
          : driver.requestAddress(request as Requests['RequestAddress'], lent),
      );
      return { ids, before, undo: back };
    },
    act: (_, { undo }) => undo(),
    async check({ look }, _, { ids, before }) {
      expect(await bare(look, ...ids)).to.deep.equal(left ? whole(left) : before);
    },
  };
  return [grant as Scenario, undo as Scenario];
}

interface Undoing {
  readonly ids: readonly string[];
  readonly before: Records;
  readonly undo: () => Promise<unknown>;
}

function freeing({ title, writes = 1, prepare, address, after }: Freeing): Scenario {
  const scenario: Scenario<string[]> = {
    ...{ title, writes, prepare },
    act: ({ web }, ids) => (address ? web.release(ids.at(-1)!, address) : web.drop(ids.at(-1)!)),
    async check({ look }, _, ids) {
      expect(await bare(look, ...ids)).to.deep.equal(whole(after));
    },
  };
  return scenario as Scenario;
}

function whole(parts: readonly Records[]): Records {
  return Object.assign({}, ...parts);
}

describe('lost answers in a swarm', () => {
  const lossy = new Lossy();
  for (const scenario of [...GRANTS.flatMap(granting), ...RELEASES.map(freeing)]) lossy.tell(scenario);
});
