// `etcd-ipam nodes`: who is alive, silent or gone. Reads; decides nothing.
import { BRAKE, EVERY_JOIN, RESTORED } from '../ipam/keyspace.js';
import { readNodes } from '../ipam/nodes.js';
import { all } from '../ipam/pages.js';
import type { BrakeRecord, RestoredRecord } from '../ipam/records.js';
import { restoredError } from '../ipam/restoration.js';
import { type Standing, standingOf } from '../ipam/silence.js';
import type { Deadline, Store } from '../ipam/store.js';
import { Lines, PIPE, roughly, type Screen, type Tone } from './table.js';

export interface NodeRow {
  readonly node: string;
  readonly state: Standing;
  /** When it came alive last, or was evicted; of the others only how long they have been silent is known. */
  readonly since?: string;
  /** In rounds, and so in about as many half minutes. */
  readonly silence: number;
  /** Its parts in pools: its networks, and those that it leads. */
  readonly joins: number;
  readonly machine: string;
}

export interface NodesSeen {
  readonly nodes: readonly NodeRow[];
  readonly brake?: BrakeRecord;
  readonly restored?: RestoredRecord;
}

/** `goneRounds`: Infinity where IPAM_HOLD is `never`. */
export async function listNodes(store: Store, goneRounds: number, by: Deadline): Promise<NodesSeen> {
  const seen = await readNodes(store, by);
  const joins = new Map<string, number>();
  for await (const { record } of all(store, EVERY_JOIN, by)) joins.set(record.node, (joins.get(record.node) ?? 0) + 1);
  const [brake, restored] = await store.read([{ one: BRAKE }, { one: RESTORED }], by);
  const nodes = seen.map((one): NodeRow => {
    const { record } = one.found;
    const state = standingOf(one, goneRounds);
    const since = state === 'alive' ? record.since : state === 'evicted' ? record.evicted : undefined;
    const counts = { silence: record.silence ?? 0, joins: joins.get(one.name) ?? 0 };
    return { node: one.name, state, ...(since !== undefined && { since }), ...counts, machine: record.machine };
  });
  return { nodes, ...(brake && { brake: brake.record }), ...(restored && { restored: restored.record }) };
}

/** `roundMs`: how long a round lasts at least. */
export function formatNodes({ nodes, brake, restored }: NodesSeen, roundMs: number, screen: Screen = PIPE): string {
  const rows = nodes.map(({ node, state, since = '', silence, joins, machine }) => [
    ...[node, state, since, silence === 0 ? '' : roughly(silence * roundMs), String(joins), machine],
  ]);
  const lines = new Lines(
    [
      { title: 'NODE' },
      { title: 'STATE', tone: toneOf },
      { title: 'SINCE', spare: 2 },
      { title: 'SILENT FOR' },
      { title: 'JOINS', spare: 1 },
      { title: 'MACHINE', spare: 3 },
    ],
    screen,
  ).of(rows);
  if (brake)
    lines.push(
      '',
      `${brake.silent} of ${brake.of} nodes fell silent together, so since ${brake.since} nobody's silence counts:`,
      'if they are gone for good, evict them',
    );
  if (restored) lines.push('', `${restoredError(restored).message}; etcd-ipam resume --dry-run lists them`);
  return lines.join('\n');
}

function toneOf(state: string): Tone | undefined {
  if (state === 'alive') return undefined;
  return state === 'silent' ? 'doubtful' : 'bad';
}
