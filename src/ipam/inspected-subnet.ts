// What is wrong with one subnet: its pool, the joins that keep it, and what they hold. Pure. Of several things that one
// cause explains only the cause is found; the rest shows once that is put right.
import { formatAddress, formatWide } from '../net/address.js';
import { contains, overlaps, reservedAs } from '../net/prefix.js';
import {
  type Finding,
  finding,
  type GuardedWrites,
  listed,
  placeOf,
  type Remedy,
  removal,
  unchanged,
} from './findings.js';
import { inspectEpoch } from './inspected-epoch.js';
import { inspectRules } from './inspected-rules.js';
import { inspectShares } from './inspected-shares.js';
import { guardKey, joinKey, joinsOf, poolKey, rulesKey, type Subnet } from './keyspace.js';
import type { AtAddress, Entry, Everything, SubnetSeen } from './recorded.js';
import { type ClaimRecord, CONTAINER_KINDS, type HolderRecord } from './records.js';
import { ruleSetOf } from './rules.js';
import { familyOf, isGlobal, localSpace } from './spaces.js';
import type { Condition, Write } from './store.js';

/** Compares and removals in one transaction: etcd takes 128 of either. */
const CHUNK = 100;

export function inspectSubnet(seen: SubnetSeen, all: Everything): Finding[] {
  const { subnet, pool, joins } = seen;
  const { inside, found: strange } = outside(seen);
  const found = [...strange, ...inspectRules(seen)];
  if (!pool) return [...found, ...withoutPool(inside, all)];
  const place = placeOf(subnet);
  const close = { says: 'removes it with what is left in it', act: 'close', subnet } as const;
  if (pool.record?.state === 'closing') {
    const rest = joins.size === 0 ? 'its removal was begun' : `its removal was begun, and it has ${joins.size} joins`;
    return [...found, finding('pool-closing', [pool], `${place}: ${rest}`, joins.size === 0 ? close : undefined)];
  }
  if (isGlobal(subnet.space)) return [...found, ...inspectEpoch(inside), ...inspectShares(inside)];
  if (joins.size === 0) {
    const text = `${place}: ${inside.claims.size} addresses are taken in it`;
    return [...found, finding('pool-without-join', [pool], text, pool.record && close)];
  }
  return [...found, ...ended(inside), ...ofOthers(inside), ...inspectShares(inside)];
}

/** What its subnet can never give to anybody protects nobody. */
function outside(seen: SubnetSeen): { inside: SubnetSeen; found: Finding[] } {
  const { prefix } = seen.subnet;
  const strange = ({ address }: AtAddress<unknown>) =>
    !contains(prefix, address) || reservedAs(prefix, address) !== undefined;
  const claims = [...seen.claims].filter(([, claim]) => !strange(claim));
  const holders = [...seen.holders].filter(([, some]) => ![...some.values()].some(strange));
  if (claims.length === seen.claims.size && holders.length === seen.holders.size) return { inside: seen, found: [] };
  const all: AtAddress<ClaimRecord | HolderRecord>[] = [...seen.claims.values()];
  for (const some of seen.holders.values()) all.push(...some.values());
  const found = all.filter(strange).map((one) => {
    const why = contains(prefix, one.address) ? `the ${reservedAs(prefix, one.address)}` : 'outside';
    return finding('claim-outside-pool', [one], `${formatAddress(one.address)} of ${placeOf(seen.subnet)}: ${why}`, {
      says: 'removes it',
      act: 'commit',
      changes: () => [{ when: [unchanged(one)], write: [removal(one)] }],
    });
  });
  return { inside: { ...seen, claims: new Map(claims), holders: new Map(holders) }, found };
}

/**
 * Where networks are left the pool is what is missing: containers may run by what is claimed. In a global space nobody can
 * tell how far its epoch had come, nor whether tasks run.
 */
