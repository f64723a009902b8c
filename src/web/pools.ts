// The pools as the page lists them: how full, who has a part, what the operator has set, and where it is heading. Reads only.
import { coolingIn } from '../ipam/cooling.js';
import { fillOfKnown } from '../ipam/fill.js';
import { EVERY_JOIN, EVERY_POOL, joinsOf, poolKey, poolKeyOf, type Subnet, subnetOfPool } from '../ipam/keyspace.js';
import { all } from '../ipam/pages.js';
import type { ListedPool } from '../ipam/records.js';
import type { Deadline, Found, Store } from '../ipam/store.js';
import type { Pool, PoolAlone } from './shapes.js';
import { type Samples, trendOf } from './trend.js';

/** Claims that are read for the sake of those that rest: for a tenth of a second, 1,000 at a time. */
const MOST_CLAIMS = 8_192;

/** In the order of spaces and addresses. Each that is counted becomes a sample. */
export async function readPools(store: Store, samples: Samples, now: Date, by: Deadline): Promise<Pool[]> {
  const nodes = new Map<string, Set<string>>();
  for await (const { key, record } of all(store, EVERY_JOIN, by)) {
    const pool = poolKeyOf(key);
    nodes.set(pool, (nodes.get(pool) ?? new Set()).add(record.node));
  }
  const found: Found<ListedPool>[] = [];
  for await (const one of all(store, EVERY_POOL, by)) found.push(one);
  return counted(store, found, (key) => nodes.get(key)?.size ?? 0, samples, now, by);
}

/** Undefined: there is none. */
export async function readPool(
  store: Store,
  subnet: Subnet,
  samples: Samples,
  now: Date,
  by: Deadline,
): Promise<PoolAlone | undefined> {
  const [found] = await store.read([{ one: { ...poolKey(subnet), decode: EVERY_POOL.decode } }], by);
  if (!found) return undefined;
  const members = new Set<string>();
  for await (const { record } of all(store, { ...joinsOf(subnet), decode: EVERY_JOIN.decode }, by))
    members.add(record.node);
  const [pool] = await counted(store, [found], () => members.size, samples, now, by);
  return pool && { ...pool, members: [...members].sort() };
}

async function counted(
  store: Store,
  found: readonly Found<ListedPool>[],
  nodesOf: (key: string) => number,
  samples: Samples,
  now: Date,
  by: Deadline,
): Promise<Pool[]> {
  const known = found.map(({ key, record }) => ({ subnet: subnetOfPool(key), record }));
  const fills = await fillOfKnown(store, known, by);
  samples.add(fills, now);
  const keys = found.map(({ key }, i) => ({ key, used: fills[i]!.used }));
  const cooling = await coolingIn(store, keys, { left: MOST_CLAIMS }, by);
  return found.map(({ key, record }, i) => {
    const { space, pool, size, used, free } = fills[i]!;
    return {
      ...{ space, pool, size, used, cooling: cooling.get(key) ?? null, free, nodes: nodesOf(key) },
      ...(record.gateway !== undefined && { gateway: record.gateway }),
      ...(record.rules && { rules: record.rules }),
      ...(record.unreadable && { unreadable: true }),
      trend: trendOf(samples.of(space, pool), used + free),
    };
  });
}
