// `etcd-ipam watch`: what changes, as it happens. Reads; decides nothing.
import { type Event, eventsOf } from '../ipam/events.js';
import type { Watching } from '../ipam/watching.js';
import { formatPrefix, type Prefix } from '../net/prefix.js';
import { line } from './table.js';

/** `pool`: in the events of that one alone, and in what is about no pool none. */
export interface Watched {
  readonly pool?: { readonly space: string; readonly prefix: Prefix };
  readonly signal: AbortSignal;
  readonly report: (problem: string | undefined) => void;
}

/** An event, or `missed` with the reason: then what is there has to be looked at anew. */
export interface Line extends Event {
  /** The revision of etcd that it was written at. */
  readonly version: string;
}

export async function* watch(watching: Watching, { pool, signal, report }: Watched): AsyncGenerator<Line> {
  const prefix = pool && formatPrefix(pool.prefix);
  for await (const revised of watching({ signal, report })) {
    const { version } = revised;
    if ('missed' in revised) yield { event: 'missed', version, text: revised.missed };
    else
      for (const event of eventsOf(revised.changed))
        if (!pool || (event.space === pool.space && event.pool === prefix)) yield { ...event, version };
  }
}

const TITLES = ['TIME', 'EVENT', 'ADDRESS', 'POOL', 'NODE', 'WHO'];
const WIDTHS = [8, 12, 15, 18, 16, 24];

/** At fixed widths, since lines are printed as they come. */
export function watchTitles(): string {
  return line(TITLES, WIDTHS);
}

/** `at`: when it was heard of. */
export function formatEvent(one: Line, at: Date): string {
  const { event, address = '', space, pool, node = '', name, mac, role, kind, from, text } = one;
  const where = pool === undefined ? '' : space === 'local' ? pool : `${pool} ${space}`;
  const who = name ?? mac ?? role ?? text ?? (kind === undefined || kind === 'endpoint' ? '' : kind);
  const whose = from === undefined ? who : `${who} from ${from}`.trim();
  const time = at.toTimeString().slice(0, 8);
  return line([time, event, address, where, node, whose], WIDTHS);
}
