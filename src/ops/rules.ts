// `etcd-ipam pool`, `exclude`, `reserve`, `note`, `warn-at`: the words of an operator's rules. What they are, ipam/ knows.
import { describe } from '../ipam/decide.js';
import { addressOfClaim, poolKey, type Subnet } from '../ipam/keyspace.js';
import type { RuleSet } from '../ipam/records.js';
import { isEmpty, type RuleChange } from '../ipam/rule-changes.js';
import { heir } from '../ipam/ruled-out.js';
import { changeRules, type RulingOptions, readRules } from '../ipam/ruling.js';
import { familyOf, globalSpace, isGlobal } from '../ipam/spaces.js';
import type { Deadline, Store } from '../ipam/store.js';
import { formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import { formatRange } from '../net/range.js';
import { type ClaimRow, claimRow } from './claims.js';
import { beside } from './no-pool.js';
import { table } from './table.js';

export interface PoolRules {
  readonly space: string;
  readonly pool: string;
  /** A network has the subnet now. */
  readonly inUse: boolean;
  /** A swarm's leader chooses addresses of the same subnet, by the rules of its own space. */
  readonly swarm?: string;
  /** Where no network has it in this space: other spaces in which one has. */
  readonly elsewhere?: readonly string[];
  readonly rules: RuleSet;
}

export interface PoolRuled extends PoolRules {
  readonly changed: boolean;
  readonly dryRun: boolean;
  /** Addresses that are held against the rules until they are given back. */
  readonly keeping: readonly (ClaimRow & { readonly why: string })[];
}

/** `swarm`: IPAM_SWARM. */
export async function showRules(store: Store, subnet: Subnet, swarm: string, by: Deadline): Promise<PoolRules> {
  const ruled = await readRules(store, subnet, by);
  return { ...(await placeOf(store, subnet, ruled.inUse, swarm, by)), ...ruled };
}

export async function rulePool(
  store: Store,
  subnet: Subnet,
  change: RuleChange,
  options: RulingOptions & { readonly swarm: string },
  by: Deadline,
): Promise<PoolRuled> {
  const { keeping, ...ruled } = await changeRules(store, subnet, change, options, by);
  const kept = keeping.map((claim) => ({
    ...claimRow(claim),
    why: `${formatAddress(addressOfClaim(claim.key))} ${describe(claim.record)}`,
  }));
  const place = await placeOf(store, subnet, ruled.inUse, options.swarm, by);
  return { ...place, ...ruled, dryRun: options.dryRun, keeping: kept };
}

async function placeOf(store: Store, subnet: Subnet, inUse: boolean, swarm: string, by: Deadline) {
  const { space, prefix } = subnet;
  const global = isGlobal(space) ? undefined : globalSpace(familyOf(space), swarm);
  const [pool] = global === undefined ? [] : await store.read([{ one: poolKey({ space: global, prefix }) }], by);
  const spaces = inUse ? [] : (await beside(store, subnet, by)).spaces.filter((one) => one !== global);
  return {
    ...{ space, pool: formatPrefix(prefix) },
    ...(global !== undefined && pool && { swarm: global }),
    ...(spaces.length > 0 && { elsewhere: spaces }),
  };
}

export function formatRules({ space, pool, inUse, swarm, elsewhere = [], rules }: PoolRules): string {
  const lines = [`pool ${pool} in ${space}${rules.note === undefined ? '' : `: ${rules.note}`}`];
  if (!inUse) lines.push(NOBODY, ...elsewhere.map(there));
  if (swarm !== undefined) lines.push(led(swarm));
  if (rules.warnAt !== undefined) lines.push(`too full from ${rules.warnAt}% on`);
  const rows = [
    ...rules.excluded.map(({ from, to, comment = '' }) => [
      'excluded',
      from === to ? from : `${from}-${to}`,
      '',
      comment,
    ]),
    ...rules.reserved.map((one) => ['reserved', one.address, heir(one), one.comment ?? '']),
  ];
  if (rows.length > 0) lines.push(table(['RULE', 'ADDRESSES', 'FOR', 'COMMENT'], rows));
  else if (isEmpty(rules)) lines.push('it has no rules');
  return lines.join('\n');
}

export function formatRuled(change: RuleChange, ruled: PoolRuled): string {
  const { space, pool, inUse, swarm, elsewhere = [], changed, dryRun, keeping } = ruled;
  const where = `pool ${pool} in ${space}`;
  const lines = [changed ? said(change, where, dryRun) : `${where}: it is so already`];
  if (keeping.length > 0)
    lines.push('who has one keeps it until it is given back:', ...keeping.map(({ why }) => `  ${why}`));
  if (!inUse) lines.push(NOBODY, ...elsewhere.map(there));
  if (swarm !== undefined) lines.push(led(swarm));
  return lines.join('\n');
}

const NOBODY = 'no network has this subnet now: the rules wait for the next one';

function there(space: string): string {
  return `space ${space} has a pool of this subnet, with rules of its own (--space ${space})`;
}

function led(swarm: string): string {
  return `addresses of a swarm's services are chosen in space ${swarm}, by rules of its own (--space ${swarm})`;
}

function said(change: RuleChange, where: string, dryRun: boolean): string {
  const is = dryRun ? 'would be' : 'is';
  switch (change.kind) {
    case 'exclude':
      return `${formatRange(change.range)} of ${where} ${is} excluded`;
    case 'include':
      return `${formatRange(change.range)} of ${where} ${is} excluded no more`;
    case 'reserve':
      return `${formatAddress(change.address)} of ${where} ${is} reserved for ${heir(change)}`;
    case 'unreserve':
      return `${formatAddress(change.address)} of ${where} ${is} reserved no more`;
    case 'note':
      return `the note of ${where} ${is} ${change.text === undefined ? 'removed' : 'written'}`;
    case 'warn':
      return `${where} ${is} too full ${change.at === undefined ? 'at no percentage' : `from ${change.at}% on`}`;
  }
}
