// How many of a pool's claims only rest. A count of keys does not tell, so claims are read, a bounded number of them: of a pool
// that has more nobody guesses. Decides nothing.
import { claimsBetween, poolKeyOf } from './keyspace.js';
import { pages } from './pages.js';
import type { Deadline, Span, Store } from './store.js';

/** Claims of one answer: decoding them takes some 8 ms, in which a driver hears no engine. */
const PAGE = 1_000;

export interface Counted {
  /** Of its record. */
  readonly key: string;
  readonly used: number;
}

/**
 * By the pool's key; not of those whose claims are more than what is left, the smallest taken first. `pools`: in the order of
 * their keys. `budget`: claims that may be read, and fewer at once.
 */
export async function coolingIn(
  store: Store,
  pools: readonly Counted[],
  budget: { left: number },
  by: Deadline,
): Promise<ReadonlyMap<string, number>> {
  const cooling = new Map<string, number>();
  for (const { key } of affordable(pools, budget)) cooling.set(key, 0);
  for (const [first, last] of runs(pools, cooling)) {
    for await (const page of pages(store, briefly(claimsBetween(first, last)), by, PAGE))
      for (const { key, record: rests } of page) {
        const pool = rests ? poolKeyOf(key) : '';
        const count = cooling.get(pool);
        if (count !== undefined) cooling.set(pool, count + 1);
      }
  }
  // Some may have been given back since they were counted.
  for (const { key, used } of pools) if (cooling.get(key)! > used) cooling.set(key, used);
  return cooling;
}

function* affordable(pools: readonly Counted[], budget: { left: number }): Generator<Counted> {
  for (const pool of [...pools].sort((a, b) => a.used - b.used)) {
    if (pool.used > budget.left) return;
    budget.left -= pool.used;
    yield pool;
  }
}

/** From one pool to another, with none between them that is not to be looked at. */
function* runs(pools: readonly Counted[], wanted: ReadonlyMap<string, number>): Generator<readonly [string, string]> {
  let run: [string, string] | undefined;
  for (const { key, used } of pools) {
    if (used === 0) continue;
    if (wanted.has(key)) run = [run?.[0] ?? key, key];
    else if (run) {
      yield run;
      run = undefined;
    }
  }
  if (run) yield run;
}

/** Nothing else of a claim is looked at, as there may be many. */
function briefly({ from, to }: Span<unknown>): Span<boolean> {
  return { from, to, decode: (json) => (json as { readonly kind?: unknown } | null | undefined)?.kind === 'cooling' };
}
