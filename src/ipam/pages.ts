// Reading a span of any length, a page at a time: no answer grows with what is stored. Keys that are not ours are gone past.
import { behind, isOurs, poolsUpTo, type Subnet, subnetOfPool } from './keyspace.js';
import type { Answers, Deadline, Found, Query, Span, Store } from './store.js';

const PAGE = 1_000;
/** So many times as many keys are read where those before were none of ours. */
const FURTHER = 16;

/** Each page at a revision of its own. */
export async function* all<R>(store: Store, span: Span<R>, by: Deadline, limit = PAGE): AsyncGenerator<Found<R>> {
  for (let rest: Span<R> | undefined = span; rest; ) {
    const page: Page<R> = await readPage(store, rest, limit, by);
    yield* page.found;
    rest = page.rest;
  }
}

export interface Page<R> {
  readonly found: readonly Found<R>[];
  /** What is behind it, if anything is. */
  readonly rest: Span<R> | undefined;
}

/** Nothing is made of what a key that is not ours says, which may be anything. */
export async function readPage<R>(store: Store, span: Span<R>, limit: number, by: Deadline): Promise<Page<R>> {
  const later: Span<() => R> = { ...span, decode: (json, key) => () => span.decode(json, key) };
  const [{ found, more }] = await store.read([{ span: later, limit }], by);
  const ours = found.filter(({ key }) => isOurs(key)).map(({ record, ...one }) => ({ ...one, record: record() }));
  return { found: ours, rest: more ? behind(span, found.at(-1)!.key) : undefined };
}

/** As above, for whoever prints them: the next page is on its way while this one is used. */
export async function* pages<R>(
  store: Store,
  span: Span<R>,
  by: Deadline,
  limit: number,
): AsyncGenerator<readonly Found<R>[]> {
  let next: Promise<Page<R>> | undefined = readPage(store, span, limit, by);
  while (next) {
    const { found, rest }: Page<R> = await next;
    next = rest && readPage(store, rest, limit, by);
    // Its failure is told when it is its turn.
    next?.catch(() => undefined);
    yield found;
  }
}

/**
 * The last pool of the space that begins at or below the end of the block: if any overlaps with the block, it does. With it, at the
 * same revision, the answers to other queries.
 */
export async function nearestPool<const Q extends readonly Query[]>(
  store: Store,
  { space, prefix }: Subnet,
  beside: Q,
  by: Deadline,
): Promise<{ readonly nearest: Subnet | undefined; readonly seen: Answers<Q> }> {
  for (let limit = 1; ; limit *= FURTHER) {
    const span = { span: poolsUpTo(space, prefix), limit, last: true };
    const answers = await store.read([...beside, span], by);
    const { found, more } = answers.at(-1) as Answers<readonly [typeof span]>[0];
    const pool = found.find(({ key }) => isOurs(key));
    if (pool || !more)
      return { nearest: pool && subnetOfPool(pool.key), seen: answers.slice(0, -1) as unknown as Answers<Q> };
  }
}
