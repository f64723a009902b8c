// Ranges of addresses as people write them: one address, two ends, or a block. Knows text and order; not what lies in one.
import { type Address, formatAddress, NetError, parseAddress } from './address.js';
import { parsePrefix, type Range, rangeOf } from './prefix.js';

/** `10.66.0.9`, `10.66.0.10-10.66.0.20` or `10.66.0.64/26`, as strict as the parsers of its parts. Throws a NetError. */
export function parseRange(text: string): Range {
  if (text.includes('/')) return rangeOf(parsePrefix(text));
  const [first, last, ...rest] = text.split('-') as [string, ...string[]];
  const from = parseAddress(first);
  const to = last === undefined ? from : parseAddress(last);
  if (rest.length > 0 || from.family !== to.family)
    throw new NetError(text, 'is not a range such as 10.66.0.10-10.66.0.20');
  if (to.value < from.value) throw new NetError(text, 'ends before it begins');
  return { family: from.family, from: from.value, to: to.value };
}

/** One address for a range of one. */
export function formatRange({ family, from, to }: Range): string {
  const first = formatAddress({ family, value: from });
  return from === to ? first : `${first}-${formatAddress({ family, value: to })}`;
}

export function holds({ family, from, to }: Range, { family: other, value }: Address): boolean {
  return family === other && value >= from && value <= to;
}
