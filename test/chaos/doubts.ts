// Containers of one network on the double, whose store loses answers: a removal is made, and its sender is told what there is some
// time later. What was used and written then is for the checker to judge.
import { setImmediate as turn } from 'node:timers/promises';
import type { Allocator } from '../../src/ipam/allocator.js';
import type { PoolRef } from '../../src/ipam/pool-id.js';
import type { Store } from '../../src/ipam/store.js';
import { type Address, formatAddress } from '../../src/net/address.js';
import { parsePrefix } from '../../src/net/prefix.js';
import { MemoryStore } from '../support/memory-store.js';
import { surroundings } from '../support/sequences.js';
import { Draw } from './chance.js';
import { type Finding, match, overlaps } from './checker.js';
import type { Call, Use, Written } from './history.js';
import { noted } from './noted.js';
import { taken } from './taken.js';

const POOL = '10.66.0.0/24';
/** So few that what was given back is soon given again. */
const RANGE = '10.66.0.8/31';
const AT_ONCE = 3;
const LIVES = 15;

export async function doubtsOf(code: typeof Allocator, seed: string): Promise<Finding[]> {
  const [draw, store] = [new Draw(`doubts ${seed}`), new MemoryStore()];
  const [calls, uses, writes] = [[] as Call[], [] as Use[], [] as Written[]];
  let at = 0;
  const pause = async (most: number) => {
    for (let turns = draw.below(most); turns > 0; turns--) await turn();
  };
  const lossy: Store = {
    read: (...args) => pause(3).then(() => store.read(...args)),
    commit: async (change, by) => {
      await pause(3);
      const outcome = await store.commit(change, by);
      noted(store, writes, ++at);
      if (change.witness || !draw.percent(40)) return outcome;
      await pause(12);
      return { done: false, seen: await store.read(change.otherwise, by) };
    },
    seen: () => store.seen(),
  };
  store.plant('nodes/a', { machine: 'm', boot: '1', since: '' });
  const failed = (what: string, cause: unknown) => {
    throw new Error(`${what} failed for good`, { cause });
  };
  const allocator = new code(lossy, { node: 'a', boot: '1' }, surroundings(seed, { skew: 0 }), [], failed);
  const soon = () => performance.now() + 10_000;
  const ask = { space: 'local', pool: parsePrefix(POOL), range: parsePrefix(RANGE), shared: [] };
  const { reply: pool } = await allocator.requestPool(ask, soon());
  const live = async (name: string) => {
    const call: Call = {
      ...about(pool),
      name: 'RequestAddress',
      node: 'a',
      asked: ++at,
      limit: Number.POSITIVE_INFINITY,
    };
    let given: Address;
    try {
      given = (await allocator.requestAddress({ pool, purpose: 'endpoint', name }, soon())).reply;
    } catch {
      return;
    }
    calls.push(Object.assign(call, { ended: ++at, outcome: 'granted', given: formatAddress(given) }));
    const held = { ...about(pool), address: formatAddress(given), who: name, node: 'a', shared: false, grant: call };
    const use: Use = { ...held, from: ++at };
    uses.push(use);
    await pause(20);
    use.until = ++at;
    await allocator.releaseAddress(pool, given, soon());
  };
  const actors = Array.from({ length: AT_ONCE }, async (_, actor) => {
    for (let life = 0; life < LIVES; life++) await live(`c${actor}-${life}`).then(() => pause(6));
  });
  await Promise.all(actors);
  const { matched, findings } = match(calls, writes, ({ known }) => known);
  return [...overlaps(uses), ...findings, ...taken(uses, matched, writes)];
}

function about({ join }: PoolRef): { place: string; join: string } {
  return { place: `local ${POOL}`, join };
}
