// Lives of swarms and bridges with mutated calls among them, against a driver for each of three nodes over the in-memory
// double. A referee that knows the wire alone says when an address was taken from its holder, or given twice.
import { expect } from 'chai';
import fc from 'fast-check';
import { Driver } from '../../src/docker/driver.js';
import { parse } from '../../src/docker/wire.js';
import { Allocator } from '../../src/ipam/allocator.js';
import { IpamError } from '../../src/ipam/errors.js';
import type { Change, Condition, Query, Store } from '../../src/ipam/store.js';
import { Inspected } from '../support/inspected.js';
import { wide } from '../support/keyspace-view.js';
import { type Life, live, lives, type Name, NODES, type Tally, type World } from '../support/lives.js';
import { MemoryStore, uneven } from '../support/memory-store.js';
import { type Keyspace, nodeOf, Violation } from '../support/referee.js';
import { chance, surroundings } from '../support/sequences.js';

const LIVES = 1_200;
const INSPECTED = 60;
const MUTATIONS = 5_000;
const LEAST = 12;
const MOST = 30;

/** What the generator must have reached, or the test says nothing about it. */
const REACHED = [
  ...['late', 'repeated', 'to the wrong node', 'late, to the wrong node', 'repeated, to the wrong node'],
  ...['through another PoolID', 'through an old PoolID', 'request through an old PoolID', 'request repeated'],
]
  .map((how) => `mutation ${how}`)
  .concat(['RequestAddress global refused', 'RequestAddress local refused', 'RequestPool global refused'])
  .concat(['RequestAddress moved', 'taken over with members', 'second overlay taken back', 'task runs'])
  .concat(['RequestAddress global by an old PoolID refused', 'RequestAddress local by an old PoolID refused']);

const SEED = Number(process.env.ETCD_IPAM_TEST_SEED ?? Date.now() & 0x7fffffff);

/** `flawed`: what the drivers take for their store. */
function memoryWorld(
  { pace }: Life,
  flawed: (store: Store) => Store = (store) => store,
  store = new MemoryStore(),
): World {
  const clock = { skew: 0 };
  let started = 0;
  const start = (at: number) => {
    const self = { node: nodeOf(at), boot: `boot-${at}` };
    const seed = `${pace} ${at} ${started++}`;
    const report = (what: string, error: unknown) => {
      throw new Error(`${what} failed for good`, { cause: error });
    };
    const way = uneven(flawed(store), chance(`way ${seed}`));
    return new Driver(new Allocator(way, self, surroundings(seed, clock), [], report), false, () => undefined);
  };
  for (let at = 0; at < NODES; at++)
    store.plant(`nodes/${nodeOf(at)}`, { machine: `m-${at}`, boot: `boot-${at}`, since: '' });
  const drivers = Array.from({ length: NODES }, (_, at) => start(at));
  return {
    async call(at, name, body) {
      try {
        return { granted: await asked(drivers[at]!, name, JSON.stringify(body)) };
      } catch (error) {
        if (error instanceof IpamError && error.kind !== 'broken' && error.kind !== 'unavailable')
          return { refused: error.message };
        throw error;
      }
    },
    async restart(at) {
      drivers[at] = start(at);
    },
    keyspace: async () => store.keyspace(),
  };
}

const { signal } = new AbortController();

async function asked(driver: Driver, name: Name, body: string): Promise<Record<string, string>> {
  const call = { deadline: performance.now() + 10_000, signal, onUndelivered: () => undefined };
  switch (name) {
    case 'RequestPool': {
      const { poolId, pool } = await driver.requestPool(parse(name, body), call);
      return { PoolID: poolId, Pool: pool };
    }
    case 'RequestAddress':
      return { Address: (await driver.requestAddress(parse(name, body), call)).address };
    case 'ReleaseAddress':
      await driver.releaseAddress(parse(name, body), call);
      return {};
    case 'ReleasePool':
      await driver.releasePool(parse(name, body), call);
      return {};
    case 'GetCapabilities':
      driver.getCapabilities();
      return {};
  }
}

/** A driver that says the same of every change it makes, but with conditions left out. */
const without =
  (left: (change: Change<readonly Query[]>, condition: Condition) => boolean) =>
  (store: Store): Store => ({
    read: (queries, by) => store.read(queries, by),
    commit: (change, by) => store.commit({ ...change, when: change.when.filter((one) => !left(change, one)) }, by),
    seen: () => store.seen(),
  });

const of = (condition: Condition, ...rooms: string[]) =>
  rooms.some((room) => ('none' in condition ? condition.none.from : condition.key.key).startsWith(room));
