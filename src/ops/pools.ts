// `etcd-ipam pools`: how full each pool is, and who has a part in it. Reads; decides nothing.
import { type Fill, fillOf, percentUsed } from '../ipam/fill.js';
import { EVERY_JOIN, EVERY_POOL, parentOf, type Subnet, subnetOfPool } from '../ipam/keyspace.js';
import { all } from '../ipam/pages.js';
import type { Deadline, Store } from '../ipam/store.js';
import { formatPrefix } from '../net/prefix.js';
import { table } from './table.js';

export interface PoolRow extends Fill {
  /** Hosts that have a part in it, in the order of their names. */
  readonly nodes: readonly string[];
  readonly gateway?: string;
  readonly note?: string;
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
    { readonly subnet: Subnet; readonly gateway: string | undefined; readonly note: string | undefined; key: string }
  >();
  for await (const { key, record } of all(store, EVERY_POOL, by)) {
    const subnet = subnetOfPool(key);
    pools.set(`${subnet.space} ${formatPrefix(subnet.prefix)}`, {
      subnet,
      gateway: record.gateway,
      note: record.rules?.note,
      key,
    });
  }
  const fills = await fillOf(
    store,
    [...pools.values()].map(({ subnet }) => subnet),
    by,
  );
  return fills.map((fill) => {
    const { key, gateway, note } = pools.get(`${fill.space} ${fill.pool}`)!;
    const parts = [...(nodes.get(key) ?? [])].sort();
    const said = { ...(gateway !== undefined && { gateway }), ...(note !== undefined && { note }) };
    return { ...fill, nodes: parts, ...said };
  });
}

/** What nobody has ruled about takes no room. */
export function formatPools(pools: readonly PoolRow[]): string {
  const ruled = pools.some(({ excluded, reserved }) => excluded + reserved > 0);
  const rows = pools.map(({ space, pool, size, nodes, gateway = '', warnAt, full, ...fill }) => [
    ...[space, pool, count(size), count(fill.used), ...(ruled ? [count(fill.excluded), count(fill.reserved)] : [])],
    ...[count(fill.free), percent(fill), bar(fill), gateway, String(nodes.length), full ? `${warnAt}% reached` : ''],
  ]);
  const counts = ['SIZE', 'USED', ...(ruled ? ['EXCL', 'RESV'] : []), 'FREE', 'USE%'];
  return table(['SPACE', 'POOL', ...counts, '', 'GATEWAY', 'NODES', ''], rows, [...counts, 'NODES']);
}

/** Of an IPv6 subnet nobody reads the digits: 1.8e19. */
function count(value: number): string {
  return value < 1e9 ? String(value) : value.toExponential(1).replace('+', '');
}

type Used = Pick<Fill, 'used' | 'free'>;

/** Of what can be given. Rounded up, as df does: what is not empty is not 0 %, and only what is full is 100 %. */
function percent(fill: Used): string {
  return `${fill.free === 0 ? 100 : Math.min(99, Math.ceil(percentUsed(fill)))}%`;
}

function bar(fill: Used): string {
  const full = fill.used === 0 ? 0 : Math.max(1, Math.floor((percentUsed(fill) * BAR) / 100));
  return `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}]`;
}
