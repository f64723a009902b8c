// `etcd-ipam pools`: how full each pool is, and who has a part in it, page by page. Reads; decides nothing.
import { coolingIn } from '../ipam/cooling.js';
import { type Fill, fillOfKnown, percentUsed } from '../ipam/fill.js';
import { EVERY_POOL, joinsBetween, poolKeyOf, subnetOfPool } from '../ipam/keyspace.js';
import { pages } from '../ipam/pages.js';
import type { ListedPool } from '../ipam/records.js';
import type { Deadline, Found, Store } from '../ipam/store.js';
import { type Column, Lines, type Screen, type Tone } from './table.js';

export interface PoolRow extends Fill {
  /** Of those used, the ones that only rest; null where that would take too many claims to read. */
  readonly cooling: number | null;
  /** Hosts that have a part in it, in the order of their names. */
  readonly nodes: readonly string[];
  readonly gateway?: string;
  readonly note?: string;
  /** Its record cannot be read: whatever rules it has are not counted. */
  readonly unreadable?: true;
}

const BAR = 10;
const PAGE = 1_000;
/** Claims that are read in all for the sake of those that rest: some quarter of a second. */
const MOST_CLAIMS = 32_768;
/** Counts of one page that are under way at a time. */
const AT_ONCE = 4;

/** In the order of spaces and addresses, as they are read: the next page is on its way while this one is used. */
export async function* listPools(store: Store, by: Deadline): AsyncGenerator<readonly PoolRow[]> {
  const budget = { left: MOST_CLAIMS };
  let before: Promise<readonly PoolRow[]> | undefined;
  for await (const page of pages(store, EVERY_POOL, by, PAGE)) {
    if (page.length === 0) continue;
    const rows = rowsOf(store, page, budget, by);
    // Its failure is told when it is its turn.
    rows.catch(() => undefined);
    if (before) yield await before;
    before = rows;
  }
  if (before) yield await before;
}

async function rowsOf(
  store: Store,
  page: readonly Found<ListedPool>[],
  budget: { left: number },
  by: Deadline,
): Promise<PoolRow[]> {
  const known = page.map(({ key, record }) => ({ subnet: subnetOfPool(key), record }));
  const share = Math.ceil(known.length / AT_ONCE);
  const parts = Array.from({ length: AT_ONCE }, (_, i) => known.slice(i * share, (i + 1) * share));
  const [nodes, ...counted] = await Promise.all([
    nodesOf(store, page, by),
    ...parts.map((part) => fillOfKnown(store, part, by)),
  ] as const);
  const fills = counted.flat();
  const used = page.map(({ key }, i) => ({ key, used: fills[i]!.used }));
  const cooling = await coolingIn(store, used, budget, by);
  return page.map(({ key, record: { gateway, rules, unreadable } }, i): PoolRow => {
    const said = { ...(gateway !== undefined && { gateway }), ...(rules?.note !== undefined && { note: rules.note }) };
    return {
      ...fills[i]!,
      cooling: cooling.get(key) ?? null,
      nodes: [...(nodes.get(key) ?? [])].sort(),
      ...said,
      ...(unreadable && { unreadable }),
    };
  });
}

/** By the pool's key. */
async function nodesOf(
  store: Store,
  page: readonly Found<ListedPool>[],
  by: Deadline,
): Promise<Map<string, ReadonlySet<string>>> {
  const nodes = new Map<string, Set<string>>();
  for await (const joins of pages(store, joinsBetween(page[0]!.key, page.at(-1)!.key), by, PAGE))
    for (const { key, record } of joins) {
      const pool = poolKeyOf(key);
      nodes.set(pool, (nodes.get(pool) ?? new Set()).add(record.node));
    }
  return nodes;
}

/** The next rows as lines. Where none of the first has been ruled about, that takes no room. */
export function poolLines(screen: Screen): (pools: readonly PoolRow[]) => string[] {
  let lines: Lines | undefined;
  let ruled = false;
  return (pools) => {
    if (!lines) {
      ruled = pools.some(({ excluded, reserved }) => excluded + reserved > 0);
      lines = new Lines(columns(ruled), screen);
    }
    return lines.of(
      pools.map(({ space, pool, size, cooling, nodes, gateway = '', warnAt, full, unreadable, ...fill }) => [
        ...[space, pool, count(size), count(fill.used), cooling === null ? '?' : count(cooling)],
        ...(ruled ? [count(fill.excluded), count(fill.reserved)] : []),
        ...[
          count(fill.free),
          percent(fill),
          bar(fill),
          gateway,
          String(nodes.length),
          unreadable ? 'its record cannot be read' : full ? `${warnAt}% reached` : '',
        ],
      ]),
    );
  };
}

function columns(ruled: boolean): Column[] {
  return [
    ...[{ title: 'SPACE' }, { title: 'POOL' }],
    ...[
      { title: 'SIZE', right: true, spare: 3 },
      { title: 'USED', right: true, spare: 2 },
      { title: 'COOL', right: true, spare: 5 },
    ],
    ...(ruled
      ? [
          { title: 'EXCL', right: true, spare: 6 },
          { title: 'RESV', right: true, spare: 6 },
        ]
      : []),
    { title: 'FREE', right: true },
    { title: 'USE%', right: true, tone: (cell) => toneOf(Number.parseInt(cell, 10)) },
    ...[
      { title: '', spare: 4 },
      { title: 'GATEWAY', spare: 7 },
      { title: 'NODES', right: true, spare: 1 },
      { title: '' },
    ],
  ];
}

function toneOf(percent: number): Tone | undefined {
  if (percent >= 95) return 'bad';
  return percent >= 80 ? 'doubtful' : undefined;
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
