// What the records of this node and the engine's own word say of each other, at one look. Pure: no store, no clock, no
// patience; what is to be done about a finding, and when, is for others.
import { type Address, formatAddress } from '../net/address.js';
import { contains, formatPrefix, type Prefix } from '../net/prefix.js';
import { describe } from './decide.js';
import type { EngineEndpoint, EngineNetwork, EngineView, ForeignNetwork } from './engine-view.js';
import { addressOfClaim, joinOf, type Subnet } from './keyspace.js';
import { type ClaimRecord, CONTAINER_KINDS, type JoinRecord } from './records.js';
import type { Found } from './store.js';
import type { Self } from './surroundings.js';

/** What etcd said of one subnet of a local space that this node has joined, before the engine was asked. */
export interface Membership {
  readonly subnet: Subnet;
  /** This node's, oldest first; never none. */
  readonly joins: readonly Found<JoinRecord>[];
  /** Everybody's. */
  readonly claims: readonly Found<ClaimRecord>[];
  /** The key of a join that nobody can read: it may be this node's. */
  readonly unreadable?: string | undefined;
}

/** `guessed`: which of the node's joins the container has the address through, nothing tells. */
export type Finding =
  /** The node's claim, and no endpoint that lives has the address. */
  | { readonly kind: 'stale'; readonly at: Place; readonly claim: Found<ClaimRecord> }
  /** An unsure claim that a network lists as auxiliary. */
  | { readonly kind: 'auxiliary'; readonly at: Place; readonly claim: Found<ClaimRecord> }
  /**
   * An unsure claim with a container that has it, one of a container that has another name by now, or one that a backup may
   * have for a container that had it before.
   */
  | {
      readonly kind: 'container';
      readonly at: Place;
      readonly claim: Found<ClaimRecord>;
      readonly live: Live;
      readonly guessed: boolean;
    }
  /** A container has it, and nobody claims it. `rest`: what is left of a claim that was released. */
  | {
      readonly kind: 'missing';
      readonly at: Place;
      readonly rest?: Found<ClaimRecord>;
      readonly join: Found<JoinRecord>;
      readonly live: Live;
      readonly guessed: boolean;
    }
  /** The node's part in a pool for a network of its swarm's, which an engine that ended without a word took with it. */
  | { readonly kind: 'lost'; readonly subnet: Subnet; readonly join: Found<JoinRecord> }
  /**
   * Nothing that can be put right here; `text` says it to people. `lives`: a container goes without a claim of its own.
   * `since`: of a record that would end, which takes its time.
   */
  | {
      readonly kind: 'doubtful';
      readonly subject: string;
      readonly text: string;
      readonly lives?: boolean;
      readonly since?: string;
    };

export interface Place {
  readonly subnet: Subnet;
  readonly address: Address;
}

export interface Live {
  readonly network: EngineNetwork;
  readonly endpoint: EngineEndpoint;
}

export interface Circumstances {
  /** All records are of a backup. */
  readonly marked?: boolean;
  /** Engines that the view is not of may have joins and claims under this node's name. */
  readonly oneOfSeveral?: boolean;
}

/** This node, and its boot if that is known. */
type Who = Pick<Self, 'node'> & Partial<Pick<Self, 'boot'>>;

/** Claims of others than `self`, shared and reserved ones are never found stale. */
export function compare(
  memberships: readonly Membership[],
  view: EngineView,
  self: Who,
  { marked = false, oneOfSeveral = false }: Circumstances = {},
): Finding[] {
  const { node } = self;
  const findings = memberships.flatMap((membership) => {
    const networks = view.networks.filter((network) => isOf(network, membership.subnet));
    const doubts = [...ofForeign(membership, foreignOn(membership.subnet, view)), ...ofUnreadable(membership)];
    if (doubts.length > 0) {
      const shown = networks.length > 0 ? ofShown(membership, networks, self, marked) : [];
      return [...shown.filter(({ kind }) => kind !== 'stale'), ...doubts];
    }
    const lost = view.swarm ? lostJoins(membership, networks, node) : [];
    if (networks.length > 0) return [...ofShown(membership, networks, self, marked), ...lost];
    const joins = membership.joins.filter((join) => !lost.some((one) => one.join === join));
    return [...lost, ...(joins.length > 0 ? [unshown({ ...membership, joins }, node)] : [])];
  });
  return [...(oneOfSeveral ? findings.map(kept) : findings), ...strangers(memberships, view)];
}