function withoutPool({ subnet, rules, joins, claims, holders }: SubnetSeen, all: Everything): Finding[] {
  const place = placeOf(subnet);
  if (joins.size > 0) {
    const text = `${place}: ${joins.size} joins and ${claims.size} claims are left of it`;
    const subject = poolKey(subnet).key;
    const found = { ...finding('pool-missing', [...joins.values()], text), subject };
    const free = !all.subnets.some(({ pool, subnet: { space, prefix } }) => {
      return pool && space === subnet.space && overlaps(prefix, subnet.prefix);
    });
    const safe = free && !isGlobal(subnet.space);
    return [safe ? { ...found, remedy: restoring(subnet, rules, [...joins.values()], all) } : found];
  }
  const left: Entry[] = [...claims.values()];
  for (const some of holders.values()) left.push(...some.values());
  if (left.length === 0) return [];
  const text = `${place}: ${left.length} records, and neither pool nor join: ${listed(left.map(({ key }) => key))}`;
  const found = { ...finding('claim-without-pool', left, text), subject: poolKey(subnet).key };
  if (isGlobal(subnet.space)) return [found];
  const still: Condition[] = [{ key: poolKey(subnet), version: null }, { none: joinsOf(subnet) }];
  return [{ ...found, remedy: { says: 'removes them', act: 'commit', changes: () => removing(left, still) } }];
}

/** As RequestPool makes one: while the guard is as it was no other pool comes in between. */
function restoring(
  subnet: Subnet,
  rules: SubnetSeen['rules'],
  joins: readonly Entry[],
  { guards }: Everything,
): Remedy {
  const guard = guardKey(subnet.space);
  const before = guards.get(localSpace(familyOf(subnet.space)));
  const when: Condition[] = [
    unchanged(joins[0]!),
    { key: poolKey(subnet), version: null },
    { key: rulesKey(subnet), version: rules?.version ?? null },
    { key: guard, version: before?.version ?? null },
  ];
  return {
    says: 'writes the pool anew',
    act: 'commit',
    changes: ({ since, token }) => {
      const laid = rules?.record && { rules: ruleSetOf(rules.record) };
      const pool: Write = { put: poolKey(subnet), record: { state: 'open', ...laid, since, token: token() } };
      return [{ when, write: [pool, { put: guard, record: { token: token() } }] }];
    },
  };
}

function removing(entries: readonly Entry[], still: readonly Condition[]): GuardedWrites[] {
  const changes: GuardedWrites[] = [];
  for (let from = 0; from < entries.length; from += CHUNK) {
    const some = entries.slice(from, from + CHUNK);
    changes.push({ when: [...still, ...some.map(unchanged)], write: some.map(removal) });
  }
  return changes;
}

/** A join is ended before anything of it is removed, and never comes back: who ended it was to remove the rest. */
function ended({ subnet, joins, claims, holders }: SubnetSeen): Finding[] {
  const left = new Map<string, { claims: AtAddress<ClaimRecord>[]; holders: AtAddress<HolderRecord>[] }>();
  const of = (join: string) => {
    if (!left.has(join)) left.set(join, { claims: [], holders: [] });
    return left.get(join)!;
  };
  for (const claim of claims.values()) {
    const { join, kind } = claim.record ?? {};
    if (join !== undefined && kind !== 'cooling' && !joins.has(join)) of(join).claims.push(claim);
  }
  for (const some of holders.values())
    for (const [join, holder] of some)
      if (!joins.has(join) && claims.has(formatWide(holder.address))) of(join).holders.push(holder);
  return [...left].flatMap(([join, rest]) =>
    (['claim-of-ended-join', 'holder-of-ended-join'] as const).flatMap((kind) => {
      const entries = kind === 'claim-of-ended-join' ? rest.claims : rest.holders;
      const node = entries[0]?.record?.node;
      if (!entries[0]) return [];
      const addresses = listed(entries.map(({ address }) => formatAddress(address)));
      const text = `${placeOf(subnet)}: ${entries.length} of join ${join} of ${node ?? 'a node'}: ${addresses}`;
      const end = { says: 'releases what it left', act: 'end', pool: { ...subnet, join }, node: node ?? '' } as const;
      return [{ ...finding(kind, entries, text, end), subject: joinKey(subnet, join).key }];
    }),
  );
}

/** Whom a claim names and whom its join names are one, or neither may release it. */
function ofOthers({ subnet, joins, claims }: SubnetSeen): Finding[] {
  return [...claims.values()].flatMap((claim) => {
    const { kind, node, join } = claim.record ?? { kind: 'foreign' };
    if (!CONTAINER_KINDS.has(kind)) return [];
    const owner = join === undefined ? undefined : joins.get(join)?.record?.node;
    const at = `${formatAddress(claim.address)} of ${placeOf(subnet)}`;
    if (node === undefined || join === undefined)
      return [finding('undecodable', [claim], `${claim.key}: it does not say which join of which node it is of`)];
    if (owner === undefined || owner === node) return [];
    return [finding('claim-of-another-join', [claim], `${at}: of ${node}, through a join of ${owner}`)];
  });
}
