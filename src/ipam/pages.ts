// Reading a span of any length, a page at a time: no answer grows with what is stored.
import { behind } from './keyspace.js';
import type { Deadline, Found, Span, Store } from './store.js';

const PAGE = 1_000;

/** Each page at a revision of its own. */
export async function* all<R>(store: Store, span: Span<R>, by: Deadline): AsyncGenerator<Found<R>> {
  for (let rest = span; ; ) {
    const [page] = await store.read([{ span: rest, limit: PAGE }], by);
    yield* page.found;
    if (!page.more) return;
    rest = behind(rest, page.found.at(-1)!.key);
  }
}

interface Page<R> {
  readonly found: readonly Found<R>[];
  readonly more: boolean;
}

/** As above, for whoever prints them: the next page is on its way while this one is used. */
export async function* pages<R>(
  store: Store,
  span: Span<R>,
  by: Deadline,
  limit: number,
): AsyncGenerator<readonly Found<R>[]> {
  const read = async (rest: Span<R>): Promise<Page<R>> => (await store.read([{ span: rest, limit }], by))[0];
  let next: Promise<Page<R>> | undefined = read(span);
  while (next) {
    const page: Page<R> = await next;
    next = page.more ? read(behind(span, page.found.at(-1)!.key)) : undefined;
    // Its failure is told when it is its turn.
    next?.catch(() => undefined);
    yield page.found;
  }
}
