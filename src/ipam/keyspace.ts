// The names of all records, relative to IPAM_PREFIX. Order is meaning: addresses are written at full width, so that a
// range of keys is a range of addresses; the families are apart, because their digits would interleave.
import { type Address, BITS, formatWide, isWide, parseWide } from '../net/address.js';
import { formatWidePrefix, lastOf, type Prefix, prefixOf, type Range } from '../net/prefix.js';
import {
  type BrakeRecord,
  type ClaimRecord,
  decodeBrake,
  decodeClaim,
  decodeGuard,
  decodeHolder,
  decodeJoin,
  decodeListedPool,
  decodeMember,
  decodeNode,
  decodePart,
  decodePool,
  decodeReconciled,
  decodeRestored,
  decodeRules,
  decodeTenure,
  type GuardRecord,
  type HolderRecord,
  type JoinRecord,
  type ListedPool,
  type Member,
  type NodeRecord,
  type PoolRecord,
  type ReconciledRecord,
  type RestoredRecord,
  type RulesRecord,
  type TenureRecord,
} from './records.js';
import { familyOf, globalSpace, isSpace, localSpace } from './spaces.js';
import type { Key, Span } from './store.js';

/** A subnet in an address space: the unit that pools, joins, claims and holders belong to. */
export interface Subnet {
  readonly space: string;
  readonly prefix: Prefix;
}

/** Some ten keys of one subnet make a claim. */
const PATHS = new WeakMap<Subnet, string>();

/** `local/v4/010.066.000.000-24` */
function path(subnet: Subnet): string {
  let text = PATHS.get(subnet);
  if (text === undefined) {
    const { space, prefix } = subnet;
    text = `${space}/v${prefix.family}/${formatWidePrefix(prefix)}`;
    PATHS.set(subnet, text);
  }
  return text;
}

/** The least key above every key that begins with `text/`. */
function after(text: string): string {
  return `${text}0`;
}

/** One for the whole family of the space, called as its local space is. */
export function guardKey(space: string): Key<GuardRecord> {
  return { key: `spaces/${localSpace(familyOf(space))}`, decode: decodeGuard };
}

export function poolKey(subnet: Subnet): Key<PoolRecord> {
  return { key: `pools/${path(subnet)}`, decode: decodePool };
}

/** What an operator has laid down for the subnet, whether or not there is a pool of it. */
export function rulesKey(subnet: Subnet): Key<RulesRecord> {
  return { key: `rules/${path(subnet)}`, decode: decodeRules };
}

export function joinKey(subnet: Subnet, join: string): Key<JoinRecord> {
  return { key: `joins/${path(subnet)}/${join}`, decode: decodeJoin };
}

/** The one that was named last: who claims an address names it some times in a row. */
let named: { readonly subnet: Subnet; readonly address: Address; readonly key: Key<ClaimRecord> } | undefined;

export function claimKey(subnet: Subnet, address: Address): Key<ClaimRecord> {
  if (named?.subnet === subnet && named.address.value === address.value && named.address.family === address.family)
    return named.key;
  const key = { key: `claims/${path(subnet)}/${formatWide(address)}`, decode: decodeClaim };
  named = { subnet, address, key };
  return key;
}

export function holderKey(subnet: Subnet, address: Address, join: string): Key<HolderRecord> {
  return { key: `holders/${path(subnet)}/${formatWide(address)}/${join}`, decode: decodeHolder };
}

/**
 * By address before all else, whatever pools it has been in; `name` begins with the time from which somebody had it, so that
 * they are in order.
 */
export function tenureKey(space: string, address: Address, name: string): Key<TenureRecord> {
  return { key: `${tenureRoot(space, address)}/${name}`, decode: decodeTenure as Key<TenureRecord>['decode'] };
}

export function tenuresOf(space: string, address: Address): Span<TenureRecord | undefined> {
  const root = tenureRoot(space, address);
  return { from: `${root}/`, to: after(root), decode: decodeTenure };
}

/** Of all spaces behind that one. */
export function tenuresBehind(space: string | undefined): Span<unknown> {
  return {
    from: space === undefined ? 'history/' : after(`history/${space}`),
    to: after('history'),
    decode: decodeTenure,
  };
}

function tenureRoot(space: string, address: Address): string {
  return `history/${space}/v${address.family}/${formatWide(address)}`;
}

