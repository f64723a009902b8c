// Rows onto a stream, as they are read: lines for people or JSON, no faster than they are taken. Knows no record.
import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** A page at a time. With JSON an object a line, or with `array` one array of them. */
export async function print<R>(
  pages: AsyncIterable<readonly R[]>,
  out: Writable,
  how: { readonly lines: (rows: readonly R[]) => readonly string[] } | { readonly json: 'lines' | 'array' },
): Promise<void> {
  const array = 'json' in how && how.json === 'array';
  let any = false;
  for await (const rows of pages) {
    const texts = 'lines' in how ? how.lines(rows) : rows.map((row) => JSON.stringify(row));
    if (texts.length === 0) continue;
    const begin = array ? (any ? ',\n' : '[') : '';
    any = true;
    if (!out.write(`${begin}${texts.join(array ? ',\n' : '\n')}${array ? '' : '\n'}`)) await once(out, 'drain');
  }
  if (array) out.write(any ? ']\n' : '[]\n');
  else if (!any && 'lines' in how) for (const text of how.lines([])) out.write(`${text}\n`);
}
