// What is said of a pool that is asked for and is not there: what there is instead. Reads only.
import { IpamError } from '../ipam/errors.js';
import { listed } from '../ipam/findings.js';
import { behind, EVERY_POOL, isOurs, poolKey, type Subnet, subnetOfPool } from '../ipam/keyspace.js';
import type { Deadline, Store } from '../ipam/store.js';
import { equal, formatPrefix, overlaps } from '../net/prefix.js';

const PAGE = 4_000;

/** Throws `unknown_pool` where there is no such pool. One that is being removed still is. */
export async function mustBePool(store: Store, subnet: Subnet, by: Deadline): Promise<void> {
  const { key, decode } = poolKey(subnet);
  const [count] = await store.read([{ count: { from: key, to: `${key}\0`, decode } }], by);
  if (count === 0) throw await noPool(store, subnet, by);
}

export async function noPool(store: Store, subnet: Subnet, by: Deadline): Promise<IpamError> {
  const { overlapping, spaces } = await beside(store, subnet, by);
  const pool = formatPrefix(subnet.prefix);
  if (overlapping)
    return new IpamError(
      'unknown_pool',
      `${pool} is no pool of space ${subnet.space}: it overlaps with pool ${formatPrefix(overlapping.prefix)}`,
    );
  const elsewhere = spaces.length === 0 ? '' : `; ${listed(spaces)} ${spaces.length > 1 ? 'have' : 'has'} one`;
  return new IpamError('unknown_pool', `there is no pool ${pool} in ${subnet.space}${elsewhere}`);
}

/** The other spaces that have a pool of the very subnet, and a pool of its own space that overlaps with it. */
export async function beside(
  store: Store,
  { space, prefix }: Subnet,
  by: Deadline,
): Promise<{ readonly spaces: readonly string[]; readonly overlapping?: Subnet }> {
  const spaces: string[] = [];
  let overlapping: Subnet | undefined;
  for (let rest = EVERY_POOL; ; ) {
    const [{ keys, more }] = await store.read([{ keys: rest, limit: PAGE }], by);
    for (const one of keys.filter(isOurs).map(subnetOfPool)) {
      if (!overlaps(one.prefix, prefix)) continue;
      if (one.space === space) overlapping ??= one;
      else if (equal(one.prefix, prefix)) spaces.push(one.space);
    }
    if (!more) return { spaces, ...(overlapping && { overlapping }) };
    rest = behind(rest, keys.at(-1)!);
  }
}