export function nodeKey(node: string): Key<NodeRecord> {
  return { key: `nodes/${node}`, decode: decodeNode };
}

/** `nodes/` and `sessions/` of the whole cluster. */
export const NODES: Span<NodeRecord> = { from: 'nodes/', to: after('nodes'), decode: decodeNode };
export const SESSIONS: Span<unknown> = { from: 'sessions/', to: after('sessions'), decode: (json) => json };

export const EVERY_POOL: Span<ListedPool> = { from: 'pools/', to: after('pools'), decode: decodeListedPool };
export const EVERY_JOIN: Span<Member> = { from: 'joins/', to: after('joins'), decode: decodeMember };
export const EVERY_CLAIM: Span<ClaimRecord> = { from: 'claims/', to: after('claims'), decode: decodeClaim };
export const EVERY_HOLDER: Span<HolderRecord> = { from: 'holders/', to: after('holders'), decode: decodePart };

/** Whoever makes it runs a round, which lasts until its lease ends. */
export const TICK: Key<unknown> = { key: 'tick', decode: (json) => json };
/** There while so many nodes are silent at once that nobody's silence counts. */
export const BRAKE: Key<BrakeRecord> = { key: 'brake', decode: decodeBrake };

/** There while etcd may not know of what was given since the backup it was restored from. */
export const RESTORED: Key<RestoredRecord> = { key: 'restored', decode: decodeRestored };
export const RECONCILED: Span<ReconciledRecord> = {
  from: 'reconciled/',
  to: after('reconciled'),
  decode: decodeReconciled,
};

/** Named as the session of the process is. */
export function reconciledKey(node: string, instance: string): Key<ReconciledRecord> {
  return { key: `reconciled/${node}/${instance}`, decode: decodeReconciled };
}

/** Of every process that answers for the node. */
export function sessionsOf(node: string): Span<unknown> {
  return { ...SESSIONS, from: `sessions/${node}/`, to: after(`sessions/${node}`) };
}

/** The node that a node record or a session is of. */
export function nodeOf(key: string): string {
  return key.split('/')[1]!;
}

/**
 * Pools of a space and family, of any length, whose network address lies between the two ends of the range. Who looks for them
 * goes by their keys, so that a record which nobody can read is in nobody's way.
 */
export function poolsIn(space: string, { family, from, to }: Range): Span<unknown> {
  const root = `pools/${space}/v${family}`;
  return {
    from: `${root}/${formatWide({ family, value: from })}-`,
    to: `${root}/${formatWide({ family, value: to })}.`,
    decode: () => undefined,
  };
}

/** Pools that may overlap the block, if there are any: the last of them does so exactly if any does. */
export function poolsUpTo(space: string, prefix: Prefix): Span<unknown> {
  return poolsIn(space, { family: prefix.family, from: 0n, to: lastOf(prefix) });
}

/** All pools of the space's family, those of swarms with a name in the last span. */
export function poolsOfFamily(space: string): readonly [Span<unknown>, Span<unknown>, Span<unknown>] {
  const name = familyOf(space);
  const global = `pools/${globalSpace(name, '')}`;
  return [
    poolsOf(localSpace(name)),
    poolsOf(globalSpace(name, '')),
    { from: `${global}@`, to: `${global}A`, decode: () => undefined },
  ];
}

function poolsOf(space: string): Span<unknown> {
  return { from: `pools/${space}/`, to: after(`pools/${space}`), decode: () => undefined };
}

export function joinsOf(subnet: Subnet): Span<JoinRecord> {
  return { from: `joins/${path(subnet)}/`, to: after(`joins/${path(subnet)}`), decode: decodeJoin };
}

/** Of the pools from one key to the other, both included. */
export function joinsBetween(first: string, last: string): Span<Member> {
  const [from, to] = [first, last].map((key) => key.replace('pools/', 'joins/')) as [string, string];
  return { from: `${from}/`, to: after(to), decode: decodeMember };
}

/** Likewise. */
export function claimsBetween(first: string, last: string): Span<ClaimRecord> {
  const [from, to] = [first, last].map((key) => key.replace('pools/', 'claims/')) as [string, string];
  return { from: `${from}/`, to: after(to), decode: decodeClaim };
}

