// How full pools are: a count of keys each, for many of them at one revision; where an operator has ruled, of each block
// that he left out as well. Lists no pool's claims.
import { formatPrefix, usable } from '../net/prefix.js';
import { claimsIn, EVERY_POOL, poolKey, type Subnet } from './keyspace.js';
import type { ListedPool } from './records.js';
import { rulesOf } from './rules.js';
import type { Deadline, Found, Store } from './store.js';

/** `size` is the sum of `used`, `excluded`, `reserved` and `free`. */
export interface Fill {
  readonly space: string;
  readonly pool: string;
  /** Addresses that may be given to an interface; Number, as exact as that is beyond 2^53. */
  readonly size: number;
  /** Those of them that have a claim, whatever it says. */
  readonly used: number;
  /** Those without one that are left out, and those that are kept for somebody. */
  readonly excluded: number;
  readonly reserved: number;
  /** Those that whoever asks for any may get. */
  readonly free: number;
  /** How full is too full, in per cent, where an operator has said so; `full` says that it is. */
  readonly warnAt?: number;
  readonly full?: boolean;
}

/** etcd takes 128 operations in a transaction, and each pool needs two, or one where its record is known. */
const AT_ONCE = 60;
const COUNTED = 128;

export interface KnownPool {
  readonly subnet: Subnet;
  readonly record: Pick<ListedPool, 'rules'>;
}

/** Of each in its turn, by the record that it had a moment ago. */
export async function fillOfKnown(store: Store, pools: readonly KnownPool[], by: Deadline): Promise<Fill[]> {
  const fills: Fill[] = [];
  for (let i = 0; i < pools.length; i += COUNTED) {
    const some = pools.slice(i, i + COUNTED);
    const counts = await store.read(
      some.map(({ subnet }) => ({ count: claimsIn(subnet, usable(subnet.prefix)) })),
      by,
    );
    for (const [at, { subnet, record }] of some.entries())
      fills.push(await fill(store, subnet, record, counts[at]!, by));
  }
  return fills;
}

/** Of those pools that exist. */
export async function fillOf(store: Store, subnets: readonly Subnet[], by: Deadline): Promise<Fill[]> {
  const fills: Fill[] = [];
  for (let i = 0; i < subnets.length; i += AT_ONCE) {
    const some = subnets.slice(i, i + AT_ONCE);
    const queries = some.flatMap((subnet) => [
      { one: { ...poolKey(subnet), decode: EVERY_POOL.decode } },
      { count: claimsIn(subnet, usable(subnet.prefix)) },
    ]);
    const answers = await store.read(queries, by);
    for (const [at, subnet] of some.entries()) {
      const pool = answers[2 * at] as Found<ListedPool> | undefined;
      if (pool) fills.push(await fill(store, subnet, pool.record, answers[2 * at + 1] as number, by));
    }
  }
  return fills;
}

/** How much of what can be given is given, in per cent. */
export function percentUsed({ used, free }: Pick<Fill, 'used' | 'free'>): number {
  return free === 0 ? 100 : (used * 100) / (used + free);
}

async function fill(
  store: Store,
  subnet: Subnet,
  record: KnownPool['record'],
  used: number,
  by: Deadline,
): Promise<Fill> {
  const { from, to } = usable(subnet.prefix);
  const size = Number(to - from + 1n);
  const left = await leftOut(store, subnet, record, by);
  // What came in between two counts is not to show as less than nothing.
  const free = Math.max(0, size - used - left.excluded - left.reserved);
  const { warnAt } = record.rules ?? {};
  const warned = warnAt === undefined ? {} : { warnAt, full: percentUsed({ used, free }) >= warnAt };
  return { ...{ space: subnet.space, pool: formatPrefix(subnet.prefix), size, used }, ...left, free, ...warned };
}

/** What rules bar and nobody has. */
async function leftOut(store: Store, subnet: Subnet, record: KnownPool['record'], by: Deadline) {
  const left = { excluded: 0, reserved: 0 };
  const { barred } = rulesOf(record);
  for (let i = 0; i < barred.length; i += COUNTED) {
    const some = barred.slice(i, i + COUNTED);
    const counts = await store.read(
      some.map((block) => ({ count: claimsIn(subnet, block) })),
      by,
    );
    for (const [at, { why, from, to }] of some.entries()) left[why] += Number(to - from + 1n) - counts[at]!;
  }
  return left;
}
