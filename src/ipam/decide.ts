// Whether an address may be given, from what was seen and what was asked. Pure: no store, no clock, no chance.
import type { Address } from '../net/address.js';
import { formatAddress } from '../net/address.js';
import { type Code, IpamError } from './errors.js';
import { nodeKey } from './keyspace.js';
import { type ClaimRecord, CONTAINER_KINDS, type HolderRecord, type NodeRecord, UNREADABLE } from './records.js';
import { isResting } from './resting.js';
import { type NodeSeen, standingOf, stillSilent } from './silence.js';
import type { Condition, Found } from './store.js';
import type { Self } from './surroundings.js';

/**
 * What an address is wanted for. `unsure` is an address named without a name or MAC: an auxiliary address of a network
 * or a container's `--ip`, which engines up to 28 do not tell apart. `swarm` is what a leader asks for, be it for a task,
 * a service or a load balancer.
 */
export type Purpose = 'endpoint' | 'unsure' | 'gateway' | 'aux' | 'swarm';

export interface Wanted {
  readonly address: Address;
  readonly purpose: Purpose;
  /** The network lists the address as auxiliary (`--ipam-opt aux=`). */
  readonly declared?: boolean;
  readonly join: string;
  readonly name?: string;
  readonly mac?: string;
}

/**
 * What one revision says of the address. `node` is the record of our own node; `owner`, the other node that holds it. Where
 * the asking network is the swarm's, `swarm` is the claim by which a leader gave the address, and `ruled`, that a leader
 * gives addresses of this subnet. `shown`: the engine has a container behind this very claim.
 */
export interface Seen {
  readonly claim: Found<ClaimRecord> | undefined;
  readonly holders: readonly Found<HolderRecord>[];
  readonly node: Found<NodeRecord> | undefined;
  readonly swarm?: Found<ClaimRecord> | undefined;
  readonly owner?: NodeSeen | undefined;
  readonly ruled?: boolean;
  readonly shown?: boolean;
}

/**
 * `take` and `share`: the claim must still be as seen. `evidence`: these too, or be absent still, where they are what the
 * verdict rests on. `onSwarm`: it rests on the leader's word. `former`: holders of epochs that have ended. `from`: the
 * other node whose claim it was, which does not stand behind it any more.
 */
export type Verdict =
  | { readonly kind: 'free'; readonly evidence?: readonly Condition[]; readonly onSwarm?: boolean }
  | {
      readonly kind: 'share';
      readonly claim: Found<ClaimRecord>;
      readonly role: HolderRecord['role'];
      readonly former?: readonly Found<HolderRecord>[];
    }
  | {
      readonly kind: 'take';
      readonly claim: Found<ClaimRecord>;
      readonly evidence?: readonly Condition[];
      readonly onSwarm?: boolean;
      readonly from?: string;
    }
  | { readonly kind: 'refuse'; readonly error: IpamError };

type Take = Extract<Verdict, { kind: 'take' }>;

export function judge(wanted: Wanted, seen: Seen, self: Self): Verdict {
  const { claim } = seen;
  if (wanted.purpose === 'swarm') return judgeEpoch(wanted, claim);
  const worker = wanted.purpose === 'endpoint' || wanted.purpose === 'unsure';
  const swarm = worker && seen.swarm?.record.kind === 'swarm' ? seen.swarm : undefined;
  const onSwarm = swarm && { onSwarm: true, evidence: [{ key: swarm, version: swarm.version }] };
  // The leader may have taken it back by now; the next one that it gives it to is not to be refused.
  const word = { ...(worker && seen.ruled && { onSwarm: true }), ...onSwarm };
  if (!claim) return { kind: 'free', ...word };
  if (isResting(claim)) return { kind: 'take', claim, ...word };
  if (claim.record.kind === 'shared') return judgeShared(wanted, claim, seen.holders);
  // The leader is the authority: releases of its workers come in no order.
  if (onSwarm && claim.record.kind === 'swarm') return { kind: 'take', claim, ...onSwarm };
  const takeable = seen.shown ? undefined : findTakeable(wanted, claim, seen.node, self, seen.owner);
  if (takeable) return takeable;
  return refuse(
    'taken',
    `address ${formatAddress(wanted.address)} ${describe(claim.record)}${wayOut(wanted, claim.record)}`,
  );
}

/** In a global space: what a former epoch gave is asked for again by number, once, by the leader that follows. */
function judgeEpoch({ address, join }: Wanted, claim: Found<ClaimRecord> | undefined): Verdict {
  if (!claim) return { kind: 'free' };
  if (isResting(claim) || isOfFormerEpoch(claim, join)) return { kind: 'take', claim };
  const shared = claim.record.kind === 'shared';
  const why = shared ? 'is the gateway of the network and never given to a container' : describe(claim.record);
  return refuse('taken', `address ${formatAddress(address)} ${why}`);
}

