// Whether a node is alive, silent or gone, from its record and its sessions. Pure: counts rounds, knows no clock.
import { nodeKey, sessionsOf } from './keyspace.js';
import type { NodeRecord } from './records.js';
import type { Condition, Found } from './store.js';

export interface NodeSeen {
  readonly name: string;
  readonly found: Found<NodeRecord>;
  /** It has a session. */
  readonly living: boolean;
}

export type Standing = 'alive' | 'silent' | 'gone' | 'evicted';

/** What is known of a node's silence, be the record understood or not. */
export interface Silence {
  readonly silence?: number | undefined;
  readonly evicted?: string | undefined;
}

/** How many rounds such a time lasts: Infinity for `never`. */
export function roundsIn(ms: number, roundMs: number): number {
  return Math.ceil(ms / roundMs);
}

/** Of a node without a session. `goneRounds`: of silence; absent: only an eviction makes it gone. */
export function isGone({ silence = 0, evicted }: Silence, goneRounds = Number.POSITIVE_INFINITY): boolean {
  return evicted !== undefined || silence >= goneRounds;
}

export function standingOf({ found: { record }, living }: NodeSeen, goneRounds?: number): Standing {
  if (living) return 'alive';
  if (record.evicted !== undefined) return 'evicted';
  return isGone(record, goneRounds) ? 'gone' : 'silent';
}

/** That nothing has been heard or said of the node since it was looked at: it is as silent, and has no session. */
export function stillSilent({ name, found }: NodeSeen): Condition[] {
  return [{ key: nodeKey(name), version: found.version }, { none: sessionsOf(name) }];
}

/**
 * Whether a round counts nobody's silence: of three nodes or more that are in use more than half are silent, so it is
 * likelier that something between them and etcd has failed than that all their hosts have. Those that are gone already
 * no longer weigh in, or a cluster whose hosts are replaced one by one would brake for ever.
 */
export function isBraked(inUse: readonly Standing[]): boolean {
  const silent = inUse.filter((standing) => standing === 'silent').length;
  const alive = inUse.filter((standing) => standing === 'alive').length;
  return silent + alive >= 3 && silent > alive;
}
