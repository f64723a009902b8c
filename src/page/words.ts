// Numbers and times in the words of the page, and lines of what happens. Pure.
import type { Change, Claim, Pool } from '../web/shapes.js';

const digits = new Intl.NumberFormat('en');

/** Of an IPv6 subnet nobody reads the digits: 1.8 × 10¹⁹. */
export function amount(value: number): string {
  if (value < 1e9) return digits.format(value);
  const exponent = Math.floor(Math.log10(value));
  const raised = [...String(exponent)].map((digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(digit)]).join('');
  return `${(value / 10 ** exponent).toFixed(1)} × 10${raised}`;
}

export function counted(value: number, one: string, many = `${one}s`): string {
  return `${amount(value)} ${value === 1 ? one : many}`;
}

/** How much of what can be given is given, of 1, as commands and alerts measure it: what rules leave out is neither. */
export function partUsed({ used, free }: Pick<Pool, 'used' | 'free'>): number {
  return free === 0 ? 1 : used / (used + free);
}

/** As df does: what is not empty is not 0 %, and only what is full is 100 %. */
export function percent(pool: Pick<Pool, 'used' | 'free'>): number {
  return pool.free === 0 ? 100 : Math.min(99, Math.ceil(100 * partUsed(pool)));
}

/** The largest unit that fits, without more: "3 h". */
export function roughly(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3_600) return `${Math.round(seconds / 3_600)} h`;
  return counted(Math.round(seconds / 86_400), 'day');
}

export function clock(iso: string): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? iso : date.toLocaleTimeString('en-GB');
}

export function dated(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const day = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
  return `${day}, ${date.toLocaleTimeString('en-GB')}`;
}

export const KINDS: Readonly<Record<Claim['kind'], string>> = {
  endpoint: 'container',
  swarm: 'swarm task',
  shared: 'gateway or auxiliary',
  unsure: 'container or auxiliary',
  cooling: 'resting after release',
  reserved: 'reserved',
  foreign: 'unreadable record',
};

/** What the curve of a pool says. */
export function forecast({ free, trend }: Pool, now: Date): string {
  if (free === 0) return 'full';
  if (trend.perHour === null) return 'watching for a trend';
  if (trend.fullAt !== null) {
    const seconds = (Date.parse(trend.fullAt) - now.getTime()) / 1_000;
    return seconds <= 60 ? 'full any moment' : `full in about ${roughly(seconds)}`;
  }
  const perHour = Math.round(Math.abs(trend.perHour));
  if (perHour === 0) return 'steady';
  return trend.perHour > 0 ? `+${amount(perHour)} an hour` : `−${amount(perHour)} an hour`;
}

/** One line of the list of what happens. Undefined: not worth one. */
export function happening(change: Change): { readonly subject: string; readonly text: string } | undefined {
  const { what, gone, fresh, kind, node, name, mac, pool, address } = change;
  const who = name ?? mac ?? (kind === undefined ? '' : `a ${KINDS[kind]}`);
  const on = node === undefined ? '' : ` on ${node}`;
  const notable = gone || fresh;
  switch (what) {
    case 'claim':
      if (address === undefined || kind === undefined) return undefined;
      if (kind === 'cooling') return { subject: address, text: gone ? 'is free again' : 'was released, and rests' };
      if (gone) return { subject: address, text: `was released by ${who}${on}` };
      return { subject: address, text: `${fresh ? 'went to' : 'is now of'} ${who}${on}` };
    case 'pool':
      return notable ? { subject: pool!, text: gone ? 'is no pool any more' : 'is a new pool' } : undefined;
    case 'rules':
      return { subject: pool!, text: 'has other rules' };
    case 'join':
      if (!notable) return undefined;
      return { subject: node ?? 'a node', text: gone ? `left ${pool}` : `has a network in ${pool}` };
    case 'session':
      return notable ? { subject: node!, text: gone ? 'lost its session' : 'is alive' } : undefined;
    case 'node':
      return gone ? { subject: node!, text: 'was forgotten' } : undefined;
    case 'brake':
      return { subject: 'silence', text: gone ? 'counts again' : 'does not count: too many fell silent together' };
    case 'restored':
      return { subject: 'etcd', text: gone ? 'is reconciled with all hosts' : 'was restored from a backup' };
  }
}
