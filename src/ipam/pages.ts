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