/** All joins of the subnet but one, as two spans round its key. */
export function otherJoins(subnet: Subnet, join: string): [Span<JoinRecord>, Span<JoinRecord>] {
  const all = joinsOf(subnet);
  const { key } = joinKey(subnet, join);
  return [
    { ...all, to: key },
    { ...all, from: `${key}\0` },
  ];
}

export function claimsOf(subnet: Subnet): Span<ClaimRecord> {
  return { from: `claims/${path(subnet)}/`, to: after(`claims/${path(subnet)}`), decode: decodeClaim };
}

export function claimsIn(subnet: Subnet, { family, from, to }: Range): Span<ClaimRecord> {
  const last = claimKey(subnet, { family, value: to }).key;
  return { from: claimKey(subnet, { family, value: from }).key, to: `${last}\0`, decode: decodeClaim };
}

/** Whether anybody can read them or not, as are those at an address: whoever decides by what they say takes `decodeHolder`. */
export function holdersOf(subnet: Subnet): Span<HolderRecord> {
  return { from: `holders/${path(subnet)}/`, to: after(`holders/${path(subnet)}`), decode: decodePart };
}

export function holdersAt(subnet: Subnet, address: Address): Span<HolderRecord> {
  const root = `holders/${path(subnet)}/${formatWide(address)}`;
  return { from: `${root}/`, to: after(root), decode: decodePart };
}

/** The rest of the span behind that key. */
export function behind<R>(span: Span<R>, key: string): Span<R> {
  return { ...span, from: `${key}\0` };
}

/** How many parts the key of such a record has. */
const PARTS: Readonly<Record<string, number>> = {
  ...{ tick: 1, brake: 1, restored: 1, spaces: 2, nodes: 2, sessions: 3, reconciled: 3 },
  ...{ pools: 4, rules: 4, joins: 5, claims: 5, holders: 6, history: 5 },
};
const OF_SUBNETS: ReadonlySet<string> = new Set(['pools', 'rules', 'joins', 'claims', 'holders']);

export function hasItsParts(parts: readonly string[]): boolean {
  return parts.length === PARTS[parts[0]!];
}

/** A subnet's path as it should be written, for one in any spelling. Undefined for what names no subnet. */
export function canonical(path: string): string | undefined {
  const [space, , text] = path.split('/') as [string, string, string];
  if (!isSpace(space) || !/^[^-]+-\d{1,3}$/.test(text)) return undefined;
  try {
    const { family, first, length } = prefixOfPool(text);
    if (length > BITS[family]) return undefined;
    return `${space}/v${family}/${formatWidePrefix(prefixOf({ family, value: first }, length))}`;
  } catch {
    return undefined;
  }
}

/** The one that was found to be written as it should: many keys of one subnet come after one another. */
let proper = '';

/**
 * Whether the key names what ours do, in our spelling. Whoever lists keys that he has not made goes past others: nobody finds a record
 * by such a key, so that it gives nobody anything and keeps nothing from anybody. A count of keys has them in it.
 */
export function isOurs(key: string): boolean {
  const parts = key.split('/');
  if (!hasItsParts(parts)) return false;
  const [root, space, family, prefix, address] = parts as [string, string, string, string, string];
  if (!OF_SUBNETS.has(root)) return true;
  const path = `${space}/${family}/${prefix}`;
  if (path !== proper) {
    if (canonical(path) !== path) return false;
    proper = path;
  }
  return (root !== 'claims' && root !== 'holders') || isWide(address, family === 'v4' ? 4 : 6);
}

export function addressOfClaim(key: string): Address {
  return parseWide(key.slice(key.lastIndexOf('/') + 1));
}

export function prefixOfPool(key: string): Prefix {
  const [network, length] = key.slice(key.lastIndexOf('/') + 1).split('-') as [string, string];
  const { family, value } = parseWide(network);
  return { family, first: value, length: Number(length) };
}

/** The pool that the key is of: a pool's own, or the part of another one that names its pool. */
export function subnetOfPool(key: string): Subnet {
  return { space: key.split('/')[1]!, prefix: prefixOfPool(key) };
}

/** The key of what the record is part of: of a claim's, its pool's. */
/** Of what is of a pool: a join, a claim, its rules. */
export function poolKeyOf(key: string): string {
  return parentOf(key).replace(/^[a-z]+/, 'pools');
}

export function parentOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/'));
}

export function joinOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}

export function addressOfHolder(key: string): Address {
  return addressOfClaim(parentOf(key));
}
