// Lives of swarms and bridges with mutated calls among them, against a driver for each of three nodes over the in-memory
// double. A referee that knows the wire alone says when an address was taken from its holder, or given twice.
import { expect } from 'chai';
import fc from 'fast-check';
import type { Change, Condition, Query, Store } from '../../src/ipam/store.js';
import { Inspected } from '../support/inspected.js';
import { wide } from '../support/keyspace-view.js';
import { type Life, live, lives, type Tally, type World } from '../support/lives.js';
import { MemoryStore } from '../support/memory-store.js';
import { memoryWorld } from '../support/memory-world.js';
import { Pasts } from '../support/pasts.js';
import { type Keyspace, Violation } from '../support/referee.js';

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
  write.some((one) =>
    'put' in one
      ? one.rests !== undefined && one.put.key.startsWith(room)
      : 'remove' in one && one.remove.key.startsWith(room),
  );

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
  this.timeout(600_000);

  before(() => console.log(`      seed ${SEED} (ETCD_IPAM_TEST_SEED repeats it)`));

  it(`take no address from its holder in ${LIVES} lives with at least ${MUTATIONS} mutated calls`, async () => {
    const tally: Tally = new Map();
    const property = fc.asyncProperty(lives(LEAST, MOST), (life) => live(memoryWorld(life), life, tally));
    await fc.assert(property, { numRuns: LIVES, seed: SEED });
    expect(tally.get('mutations sent')).to.be.at.least(MUTATIONS);
    for (const what of REACHED) expect(tally.get(what) ?? 0, what).to.be.greaterThan(3);
  });

  it(`hold at every revision of ${INSPECTED} lives only what an inspection knows to be in passing, nothing at rest, and tells of all who had an address`, async () => {
    const ended = new Map<string, number>();
    const property = fc.asyncProperty(lives(LEAST, MOST), async (life) => {
      const store = new MemoryStore();
      const inspected = new Inspected(store);
      const pasts = life.pace % 2 === 0 ? undefined : new Pasts(store);
      await live(
        memoryWorld(life, (same) => same, undefined, store),
        life,
      );
      inspected.atRest();
      pasts?.look();
      for (const [how, count] of pasts?.ended ?? []) ended.set(how, (ended.get(how) ?? 0) + count);
    });
    await fc.assert(property, { numRuns: INSPECTED, seed: SEED });
    expect([...ended.keys()]).to.include.members(['released', 'taken']);
  });

  for (const [flaw, world] of Object.entries(FLAWS))
    it(`finds ${flaw}`, async () => {
      const property = fc.asyncProperty(lives(LEAST, MOST), (life) => live(world(life), life));
      const run = await fc.check(property, { numRuns: LIVES, seed: SEED, endOnFailure: true });
      expect(run.failed, 'found').to.equal(true);
      expect(run.errorInstance).to.be.instanceOf(Violation);
    });
});