/** Those of this node's with a container behind them. */
export function livingClaims(
  memberships: readonly Membership[],
  { networks }: EngineView,
  { node }: Who,
): Found<ClaimRecord>[] {
  return memberships.flatMap(({ subnet, claims }) => {
    const live = liveOn(
      networks.filter((network) => isOf(network, subnet)),
      subnet,
    );
    return claims.filter(({ key, record }) => record.node === node && live.has(formatAddress(addressOfClaim(key))));
  });
}

function isOf(network: EngineNetwork, { space, prefix }: Subnet): boolean {
  return network.space === space && isOn(network, prefix);
}

/** Whatever the space, as other drivers' options need not be ours: what is of theirs, nothing tells. */
export function foreignOn({ prefix }: Subnet, { foreign }: EngineView): ForeignNetwork[] {
  return foreign.filter((network) => isOn(network, prefix));
}

function isOn({ subnets }: Pick<EngineNetwork, 'subnets'>, prefix: Prefix): boolean {
  const pool = formatPrefix(prefix);
  return subnets.some((subnet) => formatPrefix(subnet) === pool);
}

function ofShown(
  { subnet, joins, claims }: Membership,
  networks: readonly EngineNetwork[],
  { node, boot }: Who,
  marked: boolean,
): Finding[] {
  const live = liveOn(networks, subnet);
  const auxiliary = new Set(networks.flatMap((network) => network.auxiliary.map(formatAddress)));
  const several = joins.length > 1;
  const held = new Map(claims.map((claim) => [formatAddress(addressOfClaim(claim.key)), claim]));
  const findings: Finding[] = [];
  for (const [text, claim] of held) {
    const { kind, name } = claim.record;
    if (claim.record.node !== node || !CONTAINER_KINDS.has(kind)) continue;
    const at = { subnet, address: addressOfClaim(claim.key) };
    const holder = live.get(text);
    if (holder) {
      // A rename is no call. Its former name would pass whoever has that now for the one that asks again.
      const renamed = kind === 'endpoint' && name !== undefined && name !== holder.endpoint.name;
      // Or the claim was another container's, on another network of the node's.
      const another = several && (renamed || (marked && name !== holder.endpoint.name));
      // A backup may have it from before the boot, and others are given what is left of that.
      const earlier = boot !== undefined && claim.record.boot !== boot;
      if (kind === 'unsure' || renamed || another || earlier)
        findings.push({
          kind: 'container',
          at,
          claim,
          live: holder,
          guessed: another || claim.record.guessed === true,
        });
    } else if (kind === 'unsure' && auxiliary.has(text)) findings.push({ kind: 'auxiliary', at, claim });
    else findings.push({ kind: 'stale', at, claim });
  }
  for (const [text, { address, ...holder }] of live) {
    const claim = held.get(text);
    if (claim && claim.record.node === node && CONTAINER_KINDS.has(claim.record.kind)) continue;
    if (claim && claim.record.kind !== 'cooling') findings.push(clash(holder, text, claim));
    // Its network's own join is the one that a release of it names, and of several any but the last may have been left behind.
    else {
      const rest = claim ? { rest: claim } : {};
      findings.push({
        kind: 'missing',
        at: { subnet, address },
        ...rest,
        join: joins.at(-1)!,
        live: holder,
        guessed: several,
      });
    }
  }
  return findings;
}

function liveOn(networks: readonly EngineNetwork[], { prefix }: Subnet): Map<string, Live & { address: Address }> {
  const live = new Map<string, Live & { address: Address }>();
  for (const network of networks)
    for (const endpoint of network.endpoints)
      for (const address of endpoint.addresses)
        if (contains(prefix, address)) live.set(formatAddress(address), { network, endpoint, address });
  return live;
}

/**
 * An engine keeps the networks that its swarm's agent makes in memory only: what one that was killed had joined, nobody
 * releases. The API shows no PoolIDs, but the claims behind a network's containers name its join: once every network that is
 * shown is known by one, joins of the agent's that none of them names are lost. A network without any, whose join may be
 * any of them, makes nothing certain; nor does an engine that is in no swarm, as such joins are then another engine's.
 */
function lostJoins({ subnet, joins, claims }: Membership, networks: readonly EngineNetwork[], node: string) {
  const own = claims.filter(
    ({ record }) => record.node === node && CONTAINER_KINDS.has(record.kind) && !record.guessed,
  );
  const joinBehind = new Map(own.map(({ key, record }) => [formatAddress(addressOfClaim(key)), record.join]));
  const living = new Set<string>();
  for (const network of networks) {
    const named = [...liveOn([network], subnet).keys()].flatMap((address) => joinBehind.get(address) ?? []);
    // A manager shows the swarm's overlays where it has no part in them, too. Where it has, a load balancer is on them.
    const elsewhere = network.managed && network.endpoints.length === 0;
    if (named.length === 0 && !elsewhere) return [];
    for (const join of named) living.add(join);
  }
  return joins
    .filter(({ key, record }) => record.managed && !living.has(joinOf(key)))
    .map((join) => ({ kind: 'lost', subnet, join }) as const);
}

