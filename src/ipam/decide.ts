// Whether an address may be given, from what was seen and what was asked. Pure: no store, no clock, no chance.
import type { Address } from '../net/address.js';
import { formatAddress } from '../net/address.js';
import { type Code, IpamError } from './errors.js';
import type { ClaimRecord, HolderRecord, NodeRecord } from './records.js';
import type { Found } from './store.js';
import type { Self } from './surroundings.js';

/**
 * What an address is wanted for. `unsure` is an address named without a name or MAC: an auxiliary address of a network
 * or a container's `--ip`, which engines up to 28 do not tell apart.
 */
export type Purpose = 'endpoint' | 'unsure' | 'gateway' | 'aux';

export interface Wanted {
  readonly address: Address;
  readonly purpose: Purpose;
  /** The network lists the address as auxiliary (`--ipam-opt aux=`). */
  readonly declared?: boolean;
  readonly join: string;
  readonly name?: string;
  readonly mac?: string;
}

/** What one revision says of the address. `node` is the record of our own node. */
export interface Seen {
  readonly claim: Found<ClaimRecord> | undefined;
  readonly holders: readonly Found<HolderRecord>[];
  readonly node: Found<NodeRecord> | undefined;
}

/** `take`: the claim and, if given, the node record must still be as seen. */
export type Verdict =
  | { readonly kind: 'free' }
  | { readonly kind: 'share'; readonly claim: Found<ClaimRecord>; readonly role: HolderRecord['role'] }
  | { readonly kind: 'take'; readonly claim: Found<ClaimRecord>; readonly evidence?: Found<NodeRecord> }
  | { readonly kind: 'refuse'; readonly error: IpamError };

export function judge(wanted: Wanted, seen: Seen, self: Self): Verdict {
  const { claim } = seen;
  if (!claim) return { kind: 'free' };
  if (claim.record.kind === 'shared') return judgeShared(wanted, claim, seen.holders);
  const takeable = findTakeable(wanted, claim, seen.node, self);
  if (takeable) return takeable;
  return refuse(
    'taken',
    `address ${formatAddress(wanted.address)} ${describe(claim.record)}${wayOut(wanted, claim.record)}`,
  );
}

function judgeShared(wanted: Wanted, claim: Found<ClaimRecord>, holders: readonly Found<HolderRecord>[]): Verdict {
  const { purpose, declared, join } = wanted;
  if (purpose === 'gateway' || purpose === 'aux') return { kind: 'share', claim, role: purpose };
  const held = holders.some(({ key }) => key.endsWith(`/${join}`));
  const gateway = holders.some(({ record }) => record.role === 'gateway');
  // A network asks for an auxiliary address once; asked again through the same join it is for a container.
  if (purpose === 'unsure' && !held && (declared || !gateway)) return { kind: 'share', claim, role: 'aux' };
  const role = gateway ? 'the gateway' : 'an auxiliary address';
  return refuse(
    'taken',
    `address ${formatAddress(wanted.address)} is ${role} of the network and never given to a container`,
  );
}

/** The two rules that concern one node (the others need a second one). Both compare their evidence when they commit. */
export function findTakeable(
  wanted: Pick<Wanted, 'join' | 'name' | 'mac'>,
  claim: Found<ClaimRecord>,
  node: Found<NodeRecord> | undefined,
  self: Self,
): Extract<Verdict, { kind: 'take' }> | undefined {
  const { record } = claim;
  if (record.node !== self.node || (record.kind !== 'endpoint' && record.kind !== 'unsure')) return undefined;
  const sameName = wanted.name !== undefined && wanted.name === record.name;
  const sameMac = wanted.mac !== undefined && wanted.mac === record.mac;
  if (record.join === wanted.join && (sameName || sameMac)) return { kind: 'take', claim };
  if (record.kind === 'endpoint' && record.boot !== self.boot && node?.record.boot === self.boot) {
    return { kind: 'take', claim, evidence: node };
  }
  return undefined;
}

function refuse(code: Code, message: string): Verdict {
  return { kind: 'refuse', error: new IpamError(code, message) };
}

/** The clause that says who holds a claim: "is held by web.1 on host-b since …". */
export function describe(claim: ClaimRecord): string {
  switch (claim.kind) {
    case 'endpoint':
    case 'swarm':
      return `is held by ${claim.name ?? 'a container'} on ${claim.node ?? 'the swarm'} since ${claim.since}`;
    case 'unsure':
      return `is held on ${claim.node} since ${claim.since} (by a container's --ip, or as an auxiliary address)`;
    case 'shared':
      return 'is the gateway or an auxiliary address of the network';
    case 'cooling':
      return `was released at ${claim.since} and rests before it is given again`;
    case 'reserved':
      return 'is reserved';
    case 'foreign':
      return 'has a record that this version cannot read, so it is taken for held';
  }
}

/** A network asks for an auxiliary address once: what its own join asks for again is a container's. */
function wayOut({ purpose, address, join }: Wanted, claim: ClaimRecord): string {
  const ambiguous = purpose === 'unsure' && claim.kind === 'unsure' && claim.join !== join;
  return ambiguous
    ? `; if it is an auxiliary address of both networks, create them with --ipam-opt aux=${formatAddress(address)}`
    : '';
}
