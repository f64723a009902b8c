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
  /** For people's eyes only. */
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
    /** Of sessions: the host's own name, which people know it by. */
    readonly host?: string;
  };
}

export interface NameRefusal {
  /** One sentence. */
  readonly reason: string;
  /** After a reboot, by the lease of the boot before: who has the time waits for it. */
  readonly endsByItself: boolean;
}

/**
 * Why this process may not be the node it wants to be; undefined if it may. A name belongs to the
 * machine in its record. A session of the same machine under another boot is a reboot that etcd has not noticed yet and
 * ends by itself, or a clone of this machine, which does not. `renewed`: boots that are known to be another machine's.
 */
export function refusalOf(
  self: Identity,
  record: Seen | undefined,
  others: readonly Seen[],
  renewed: readonly string[] = [],
  goneRounds?: number,
): NameRefusal | undefined {
  const isOther = ({ record: { machine, boot } }: Seen) => machine !== self.machine || renewed.includes(boot);
  const foreign = others.find(isOther);
  const owner = foreign ?? record;
  const free = foreign === undefined && record !== undefined && isGone(record.record, goneRounds);
  if (owner !== undefined && isOther(owner) && !free) {
    const { machine, boot } = owner.record;
    const clone = machine === self.machine;
    const named = clone
      ? `a machine with the machine id of this one (${short(machine)}, in boot ${short(boot)})`
      : `machine ${short(machine)}`;
    const names = clone ? 'IPAM_NODE and IPAM_MACHINE_ID to what' : 'IPAM_NODE to a name';
    const wayOut = record ? `, or, if that machine is gone for good, etcd-ipam evict ${self.node}` : '';
    const reason = `node name ${self.node} belongs to ${named} ${standing(owner)}: set ${names} no other host has${wayOut}`;
    return { reason, endsByItself: false };
  }
  const otherBoot = others.find(({ record }) => record.boot !== self.boot);
  if (otherBoot !== undefined)
    return {
      reason:
        `node name ${self.node} is in use by a session of another boot (${short(otherBoot.record.boot)}) ` +
        `${standing(otherBoot)}: after a reboot it ends by itself within IPAM_SESSION_TTL; if it stays, another machine has ` +
        'the machine id of this one, and one of the two needs an IPAM_NODE and an IPAM_MACHINE_ID of its own',
      endsByItself: true,
    };
  return undefined;
}

function standing({ record: { since, host } }: Seen): string {
  return `since ${since}${host === undefined ? '' : ` (host ${host})`}`;
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
      ...(typeof record.host === 'string' && { host: record.host }),
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
