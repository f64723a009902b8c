// An operator's change of a subnet's rules, as one transaction. It rewrites the pool's record, which every claim compares, so
// that from its commit on nobody on any host is given anything that was decided by the rules before.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix, overlaps, type Range } from '../net/prefix.js';
import { formatRange } from '../net/range.js';
import { describe } from './decide.js';
import { IpamError } from './errors.js';
import { listed } from './findings.js';
import { addressOfClaim, claimsIn, poolKey, rulesKey, type Subnet } from './keyspace.js';
import { all, nearestPool } from './pages.js';
import type { ClaimRecord, PoolRecord, RuleSet, RulesRecord } from './records.js';
import { applied, isEmpty, NOTHING, type RuleChange, usablePart } from './rule-changes.js';
import { isFor, Rules, ruleSetOf } from './rules.js';
import { isGlobal } from './spaces.js';
import type { Condition, Deadline, Found, Store, Write } from './store.js';

const MOST_ATTEMPTS = 64;

export interface RuledSubnet {
  readonly rules: RuleSet;
  /** Networks have the subnet now; where none has, the rules wait for the first. */
  readonly inUse: boolean;
}

export interface Ruled extends RuledSubnet {
  readonly changed: boolean;
  /** Whoever has an address against the rules, and keeps it until it is given back. */
  readonly keeping: readonly Found<ClaimRecord>[];
}

export interface RulingOptions {
  /** Who is in the way keeps what it has. */
  readonly keep: boolean;
  readonly dryRun: boolean;
  readonly now: Date;
  readonly token: string;
}

interface Seen {
  readonly record: Found<RulesRecord> | undefined;
  readonly pool: Found<PoolRecord> | undefined;
}

export async function readRules(store: Store, subnet: Subnet, by: Deadline): Promise<RuledSubnet> {
  return ruledBy(await look(store, subnet, by));
}

/** Throws `bad_rule`, `overlap`, and `in_use` where somebody is in the way and may not keep what it has. */
export async function changeRules(
  store: Store,
  subnet: Subnet,
  change: RuleChange,
  options: RulingOptions,
  by: Deadline,
): Promise<Ruled> {
  const { keep, dryRun, now, token } = options;
  /** The answer of an attempt was lost: it may have been made. */
  let doubt = false;
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const seen = await look(store, subnet, by);
    const { rules, inUse } = ruledBy(seen);
    const next = applied(rules, change, subnet.prefix, isGlobal(subnet.space), doubt);
    // What is left in a pool that is being removed is nobody's any more.
    const barred = inUse ? newlyBarred(change, subnet) : undefined;
    // Whatever is in the span by now is read below; what comes after that, the commit refuses.
    const since = store.seen() ?? '0';
    const against = async () =>
      barred ? againstRules(store, subnet, barred, new Rules(next), change.kind === 'reserve', by) : [];
    const inTheWay = await against();
    const isShared = ({ record }: Found<ClaimRecord>) => record.kind === 'shared';
    if (next !== rules && (inTheWay.some(isShared) || (inTheWay.length > 0 && !keep)))
      throw taken(barred!, subnet, inTheWay, !inTheWay.some(isShared));
    if (next === rules || dryRun) return { rules: next, inUse, changed: doubt || next !== rules, keeping: inTheWay };
    const record = { ...next, since: now.toISOString(), token };
    // Containers may keep what they have, and get it just now. What networks share nobody else can have: of one address it is told.
    const guarded = barred && (!keep || change.kind === 'reserve');
    const none = guarded ? [{ none: claimsIn(subnet, barred), newerThan: since }] : [];
    const when: Condition[] = [
      { key: rulesKey(subnet), version: seen.record?.version ?? null },
      { key: poolKey(subnet), version: seen.pool?.version ?? null },
      ...none,
    ];
    const write: Write[] = [isEmpty(next) ? { remove: rulesKey(subnet) } : { put: rulesKey(subnet), record }];
    // One that is being removed is made anew by the rules that there are then.
    if (seen.pool?.record.state === 'open')
      write.push({ put: poolKey(subnet), record: withRules(seen.pool.record, next, token) });
    const outcome = await store.commit({ when, write, otherwise: [] }, by);
    if (!outcome.done) {
      doubt ||= !outcome.certain;
      continue;
    }
    // From here on nobody gets in any more.
    const keeping = keep ? await against() : [];
    return { rules: next, inUse, changed: true, keeping };
  }
  throw new IpamError(
    'contended',
    `the rules of pool ${formatPrefix(subnet.prefix)} could not be changed: ${MOST_ATTEMPTS} times something else changed meanwhile; ` +
      'with --keep it does not matter who gets an address just now',
  );
}

export function withRules({ rules: _, ...pool }: PoolRecord, rules: RuleSet, token: string): PoolRecord {
  return { ...pool, ...(!isEmpty(rules) && { rules }), token } as PoolRecord;
}

/** The claims of a range that nobody would be given under the rules, in order. */
async function againstRules(
  store: Store,
  subnet: Subnet,
  range: Range,
  rules: Rules,
  sharing: boolean,
  by: Deadline,
): Promise<Found<ClaimRecord>[]> {
  const against: Found<ClaimRecord>[] = [];
  for await (const claim of all(store, claimsIn(subnet, range), by))
    if (isAgainst(rules, addressOfClaim(claim.key), claim.record, sharing)) against.push(claim);
  return against;
}

/** `sharing`: also what networks share is in the way. What rests is nobody's. */
export function isAgainst(rules: Rules, address: Address, claim: ClaimRecord, sharing = false): boolean {
  const { kind } = claim;
  if (kind === 'cooling') return false;
  const reservation = rules.reservationOf(address);
  if (kind === 'shared') return sharing && reservation !== undefined;
  return reservation ? !(kind === 'endpoint' && isFor(reservation, claim)) : rules.exclusionOf(address) !== undefined;
}

function newlyBarred(change: RuleChange, { prefix }: Subnet): Range | undefined {
  if (change.kind === 'exclude') return usablePart(change.range, prefix);
  if (change.kind !== 'reserve') return undefined;
  const { family, value } = change.address;
  return { family, from: value, to: value };
}

async function look(store: Store, subnet: Subnet, by: Deadline): Promise<Seen> {
  const { nearest, seen } = await nearestPool(store, subnet, [{ one: rulesKey(subnet) }, { one: poolKey(subnet) }], by);
  const [record, pool] = seen;
  if (!pool && nearest && overlaps(nearest.prefix, subnet.prefix))
    throw new IpamError(
      'overlap',
      `${formatPrefix(subnet.prefix)} is no pool of space ${subnet.space}: it overlaps with pool ${formatPrefix(nearest.prefix)}`,
    );
  return { record, pool };
}

function ruledBy({ record, pool }: Seen): RuledSubnet {
  return { rules: record ? ruleSetOf(record.record) : NOTHING, inUse: pool?.record.state === 'open' };
}

function taken(range: Range, { prefix }: Subnet, claims: readonly Found<ClaimRecord>[], mayKeep: boolean): IpamError {
  const who = claims.map(({ key, record }) => `${formatAddress(addressOfClaim(key))} ${describe(record)}`);
  const wayOut = mayKeep
    ? '; stop them first, or add --keep, and they keep what they have until they give it back'
    : '';
  const single = range.from === range.to;
  const where = single
    ? ''
    : `${formatRange(range)} of pool ${formatPrefix(prefix)} has addresses in use (${claims.length}): `;
  return new IpamError('in_use', `${where}${listed(who)}${wayOut}`);
}
