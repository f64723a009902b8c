// etcd's room, whose a node name is: a pure judgement over the node record and its sessions, as etcd showed them. Refuses
// to ask etcd anything.

import { isGone } from '../ipam/silence.js';
import type { Version } from '../ipam/store.js';
import type { KeyValue, TxnResponse } from './client.js';

export interface Identity {
  readonly node: string;
  /** Random, one per process. */
  readonly instance: string;
  readonly machine: string;
  readonly boot: string;
  /** For operators' eyes only. */
  readonly host?: string;
}

/** A node record or a session, as far as the judgement needs it. */
export interface Seen {
  readonly key: string;
  readonly version: Version;
  readonly record: {
    readonly machine: string;
    readonly boot: string;
    readonly since: string;
    readonly token: string;
    readonly silence: number;
    readonly evicted?: string;
  };
}

/**
 * Why this process may not be the node it wants to be, as one sentence; undefined if it may. A name belongs to the
 * machine in its record. A session of the same machine under another boot is a reboot that etcd has not noticed yet and
 * ends by itself, or a clone of this machine, which does not.
 */
export function refusalOf(
  self: Identity,
  record: Seen | undefined,
  others: readonly Seen[],
  goneRounds?: number,
): string | undefined {
  const foreign = others.find(({ record }) => record.machine !== self.machine);
  const owner = foreign ?? record;
  const free = foreign === undefined && record !== undefined && isGone(record.record, goneRounds);
  if (owner !== undefined && owner.record.machine !== self.machine && !free)
    return (
      `node name ${self.node} belongs to machine ${short(owner.record.machine)} since ${owner.record.since}: ` +
      `set IPAM_NODE to a name no other host has, or, once that machine is gone for good, etcd-ipam evict ${self.node}`
    );
  const otherBoot = others.find(({ record }) => record.boot !== self.boot);
  if (otherBoot !== undefined)
    return (
      `node name ${self.node} is in use by a session of another boot (${short(otherBoot.record.boot)}) since ` +
      `${otherBoot.record.since}: it ends by itself after a reboot; if it does not, a clone of this machine runs, ` +
      'and one of the two needs its own IPAM_NODE and IPAM_MACHINE_ID'
    );
  return undefined;
}

function short(id: string): string {
  return id.length > 12 ? `${id.slice(0, 8)}…` : id;
}

/** Never fails: what cannot be read of the record becomes "unknown", which is nobody's machine and nobody's boot. */
export function recordOf(kv: KeyValue): Seen {
  let record: Record<string, unknown> = {};
  try {
    record = Object(JSON.parse(kv.value.toString()));
  } catch {
    // Not ours to repair.
  }
  const text = (name: string) => (typeof record[name] === 'string' ? record[name] : 'unknown');
  return {
    key: kv.key.toString(),
    version: kv.mod_revision,
    record: {
      machine: text('machine'),
      boot: text('boot'),
      since: text('since'),
      token: text('token'),
      silence: typeof record.silence === 'number' ? record.silence : 0,
      ...(typeof record.evicted === 'string' && { evicted: record.evicted }),
    },
  };
}

/** What the operation at that place of the transaction found. */
export function kvsOf(reply: TxnResponse, index: number): readonly KeyValue[] {
  return reply.responses[index]?.response_range.kvs ?? [];
}

export function json(record: object): Buffer {
  return Buffer.from(JSON.stringify(record));
}
