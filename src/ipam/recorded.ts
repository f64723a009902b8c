// Everything under IPAM_PREFIX as one look shows it, put in its place: subnets with their pool, rules, joins, claims and holders;
// nodes and sessions; guards. Says what has no place and what cannot be read; judges nothing else.
import { type Address, formatWide, parseWide } from '../net/address.js';
import { IpamError } from './errors.js';
import { canonical, hasItsParts, type Subnet, subnetOfPool } from './keyspace.js';
import {
  type ClaimRecord,
  decodeClaim,
  decodeGuard,
  decodeHolder,
  decodeJoin,
  decodeNode,
  decodePool,
  decodeRules,
  type GuardRecord,
  type HolderRecord,
  type JoinRecord,
  type NodeRecord,
  type PoolRecord,
  type RulesRecord,
  UNREADABLE,
} from './records.js';
import { isGlobal, isSpace } from './spaces.js';
import type { Version } from './store.js';
import { isTenure } from './tenures.js';

/** A key, relative to IPAM_PREFIX, with its value as it is. */
export interface Entry {
  readonly key: string;
  readonly text: string;
  readonly version: Version;
  /** It hangs on a lease, and goes with it. */
  readonly leased: boolean;
}

/** All entries as they were at the revision, in the order of their keys; but for tenures that are as they should be. */
export interface Snapshot {
  readonly revision: Version;
  readonly entries: readonly Entry[];
}

/** `record` is undefined where nobody can read it: it is there all the same. */
export interface Recorded<R> extends Entry {
  readonly record: R | undefined;
}

export interface AtAddress<R> extends Recorded<R> {
  readonly address: Address;
}

export interface SubnetSeen {
  readonly subnet: Subnet;
  pool?: Recorded<PoolRecord>;
  rules?: Recorded<RulesRecord>;
  /** By id. */
  readonly joins: Map<string, Recorded<JoinRecord>>;
  /** By address, as keys have it. */
  readonly claims: Map<string, AtAddress<ClaimRecord>>;
  /** By address, then by join. */
  readonly holders: Map<string, Map<string, AtAddress<HolderRecord>>>;
}

export interface Stray {
  readonly kind: 'undecodable' | 'foreign-key' | 'key-not-canonical';
  readonly entry: Entry;
  /** A clause: what it should be, or why it cannot be read. */
  readonly why: string;
}

export interface Everything {
  readonly revision: Version;
  readonly count: number;
  readonly subnets: readonly SubnetSeen[];
  readonly nodes: ReadonlyMap<string, Recorded<NodeRecord>>;
  /** By node. */
  readonly sessions: ReadonlyMap<string, readonly Entry[]>;
  /** By the local space of the family. */
  readonly guards: ReadonlyMap<string, Recorded<GuardRecord>>;
  readonly tick?: Entry;
  readonly brake?: Entry;
  /** The mark of an etcd that was set back to a backup. */
  readonly restored?: Entry;
  /** What is told of former holders and will not go when its time is over. */
  readonly endless: readonly Entry[];
  readonly strays: readonly Stray[];
}

const JOIN = /^[0-9a-f]{16}$/;
const NAME = /^[A-Za-z0-9._-]{1,253}$/;

export function placed({ revision, entries }: Snapshot): Everything {
  const placing = new Placing();
  for (const entry of entries) placing.add(entry);
  const { subnets, nodes, sessions, guards, strays, endless, tick, brake, restored } = placing;
  const seen = [...subnets.values()].filter((one): one is SubnetSeen => typeof one === 'object');
  const rest = { ...(tick && { tick }), ...(brake && { brake }), ...(restored && { restored }) };
  return { revision, count: entries.length, subnets: seen, nodes, sessions, guards, strays, endless, ...rest };
}

class Placing {
  /** By the path in their keys; what no subnet has for its path: the one that it should have, or undefined. */
  readonly subnets = new Map<string, SubnetSeen | string | undefined>();
  readonly nodes = new Map<string, Recorded<NodeRecord>>();
  readonly sessions = new Map<string, Entry[]>();
  readonly guards = new Map<string, Recorded<GuardRecord>>();
  readonly strays: Stray[] = [];
  readonly endless: Entry[] = [];
  tick?: Entry;
  brake?: Entry;
  restored?: Entry;

