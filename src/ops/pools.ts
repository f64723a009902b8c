// `etcd-ipam pools`: how full each pool is, and who has a part in it, page by page. Reads; decides nothing.
import { type Fill, fillOf } from '../ipam/fill.js';
import { EVERY_POOL, joinsBetween, parentOf, subnetOfPool } from '../ipam/keyspace.js';
import { pages } from '../ipam/pages.js';
import type { PoolRecord } from '../ipam/records.js';
import type { Deadline, Found, Store } from '../ipam/store.js';
import { formatPrefix } from '../net/prefix.js';
import { Lines, type Screen } from './table.js';

export interface PoolRow extends Fill {
  readonly free: number;
  /** Hosts that have a part in it, in the order of their names. */
  readonly nodes: readonly string[];
  readonly gateway?: string;
}

const BAR = 10;
const PAGE = 1_000;
/** Counts of one page that are under way at a time. */
const AT_ONCE = 4;

/** In the order of spaces and addresses, as they are read. */
export async function* listPools(store: Store, by: Deadline): AsyncGenerator<readonly PoolRow[]> {
  for await (const page of pages(store, EVERY_POOL, by, PAGE)) if (page.length > 0) yield await rowsOf(store, page, by);
}

async function rowsOf(store: Store, page: readonly Found<PoolRecord>[], by: Deadline): Promise<PoolRow[]> {
  const subnets = page.map(({ key }) => subnetOfPool(key));
  const share = Math.ceil(subnets.length / AT_ONCE);
  const parts = Array.from({ length: AT_ONCE }, (_, i) => subnets.slice(i * share, (i + 1) * share));
  const [nodes, ...fills] = await Promise.all([
    nodesOf(store, page, by),
    ...parts.map((part) => fillOf(store, part, by)),
  ] as const);
  const gateways = new Map(page.map(({ record }, i) => [nameOf(subnets[i]!), { i, gateway: record.gateway }]));
  return fills.flat().map((fill): PoolRow => {
    const { i, gateway } = gateways.get(`${fill.space} ${fill.pool}`)!;
    const parts = [...(nodes.get(page[i]!.key) ?? [])].sort();
    return { ...fill, free: fill.size - fill.used, nodes: parts, ...(gateway !== undefined && { gateway }) };
  });
}

const nameOf = ({ space, prefix }: ReturnType<typeof subnetOfPool>) => `${space} ${formatPrefix(prefix)}`;

/** By the pool's key. */
async function nodesOf(
  store: Store,
  page: readonly Found<PoolRecord>[],
  by: Deadline,
): Promise<Map<string, ReadonlySet<string>>> {
  const nodes = new Map<string, Set<string>>();
  for await (const joins of pages(store, joinsBetween(page[0]!.key, page.at(-1)!.key), by, PAGE))
    for (const { key, record } of joins) {
      const pool = parentOf(key).replace('joins/', 'pools/');
      nodes.set(pool, (nodes.get(pool) ?? new Set()).add(record.node));
    }
  return nodes;
}

/** The next rows as lines. */
export function poolLines(screen: Screen): (pools: readonly PoolRow[]) => string[] {
  const lines = new Lines(
    [
      { title: 'SPACE' },
      { title: 'POOL' },
      { title: 'SIZE', right: true, spare: 3 },
      { title: 'USED', right: true, spare: 2 },
      { title: 'FREE', right: true },
      { title: 'USE%', right: true, tone: (cell) => toneOf(Number.parseInt(cell, 10)) },
      { title: '', spare: 4 },
      { title: 'GATEWAY', spare: 5 },
      { title: 'NODES', right: true, spare: 1 },
    ],
    screen,
  );
  return (pools) =>
    lines.of(
      pools.map(({ space, pool, size, used, free, nodes, gateway = '' }) => [
        ...[space, pool, count(size), count(used), count(free), percent(used, size), bar(used, size), gateway],
        String(nodes.length),
      ]),
    );
}

function toneOf(percent: number) {
  if (percent >= 95) return 'bad';
  return percent >= 80 ? 'doubtful' : undefined;
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