const removes = ({ write }: Change<readonly Query[]>, room: string) =>
  write.some((one) => 'remove' in one && one.remove.key.startsWith(room));

/** A driver that takes some releases for others than they are. `owner` knows the PoolIDs that were given, oldest first. */
function mistaking(
  life: Life,
  mistake: (given: readonly Given[], release: Given & { address: string }, keyspace: Keyspace) => Given | undefined,
): World {
  const world = memoryWorld(life);
  const given: Given[] = [];
  return {
    ...world,
    async call(at, name, body) {
      if (name === 'ReleaseAddress') {
        const release = { at, poolId: body!.PoolID as string, address: body!.Address as string };
        const taken = mistake(given, release, await world.keyspace());
        if (taken) return world.call(taken.at, name, { ...body, PoolID: taken.poolId });
      }
      const reply = await world.call(at, name, body);
      if (name === 'RequestPool' && 'granted' in reply) given.push({ at, poolId: reply.granted.PoolID! });
      return reply;
    },
  };
}

interface Given {
  readonly at: number;
  readonly poolId: string;
}

/** Flaws that a driver could have, each of which has cost or could cost an address. */
const FLAWS: Readonly<Record<string, (life: Life) => World>> = {
  'a release that compares nothing': (life) =>
    memoryWorld(
      life,
      without((change) => !change.witness && removes(change, 'claims/')),
    ),
  'a grant that does not compare its address': (life) =>
    memoryWorld(
      life,
      without((change, one) => change.witness !== undefined && of(one, 'claims/')),
    ),
  'a leader that does not compare its epoch': (life) =>
    memoryWorld(
      life,
      without((change, one) => change.witness !== undefined && of(one, 'pools/global', 'joins/global')),
    ),
  'the end of a pool that does not compare its other joins': (life) =>
    memoryWorld(
      life,
      without((change, one) => !change.witness && 'none' in one && of(one, 'joins/')),
    ),
  'a release that goes by the address alone': (life) =>
    mistaking(life, (given, { poolId, address }, keyspace) => {
      const [subnet] = poolId.split('?');
      const key = Object.keys(keyspace).find((one) => one.startsWith('claims/') && one.endsWith(`/${wide(address)}`));
      const { join } = ((key && keyspace[key]) ?? {}) as { join?: string };
      return given.find((one) => one.poolId.startsWith(`${subnet}?`) && one.poolId.endsWith(`join=${join}`));
    }),
  "a deposed leader's release that counts as its successor's": (life) =>
    mistaking(life, (given, { poolId }) =>
      poolId.startsWith('global/') ? given.findLast((one) => one.poolId.startsWith('global/')) : undefined,
    ),
  'a release that counts whichever node it comes from': (life) =>
    mistaking(life, (given, { poolId }) => given.find((one) => one.poolId === poolId)),
};

describe('replays with mutated calls, on the double', function () {
  this.timeout(180_000);

  before(() => console.log(`      seed ${SEED} (ETCD_IPAM_TEST_SEED repeats it)`));

  it(`take no address from its holder in ${LIVES} lives with at least ${MUTATIONS} mutated calls`, async () => {
    const tally: Tally = new Map();
    const property = fc.asyncProperty(lives(LEAST, MOST), (life) => live(memoryWorld(life), life, tally));
    await fc.assert(property, { numRuns: LIVES, seed: SEED });
    expect(tally.get('mutations sent')).to.be.at.least(MUTATIONS);
    for (const what of REACHED) expect(tally.get(what) ?? 0, what).to.be.greaterThan(3);
  });

  it(`hold at every revision of ${INSPECTED} lives only what an inspection knows to be in passing, and nothing at rest`, async () => {
    const property = fc.asyncProperty(lives(LEAST, MOST), async (life) => {
      const store = new MemoryStore();
      const inspected = new Inspected(store);
      await live(
        memoryWorld(life, (same) => same, store),
        life,
      );
      inspected.atRest();
    });
    await fc.assert(property, { numRuns: INSPECTED, seed: SEED });
  });

  for (const [flaw, world] of Object.entries(FLAWS))
    it(`finds ${flaw}`, async () => {
      const property = fc.asyncProperty(lives(LEAST, MOST), (life) => live(world(life), life));
      const run = await fc.check(property, { numRuns: LIVES, seed: SEED, endOnFailure: true });
      expect(run.failed, 'found').to.equal(true);
      expect(run.errorInstance).to.be.instanceOf(Violation);
    });
});