/** `leader`: the join that rules now. */
export function isOfFormerEpoch({ record }: Found<ClaimRecord>, leader: string): boolean {
  return record.kind === 'swarm' && record.join !== leader;
}

function judgeShared(wanted: Wanted, claim: Found<ClaimRecord>, holders: readonly Found<HolderRecord>[]): Verdict {
  const { purpose, declared, join } = wanted;
  if (purpose === 'gateway' || purpose === 'aux') {
    // Shared with what a former epoch left: one of a global space is told by its number, and there is one join at a time.
    const former = holders.filter(({ key, record }) => record.epoch !== undefined && !key.endsWith(`/${join}`));
    return { kind: 'share', claim, role: purpose, ...(former.length > 0 && { former }) };
  }
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

/** Whom a claim belongs to can end it: a claim of these kinds is its node's, and not a network's. */
export function isOfNode({ kind, node }: ClaimRecord): boolean {
  return node !== undefined && (kind === 'endpoint' || kind === 'swarm');
}

/**
 * The rules that ask who stands behind a claim: its own node of this boot or an earlier one, or another that may be gone.
 * What a verdict rests on is compared when it is committed.
 */
export function findTakeable(
  wanted: Pick<Wanted, 'join' | 'name' | 'mac'>,
  claim: Found<ClaimRecord>,
  node: Found<NodeRecord> | undefined,
  self: Self,
  owner?: NodeSeen,
): Take | undefined {
  const { record } = claim;
  if (owner && owner.name === record.node && owner.name !== self.node && isOfNode(record)) {
    const gone = ['gone', 'evicted'].includes(standingOf(owner, self.goneRounds));
    return gone ? { kind: 'take', claim, evidence: stillSilent(owner), from: owner.name } : undefined;
  }
  if (record.node !== self.node || !CONTAINER_KINDS.has(record.kind)) return undefined;
  const sameName = wanted.name !== undefined && wanted.name === record.name;
  const sameMac = wanted.mac !== undefined && wanted.mac === record.mac;
  if (record.join === wanted.join && (sameName || sameMac)) return { kind: 'take', claim };
  if (record.kind !== 'unsure' && record.boot !== self.boot && node?.record.boot === self.boot) {
    return { kind: 'take', claim, evidence: [{ key: node, version: node.version }] };
  }
  return undefined;
}

/** What an earlier boot of another node left, which that node alone has by number: for whoever has nothing else. */
export function leftByBoot(claim: Found<ClaimRecord>, { name, found }: NodeSeen, self: Self): Take | undefined {
  const { record } = claim;
  if (!isOfNode(record) || record.node !== name || name === self.node) return undefined;
  const earlier = ![undefined, found.record.boot].includes(record.boot) && found.record.boot !== UNREADABLE;
  return earlier
    ? { kind: 'take', claim, evidence: [{ key: nodeKey(name), version: found.version }], from: name }
    : undefined;
}

function refuse(code: Code, message: string): Verdict {
  return { kind: 'refuse', error: new IpamError(code, message) };
}

/** The clause that says who holds a claim: "is held by web.1 on host-b since …". */
export function describe(claim: ClaimRecord): string {
  switch (claim.kind) {
    case 'endpoint':
      return `is held by ${claim.name ?? 'a container'} on ${claim.node} since ${claim.since}`;
    case 'swarm':
      if (claim.node === undefined)
        return `is held by a task, service or load balancer of the swarm since ${claim.since}`;
      return `is held by ${claim.name ?? 'a task'} of the swarm on ${claim.node} since ${claim.since}`;
    case 'unsure':
      return `is held on ${claim.node} since ${claim.since} (by a container's --ip, or as an auxiliary address)`;
    case 'shared':
      return 'is the gateway or an auxiliary address of the network';
    case 'cooling':
      return `was released at ${claim.since} and rests`;
    case 'reserved':
      return 'is reserved';
    case 'foreign':
      return 'has a record that this version cannot read, so it is taken for held';
  }
}

/** A network asks for an auxiliary address once: what its own join asks for again is a container's. */
function wayOut({ purpose, address, join }: Wanted, claim: ClaimRecord): string {
  const ambiguous = (purpose === 'unsure' || purpose === 'aux') && claim.kind === 'unsure' && claim.join !== join;
  return ambiguous
    ? `; if it is an auxiliary address of both networks, create them with --ipam-opt aux=${formatAddress(address)}`
    : '';
}