/**
 * Another engine may stand behind a subnet that this one does not show, and the API shows no PoolIDs: so nothing of it is
 * ended, neither claims nor joins, but for those of a swarm's agent.
 */
function unshown({ subnet, joins, claims }: Membership, node: string): Finding {
  const held = claims.filter(({ record }) => record.node === node && CONTAINER_KINDS.has(record.kind)).length;
  const { space, prefix } = subnet;
  return {
    kind: 'doubtful',
    subject: `${space} ${formatPrefix(prefix)} ${joins.map(({ key }) => key).join(' ')}`,
    text: `the engine shows no network of this driver on ${formatPrefix(prefix)} (space ${space}), where this node has ${joins.length} of the pool's joins and ${held} addresses: nothing of it was ended`,
  };
}

/** A managed plugin is called as it was installed, and does not know how: so nothing that may be such a network's is ended. */
function ofForeign({ subnet: { space, prefix } }: Membership, networks: readonly ForeignNetwork[]): Finding[] {
  const pool = formatPrefix(prefix);
  const oneOfEach = networks.filter(({ driver }, at) => networks.findIndex((one) => one.driver === driver) === at);
  return oneOfEach.map(({ name, driver }) => ({
    kind: 'doubtful',
    subject: `${space} ${pool} ${driver}`,
    text: `network ${name} of the engine is on ${pool} with the IPAM driver ${driver}: nothing that this node has there (space ${space}) is ended; if that is this driver, networks have to call it by the file name of IPAM_SOCKET (a managed plugin: etcd-ipam)`,
  }));
}

/** Through which the node may have what it has. */
function ofUnreadable({ subnet: { space, prefix }, unreadable }: Membership): Finding[] {
  if (unreadable === undefined) return [];
  const text = `the record ${unreadable} cannot be understood: nothing that this node has on ${formatPrefix(prefix)} (space ${space}) is ended before that is put right`;
  return [{ kind: 'doubtful', subject: unreadable, text }];
}

/** What would end, only told. */
function kept(finding: Finding): Finding {
  if (finding.kind !== 'stale' && finding.kind !== 'lost') return finding;
  const [{ key, version, record }, { space, prefix }] =
    finding.kind === 'stale' ? [finding.claim, finding.at.subnet] : [finding.join, finding.subnet];
  const pool = `${formatPrefix(prefix)} (space ${space})`;
  const found =
    finding.kind === 'stale'
      ? `${formatAddress(finding.at.address)} of ${pool} ${describe(finding.claim.record)}, and no container that the engine shows has it`
      : `this node has a part in ${pool} since ${record.since} for a network of its swarm's, which the engine does not show`;
  const text = `${found}: not ended, as with IPAM_LISTEN it may be of another engine`;
  return { kind: 'doubtful', subject: `${key} ${version}`, text, since: record.since };
}

function clash({ network, endpoint }: Live, address: string, { key, version, record }: Found<ClaimRecord>): Finding {
  const text = `container ${endpoint.name} of network ${network.name} uses ${address}, which ${describe(record)}`;
  return { kind: 'doubtful', subject: `${key} ${version} ${endpoint.name}`, text, lives: true };
}

/** Networks that serve containers and have no join here: their next request will be refused. */
function strangers(memberships: readonly Membership[], { networks }: EngineView): Finding[] {
  const joined = new Set(memberships.map(({ subnet }) => `${subnet.space} ${formatPrefix(subnet.prefix)}`));
  return networks.flatMap(({ name, space, subnets, endpoints }) =>
    subnets
      .filter((subnet) => !joined.has(`${space} ${formatPrefix(subnet)}`))
      .filter((subnet) => endpoints.some(({ addresses }) => addresses.some((address) => contains(subnet, address))))
      .map((subnet): Finding => {
        const pool = formatPrefix(subnet);
        const text = `network ${name} of the engine has containers on ${pool} (space ${space}), and this node has no part in that pool: re-create the network`;
        return { kind: 'doubtful', subject: `${space} ${pool} ${name}`, text, lives: true };
      }),
  );
}
