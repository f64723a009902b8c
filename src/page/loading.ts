// Fetches what a map shows, piece by piece, so that it is drawn while it comes. Knows no canvas.
import type { Addresses, Blocks, Change, Pool } from '../web/shapes.js';
import { parseBlock, sizeOf } from './addresses.js';
import { get, pathOf } from './ask.js';
import { AddressCells, BlockCells, type Cells, MOST_ADDRESSES } from './cells.js';

export interface Loading {
  readonly cells: Cells;
  /** Claims read so far; undefined when all are. */
  readonly read?: number;
}

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
    for (let after: string | null = ''; after !== null; ) {
      const more = after === '' ? '' : `&after=${after}`;
      const page: Addresses = await get(`${pathOf(pool)}/addresses?of=${of}${more}`, signal);
      cells.add(page);
      read += page.offset.length;
      after = page.next;
      if (after !== null) yield { cells, read };
    }
    for (const change of this.#meanwhile)
      if (change.pool === pool.pool && change.space === pool.space) cells.change(change);
    this.#meanwhile = undefined;
    yield { cells };
  }
}
