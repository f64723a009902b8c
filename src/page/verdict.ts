// The sentence at the top of the page: whether there is anything to worry about, and what. Pure.
import type { Nodes, Overview, Pool } from '../web/shapes.js';
import { forecast, partUsed, percent } from './words.js';

export type Level = 'ok' | 'warn' | 'bad';

/** Soon enough to be looked at today. */
const SOON_S = 24 * 3_600;
const NEARLY = 90;
const MOST_NAMED = 3;

export function levelOf(pool: Pool, now: Date): Level {
  if (pool.free === 0) return 'bad';
  const soon = pool.trend.fullAt !== null && (Date.parse(pool.trend.fullAt) - now.getTime()) / 1_000 < SOON_S;
  return soon || 100 * partUsed(pool) >= (pool.rules?.warnAt ?? NEARLY) ? 'warn' : 'ok';
}

export interface Verdict {
  readonly level: Level;
  readonly title: string;
  readonly points: readonly string[];
}

interface Seen {
  readonly overview?: Overview | undefined;
  readonly pools?: readonly Pool[] | undefined;
  readonly nodes?: Nodes['nodes'] | undefined;
}

/** The worst first. Of etcd's being away the page tells elsewhere. */
export function verdict({ overview, pools = [], nodes = [] }: Seen, now: Date): Verdict {
  const bad: string[] = [];
  const warn: string[] = [];
  if (overview?.restored) bad.push(overview.restored);
  if (overview?.problem) bad.push(`${overview.node} grants nothing: ${overview.problem}`);
  if (overview?.brake) {
    const { silent, of } = overview.brake;
    bad.push(`${silent} of ${of} nodes fell silent together, so nobody's silence counts`);
  }
  for (const pool of pools) {
    const level = levelOf(pool, now);
    const where = pool.space === 'local' ? pool.pool : `${pool.pool} (${pool.space})`;
    const then = pool.trend.fullAt === null ? '' : `, ${forecast(pool, now)}`;
    if (level === 'bad') bad.push(`${where} is full`);
    if (level === 'warn') warn.push(`${where} is at ${percent(pool)} %${then}`);
    if (pool.unreadable) warn.push(`the record of ${where} cannot be read`);
  }
  const silent = nodes.filter(({ state }) => state === 'silent');
  const gone = nodes.filter(({ state }) => state === 'gone' || state === 'evicted');
  if (silent.length > 0) warn.push(named(silent, 'silent'));
  if (gone.length > 0) warn.push(named(gone, 'gone'));
  const points = [...bad, ...warn];
  if (points.length === 0) return { level: 'ok', title: 'All is well', points };
  const title = points.length === 1 ? 'One thing to look at' : `${points.length} things to look at`;
  return { level: bad.length > 0 ? 'bad' : 'warn', title, points };
}

function named(nodes: readonly { readonly node: string }[], what: string): string {
  const names = nodes.slice(0, MOST_NAMED).map(({ node }) => node);
  if (nodes.length === 1) return `node ${names[0]} is ${what}`;
  const rest = nodes.length > MOST_NAMED ? ` and ${nodes.length - MOST_NAMED} more` : '';
  return `nodes ${names.join(', ')}${rest} are ${what}`;
}
