// How full pools are: a count of keys each, at one revision for up to 32 of them. Lists no pool's claims.
import { formatPrefix, usable } from '../net/prefix.js';
import { claimsIn, poolKey, type Subnet } from './keyspace.js';
import type { Deadline, Store } from './store.js';

export interface Fill {
  readonly space: string;
  readonly pool: string;
  /** Addresses that may be given to an interface; Number, as exact as that is beyond 2^53. */
  readonly size: number;
  /** Those of them that have a claim, whatever it says. */
  readonly used: number;
}

/** etcd takes 128 operations in a transaction, and each pool needs two. */
const AT_ONCE = 32;

/** Of those pools that exist. */
export async function fillOf(store: Store, subnets: readonly Subnet[], by: Deadline): Promise<Fill[]> {
  const fills: Fill[] = [];
  for (let i = 0; i < subnets.length; i += AT_ONCE) {
    const some = subnets.slice(i, i + AT_ONCE);
    const queries = some.flatMap((subnet) => [
      { one: poolKey(subnet) },
      { count: claimsIn(subnet, usable(subnet.prefix)) },
    ]);
    const answers = await store.read(queries, by);
    some.forEach(({ space, prefix }, at) => {
      const { from, to } = usable(prefix);
      if (answers[2 * at] === undefined) return;
      fills.push({
        space,
        pool: formatPrefix(prefix),
        size: Number(to - from + 1n),
        used: answers[2 * at + 1] as number,
      });
    });
  }
  return fills;
}
