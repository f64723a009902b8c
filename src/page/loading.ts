// Fetches what a map shows, piece by piece, so that it is drawn while it comes. Knows no canvas.
import type { Addresses, Blocks, Change, Pool } from '../web/shapes.js';
import { formatBlock, parseBlock, partOf, sizeOf } from './addresses.js';
import { get, pathOf } from './ask.js';
import { AddressCells, BlockCells, type Cells, MOST_ADDRESSES } from './cells.js';

export interface Loading {
  readonly cells: Cells;
  /** Claims read so far; undefined when all are. */
  readonly read?: number;
}

/** Of so many claims one half is read by the server while the other one is on its way. */
const MANY = 4_096;

/** What happens meanwhile is to be given to it: a page that was read before may come after. */
export class Loader {
  #meanwhile: Change[] | undefined;

  heard(changes: readonly Change[]): void {
    this.#meanwhile?.push(...changes);
  }

  async *load(pool: Pool, of: string, signal: AbortSignal): AsyncGenerator<Loading, void, undefined> {
    const block = parseBlock(of);
    if (sizeOf(block) > MOST_ADDRESSES) {
      yield { cells: new BlockCells(await get<Blocks>(`${pathOf(pool)}/blocks?of=${of}`, signal)) };
      return;
    }
    const cells = new AddressCells(block);
    this.#meanwhile = [];
    let read = 0;
    const halves = [0, 1].map((at) => formatBlock(partOf(block, block.length + 1, at)));
    const parts = pool.used > MANY && sizeOf(block) > BigInt(MANY) ? halves : [of];
    for await (const page of merged(parts.map((part) => pagesOf(pool, part, signal)))) {
      cells.add(page);
      read += page.offset.length;
      yield { cells, read };
    }
    for (const change of this.#meanwhile)
      if (change.pool === pool.pool && change.space === pool.space) cells.change(change);
    this.#meanwhile = undefined;
    yield { cells };
  }
}

async function* pagesOf(pool: Pool, of: string, signal: AbortSignal): AsyncGenerator<Addresses, void, undefined> {
  for (let after: string | null = ''; after !== null; ) {
    const more = after === '' ? '' : `&after=${after}`;
    const page: Addresses = await get(`${pathOf(pool)}/addresses?of=${of}${more}`, signal);
    yield page;
    after = page.next;
  }
}

/** What any of them has next, as it comes. */
export async function* merged<T>(
  all: readonly AsyncGenerator<T, void, undefined>[],
): AsyncGenerator<T, void, undefined> {
  const step = (from: AsyncGenerator<T, void, undefined>) => {
    const next = from.next().then((result) => ({ from, result }));
    // Where another one has failed before, nobody waits for it.
    next.catch(() => undefined);
    return next;
  };
  const coming = new Map(all.map((from) => [from, step(from)]));
  while (coming.size > 0) {
    const { from, result } = await Promise.race(coming.values());
    if (result.done) coming.delete(from);
    else {
      coming.set(from, step(from));
      yield result.value;
    }
  }
}
