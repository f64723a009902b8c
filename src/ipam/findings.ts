// What an inspection can find, and what would put it right. Knows shapes; judges and writes nothing.
import { formatPrefix } from '../net/prefix.js';
import type { Subnet } from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import type { Entry } from './recorded.js';
import type { Condition, Key, Version, Write } from './store.js';

/** What is wrong, by the name that operators and their programs know it by. */
export type Problem =
  | 'pool-overlap'
  | 'pool-without-join'
  | 'pool-closing'
  | 'pool-missing'
  | 'guard-missing'
  | 'guard-without-pool'
  | 'claim-without-pool'
  | 'claim-outside-pool'
  | 'claim-of-ended-join'
  | 'claim-of-another-join'
  | 'shared-without-holder'
  | 'holder-without-claim'
  | 'holder-of-ended-join'
  | 'leader-missing'
  | 'join-not-leader'
  | 'epoch-disagrees'
  | 'rules-disagree'
  | 'rules-astray'
  | 'node-unknown'
  | 'leased'
  | 'unleased'
  | 'undecodable'
  | 'foreign-key'
  | 'key-not-canonical'
  | 'claim-without-container'
  | 'container-without-claim';

export interface Evidence {
  readonly key: string;
  readonly version: Version;
}

export interface Finding {
  readonly kind: Problem;
  /** What it is about: together with the kind, the same at every look. */
  readonly subject: string;
  /** One line for people, without the kind. */
  readonly text: string;
  /** What it was judged by: the same records, unchanged, are the same finding. Never none. */
  readonly records: readonly Evidence[];
  /** Absent where nothing is safe to do without knowing more. */
  readonly remedy?: Remedy;
}

/** Written into records that a remedy makes. */
export interface Stamp {
  readonly since: string;
  token(): string;
}

export interface GuardedWrites {
  readonly when: readonly Condition[];
  readonly write: readonly Write[];
}

/** `says`: what it does, as in "check --fix <says>". All of them go by what the finding rests on, unchanged. */
export type Remedy = { readonly says: string } & (
  | { readonly act: 'close'; readonly subnet: Subnet }
  /** What that join of the node left behind ends as by a ReleasePool that is repeated. */
  | { readonly act: 'end'; readonly pool: PoolRef; readonly node: string }
  | { readonly act: 'commit'; readonly changes: (stamp: Stamp) => readonly GuardedWrites[] }
);

/** What is worth knowing and nothing to put right. */
export type Remark =
  | 'no-records'
  | 'node-silent'
  | 'node-gone'
  | 'node-evicted'
  | 'brake'
  | 'restored'
  | 'takeable'
  | 'gateway-unclaimed'
  | 'against-rules'
  | 'rules-waiting';

export interface Note {
  readonly kind: Remark;
  readonly subject: string;
  readonly text: string;
  /** Of silence, of a node that has been silent. */
  readonly rounds?: number;
  /** Of how many addresses it speaks, where it does. */
  readonly addresses?: number;
}

/** Its subject is the first record, unless said otherwise. */
export function finding(kind: Problem, records: readonly Evidence[], text: string, remedy?: Remedy): Finding {
  const evidence = records.map(({ key, version }) => ({ key, version }));
  return { kind, subject: records[0]!.key, text, records: evidence, ...(remedy && { remedy }) };
}

/** The first few of many. */
export function listed(texts: readonly string[], most = 4): string {
  return texts.length <= most ? texts.join(', ') : `${texts.slice(0, most).join(', ')} …`;
}

/** "10.66.0.0/24 (local)" */
export function placeOf({ space, prefix }: Subnet): string {
  return `${formatPrefix(prefix)} (${space})`;
}

export function unchanged({ key, version }: Entry): Condition {
  return { key: { key }, version };
}

/** An entry's key, where nothing is going to be decoded. */
export function keyOf({ key }: Entry): Key<unknown> {
  return { key, decode: (json) => json };
}

export function removal(entry: Entry): Write {
  return { remove: keyOf(entry) };
}
