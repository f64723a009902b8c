// What is wrong with everything that one revision holds: a pure judgement. Findings may still be in passing: some changes of
// a system that works take several transactions, so whoever asks looks a second time at what was found.
import { formatPrefix, lastOf, overlaps } from '../net/prefix.js';
import { type Finding, finding, keyOf, listed, removal, unchanged } from './findings.js';
import { inspectSubnet } from './inspected-subnet.js';
import { guardKey, nodeKey, poolsOfFamily } from './keyspace.js';
import type { Entry, Everything, Recorded, SubnetSeen } from './recorded.js';
import { familyOf, isGlobal, localSpace } from './spaces.js';
import type { Condition } from './store.js';

/** In the order in which they are best read, and put right. */
export function inspect(all: Everything): Finding[] {
  return [
    ...all.subnets.flatMap((one) => inspectSubnet(one, all)),
    ...overlapping(all.subnets),
    ...guards(all),
    ...unknownNodes(all),
    ...leases(all),
    ...all.strays.map(({ kind, entry, why }) => finding(kind, [entry], `${entry.key}: ${why}`)),
  ];
}

/** Those of `later` that were there at every look: of the same records, none of which was written meanwhile. */
export function lasting(earlier: readonly Finding[], later: readonly Finding[]): Finding[] {
  const before = new Map(earlier.map((one) => [nameOf(one), new Set(one.records.map(nameOfRecord))]));
  return later.flatMap((one) => {
    const records = one.records.filter((record) => before.get(nameOf(one))?.has(nameOfRecord(record)));
    return records.length > 0 ? [{ ...one, records }] : [];
  });
}

const nameOf = ({ kind, subject }: Finding) => `${kind} ${subject}`;
const nameOfRecord = ({ key, version }: Finding['records'][number]) => `${version} ${key}`;

/** Of each space; pools that are being removed are in the way as well. */
function overlapping(subnets: readonly SubnetSeen[]): Finding[] {
  const pools = subnets.filter(({ pool }) => pool).sort(byPlace);
  const found: Finding[] = [];
  let widest: SubnetSeen | undefined;
  for (const one of pools) {
    const { space, prefix } = one.subnet;
    if (widest?.subnet.space === space && overlaps(widest.subnet.prefix, prefix)) {
      const text = `${formatPrefix(widest.subnet.prefix)} and ${formatPrefix(prefix)} (${space})`;
      found.push(finding('pool-overlap', [widest.pool!, one.pool!], text));
    }
    const reaches = widest?.subnet.space === space && widest.subnet.prefix.family === prefix.family;
    if (!reaches || lastOf(prefix) > lastOf(widest!.subnet.prefix)) widest = one;
  }
  return found;
}

function byPlace({ subnet: a }: SubnetSeen, { subnet: b }: SubnetSeen): number {
  if (a.space !== b.space) return a.space < b.space ? -1 : 1;
  if (a.prefix.family !== b.prefix.family) return a.prefix.family - b.prefix.family;
  if (a.prefix.first !== b.prefix.first) return a.prefix.first < b.prefix.first ? -1 : 1;
  return a.prefix.length - b.prefix.length;
}

/** No guard and no pool are one state. */
function guards({ guards, subnets }: Everything): Finding[] {
  const pools = new Map<string, Entry>();
  for (const { subnet, pool } of subnets) {
    const space = localSpace(familyOf(subnet.space));
    if (pool && !pools.has(space)) pools.set(space, pool);
  }
  const missing = [...pools].filter(([space]) => !guards.has(space));
  const left = [...guards].filter(([space]) => !pools.has(space));
  return [
    ...missing.map(([space, pool]) => {
      const key = guardKey(space);
      const when = [unchanged(pool), { key, version: null }];
      return finding('guard-missing', [pool], `${key.key}, though there is ${pool.key}`, {
        says: 'writes it',
        act: 'commit',
        changes: ({ token }) => [{ when, write: [{ put: key, record: { token: token() } }] }],
      });
    }),
    ...left.map(([space, guard]) => {
      const none = poolsOfFamily(space).map((span): Condition => ({ none: span }));
      return finding('guard-without-pool', [guard], guard.key, {
        says: 'removes it',
        act: 'commit',
        changes: () => [{ when: [unchanged(guard), ...none], write: [removal(guard)] }],
      });
    }),
  ];
}

/** A node's record goes last, and what the swarm has does not depend on it. */
function unknownNodes({ nodes, sessions, subnets }: Everything): Finding[] {
  const named = new Map<string, Entry[]>();
  const name = (node: string | undefined, entry: Entry) => {
    if (node === undefined || nodes.has(node)) return;
    if (!named.has(node)) named.set(node, []);
    named.get(node)!.push(entry);
  };
  for (const [node, some] of sessions) for (const session of some) name(node, session);
  for (const { subnet, joins, claims, holders } of subnets) {
    if (isGlobal(subnet.space)) continue;
    for (const join of joins.values()) name(join.record?.node, join);
    for (const claim of claims.values()) if (claim.record?.kind !== 'cooling') name(claim.record?.node, claim);
    for (const some of holders.values()) for (const holder of some.values()) name(holder.record?.node, holder);
  }
  return [...named].map(([node, records]) => {
    const text = `${nodeKey(node).key}, named by ${records.length} records: ${listed(records.map(({ key }) => key))}`;
    return { ...finding('node-unknown', records, text), subject: nodeKey(node).key };
  });
}

/** Only sessions, the pace of rounds and what rests may go because time has passed; and they must. */
function leases({ nodes, sessions, guards, subnets, tick, endless }: Everything): Finding[] {
  const found: Finding[] = [];
  const staying = (entry: Recorded<unknown>) => {
    if (!entry.leased || entry.record === undefined) return;
    found.push(
      finding('leased', [entry], entry.key, {
        says: 'takes it off the lease',
        act: 'commit',
        changes: () => [{ when: [unchanged(entry)], write: [{ put: keyOf(entry), record: JSON.parse(entry.text) }] }],
      }),
    );
  };
  const passing = (entry: Entry) => {
    if (entry.leased) return;
    found.push(
      finding('unleased', [entry], entry.key, {
        says: 'removes it',
        act: 'commit',
        changes: () => [{ when: [unchanged(entry)], write: [removal(entry)] }],
      }),
    );
  };
  for (const entry of [...nodes.values(), ...guards.values()]) staying(entry);
  for (const entry of [...[...sessions.values()].flat(), ...(tick ? [tick] : []), ...endless]) passing(entry);
  for (const { pool, rules, joins, claims, holders } of subnets) {
    if (pool) staying(pool);
    if (rules) staying(rules);
    for (const join of joins.values()) staying(join);
    for (const claim of claims.values()) {
      if (claim.record?.kind === 'cooling') passing(claim);
      else staying(claim);
    }
    for (const some of holders.values()) for (const holder of some.values()) staying(holder);
  }
  return found;
}
