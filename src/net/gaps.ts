// Finding room between blocks and between addresses. Knows order and alignment; not why something is taken.
import { BITS } from './address.js';
import { lastOf, type Prefix, prefixOf, type Range } from './prefix.js';

/** The lowest block of `length` inside `base` that overlaps none of `taken` (ascending, any length). */
export function firstGap(base: Prefix, length: number, taken: readonly Prefix[]): Prefix | undefined {
  const { family } = base;
  if (length < base.length || length > BITS[family]) return undefined;
  const end = lastOf(base);
  let at = base.first;
  for (const block of taken) {
    if (lastOf(block) < at) continue;
    const candidate: Prefix = { family, first: at, length };
    if (lastOf(candidate) < block.first) break;
    const next = prefixOf({ family, value: lastOf(block) }, length);
    at = lastOf(next) + 1n;
    if (at > end) return undefined;
  }
  return { family, first: at, length };
}

/** The values of the range that are not in `taken` (ascending), lowest first. For ranges of at most a few hundred. */
export function freeIn(range: Range, taken: readonly bigint[]): bigint[] {
  const free: bigint[] = [];
  let next = 0;
  for (let value = range.from; value <= range.to; value++) {
    while (next < taken.length && taken[next]! < value) next++;
    if (taken[next] !== value) free.push(value);
  }
  return free;
}

/** At most `parts` ranges of nearly equal size that make up the range, ascending. */
export function split(range: Range, parts: number): Range[] {
  const size = range.to - range.from + 1n;
  const count = size < BigInt(parts) ? size : BigInt(parts);
  const pieces: Range[] = [];
  for (let i = 0n; i < count; i++) {
    pieces.push({
      family: range.family,
      from: range.from + (size * i) / count,
      to: range.from + (size * (i + 1n)) / count - 1n,
    });
  }
  return pieces;
}
