// `etcd-ipam pools`: how full each pool is, and who has a part in it. Reads; decides nothing.
import { type Fill, fillOf } from '../ipam/fill.js';
import { EVERY_JOIN, EVERY_POOL, parentOf, subnetOfPool } from '../ipam/keyspace.js';
import { all } from '../ipam/pages.js';
import type { Deadline, Store } from '../ipam/store.js';
import { formatPrefix } from '../net/prefix.js';
import { table } from './table.js';

export interface PoolRow extends Fill {
  readonly free: number;
  /** Hosts that have a part in it, in the order of their names. */
  readonly nodes: readonly string[];
  readonly gateway?: string;
}

const BAR = 10;

/** In the order of spaces and addresses. `only`: the pools that this holds for. */
export async function listPools(store: Store, by: Deadline): Promise<PoolRow[]> {
  const nodes = new Map<string, Set<string>>();
  for await (const { key, record } of all(store, EVERY_JOIN, by)) {
    const pool = parentOf(key).replace('joins/', 'pools/');
    nodes.set(pool, (nodes.get(pool) ?? new Set()).add(record.node));
  }
  const pools = new Map<
    string,
    { readonly subnet: ReturnType<typeof subnetOfPool>; readonly gateway: string | undefined; key: string }
  >();
  for await (const { key, record } of all(store, EVERY_POOL, by)) {
    const subnet = subnetOfPool(key);
    pools.set(`${subnet.space} ${formatPrefix(subnet.prefix)}`, { subnet, gateway: record.gateway, key });
  }
  const fills = await fillOf(
    store,
    [...pools.values()].map(({ subnet }) => subnet),
    by,
  );
  return fills.map((fill) => {
    const { key, gateway } = pools.get(`${fill.space} ${fill.pool}`)!;
    const parts = [...(nodes.get(key) ?? [])].sort();
    return { ...fill, free: fill.size - fill.used, nodes: parts, ...(gateway !== undefined && { gateway }) };
  });
}

export function formatPools(pools: readonly PoolRow[]): string {
  const rows = pools.map(({ space, pool, size, used, free, nodes, gateway = '' }) => [
    ...[
      space,
      pool,
      count(size),
      count(used),
      count(free),
      percent(used, size),
      bar(used, size),
      gateway,
      String(nodes.length),
    ],
  ]);
  const titles = ['SPACE', 'POOL', 'SIZE', 'USED', 'FREE', 'USE%', '', 'GATEWAY', 'NODES'];
  return table(titles, rows, ['SIZE', 'USED', 'FREE', 'USE%', 'NODES']);
}

/** Of an IPv6 subnet nobody reads the digits: 1.8e19. */
function count(value: number): string {
  return value < 1e9 ? String(value) : value.toExponential(1).replace('+', '');
}

/** Rounded up, as df does: what is not empty is not 0 %, and only what is full is 100 %. */
function percent(used: number, size: number): string {
  return `${used === size ? 100 : Math.min(99, Math.ceil((used * 100) / size))}%`;
}

function bar(used: number, size: number): string {
  const full = used === 0 ? 0 : Math.min(BAR, Math.max(1, Math.floor((used * BAR) / size)));
  return `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}]`;
}