  add(entry: Entry): void {
    const stray = this.#place(entry);
    if (stray) this.strays.push(stray);
  }

  /** What has no place is a stray. */
  #place(entry: Entry): Stray | undefined {
    const parts = entry.key.split('/');
    const [root, one = '', two = ''] = parts as [string, string?, string?];
    if (!hasItsParts(parts)) return foreign(entry);
    switch (root) {
      case 'tick':
      case 'brake':
      case 'restored':
        this[root] = entry;
        return undefined;
      case 'reconciled':
        // Of such a mark: who has compared his engine since.
        return NAME.test(one) && two !== '' ? undefined : foreign(entry);
      case 'history':
        if (!isTenure(entry.key)) return foreign(entry);
        if (!entry.leased) this.endless.push(entry);
        return undefined;
      case 'spaces':
        if (!isSpace(one) || isGlobal(one)) return foreign(entry);
        this.guards.set(one, this.#read(entry, decodeGuard));
        return undefined;
      case 'nodes':
        if (!NAME.test(one)) return foreign(entry);
        this.nodes.set(
          one,
          this.#read(entry, decodeNode, ({ machine }) => machine !== UNREADABLE),
        );
        return undefined;
      case 'sessions':
        if (!NAME.test(one) || two === '') return foreign(entry);
        this.sessions.set(one, [...(this.sessions.get(one) ?? []), entry]);
        return undefined;
      default:
        return this.#placeInSubnet(entry, parts);
    }
  }

  #placeInSubnet(entry: Entry, parts: readonly string[]): Stray | undefined {
    const [root, space, family, prefix, third = '', join = ''] = parts;
    const path = `${space}/${family}/${prefix}`;
    if (!this.subnets.has(path)) this.subnets.set(path, subnetAt(path));
    const seen = this.subnets.get(path);
    if (typeof seen !== 'object') return seen === undefined ? foreign(entry) : misnamed(entry, path, seen);
    if (root === 'pools') {
      seen.pool = this.#read(entry, decodePool);
      return undefined;
    }
    if (root === 'rules') {
      seen.rules = this.#read(entry, decodeRules);
      return undefined;
    }
    if (root === 'joins') {
      if (!JOIN.test(third)) return foreign(entry);
      seen.joins.set(third, this.#read(entry, decodeJoin));
      return undefined;
    }
    const address = addressAt(third);
    if (!address || (root === 'holders' && !JOIN.test(join))) return foreign(entry);
    if (formatWide(address) !== third) return misnamed(entry, third, formatWide(address));
    if (root === 'claims') {
      const claim = this.#read(entry, decodeClaim, ({ kind }) => kind !== 'foreign');
      seen.claims.set(third, { ...claim, address });
    } else {
      if (!seen.holders.has(third)) seen.holders.set(third, new Map());
      seen.holders.get(third)!.set(join, { ...this.#read(entry, decodeHolder), address });
    }
    return undefined;
  }

  #read<R>(entry: Entry, decode: (json: unknown, key: string) => R, known = (_: R) => true): Recorded<R> {
    let why: string;
    try {
      const record = decode(JSON.parse(entry.text), entry.key);
      if (known(record)) return { ...entry, record };
      why = 'it says nothing that this version knows';
    } catch (error) {
      why = error instanceof IpamError ? (/\((.*)\)$/.exec(error.message)?.[1] ?? error.message) : 'it is no JSON';
    }
    this.strays.push({ kind: 'undecodable', entry, why });
    return { ...entry, record: undefined };
  }
}

function misnamed(entry: Entry, part: string, canonical: string): Stray {
  return { kind: 'key-not-canonical', entry, why: `it should be ${entry.key.replace(part, canonical)}` };
}

function foreign(entry: Entry): Stray {
  return { kind: 'foreign-key', entry, why: 'no record has such a name' };
}

/** A path that is not written as ours are: how it should be written. Undefined for what names no subnet. */
function subnetAt(path: string): SubnetSeen | string | undefined {
  const proper = canonical(path);
  if (proper !== path) return proper;
  return { subnet: subnetOfPool(`pools/${path}`), joins: new Map(), claims: new Map(), holders: new Map() };
}

function addressAt(text: string): Address | undefined {
  try {
    return parseWide(text);
  } catch {
    return undefined;
  }
}
