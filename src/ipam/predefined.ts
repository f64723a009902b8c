// The blocks that networks without a subnet are cut from (IPAM_POOLS).
import { BITS, type Family, NetError } from '../net/address.js';
import { formatPrefix, overlaps, type Prefix, parsePrefix } from '../net/prefix.js';
import { specialIn } from '../net/special.js';

/** Networks of `length` are cut from `base`. */
export interface Predefined {
  readonly base: Prefix;
  readonly length: number;
}

/**
 * Comma-separated `BASE/LENGTH/SIZE`, such as `10.208.0.0/12/24,fd00:e7cd::/48/64`. Sizes leave at least two usable
 * addresses (a gateway and one container): /30 or /126 at most. A base that holds addresses which no host can have is
 * refused, as it is as a --subnet. Throws a NetError.
 */
export function parsePredefined(text: string): Predefined[] {
  const list: Predefined[] = [];
  for (const entry of text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')) {
    const cut = entry.lastIndexOf('/');
    const size = entry.slice(cut + 1);
    if (cut < 0 || !/^[1-9][0-9]{0,2}$/.test(size))
      throw new NetError(entry, 'is not BASE/LENGTH/SIZE such as 10.208.0.0/12/24');
    const base = parsePrefix(entry.slice(0, cut));
    const length = Number(size);
    const longest = BITS[base.family] - 2;
    if (length < base.length || length > longest) {
      throw new NetError(
        entry,
        `cuts networks of /${length}; the size must be between /${base.length} and /${longest}`,
      );
    }
    const special = specialIn(base);
    if (special) throw new NetError(entry, `holds addresses that no host can have: ${special}`);
    const clash = list.find((other) => overlaps(other.base, base));
    if (clash) throw new NetError(entry, `overlaps with ${formatPrefix(clash.base)}`);
    list.push({ base, length });
  }
  return list;
}

export function ofFamily(list: readonly Predefined[], family: Family): Predefined[] {
  return list.filter(({ base }) => base.family === family);
}
