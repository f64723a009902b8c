// `etcd-ipam release ADDRESS`: what stands behind it, whether an operator may free it, and that. What a removal compares, ipam/
// knows.
import { freeByHand, type StandsBehind, standsBehind } from '../ipam/by-hand.js';
import type { Engine } from '../ipam/engine-view.js';
import { listed } from '../ipam/findings.js';
import { poolAround } from '../ipam/releases.js';
import { type Standing, standingOf } from '../ipam/silence.js';
import { familyOf, isGlobal, localSpace } from '../ipam/spaces.js';
import type { Deadline, Store } from '../ipam/store.js';
import { type Address, formatAddress } from '../net/address.js';
import { contains, formatPrefix } from '../net/prefix.js';
import { type ClaimRow, claimRow } from './claims.js';

export interface ReleaseOptions {
  readonly space: string;
  /** Do it, not only say it. */
  readonly yes: boolean;
  readonly force: boolean;
  readonly goneRounds: number;
  readonly keepMs: number;
  readonly now: () => Date;
  /** Of this host, where it can be asked. */
  readonly engine?: { readonly node: string; readonly asked: Engine };
}

export interface Release {
  readonly space: string;
  readonly address: string;
  /** Absent where the address lies in none. */
  readonly pool?: string;
  readonly claim?: ClaimRow;
  readonly holders: readonly { readonly node?: string; readonly role: string }[];
  readonly nodes: readonly { readonly node: string; readonly state: Standing }[];
  /** What its engine shows with the address: a container's name, or null for none. Absent: it was not asked, or cannot say. */
  readonly container?: string | null;
  readonly released: boolean;
  /** Why it is not to be released without --force. */
  readonly against: readonly string[];
  /** What was shown is not so any more, and nothing was done. */
  readonly changed?: true;
}

export async function release(store: Store, address: Address, options: ReleaseOptions, by: Deadline): Promise<Release> {
  const { space, goneRounds, keepMs, now } = options;
  const nothing = { space, address: formatAddress(address), holders: [], nodes: [], released: false, against: [] };
  const subnet = await poolAround(store, space, address, by);
  if (!subnet) return nothing;
  const place = { ...nothing, pool: formatPrefix(subnet.prefix) };
  const local = isGlobal(space) ? localSpace(familyOf(space)) : undefined;
  const seen = await standsBehind(store, subnet, address, local, by);
  if (!seen) return place;
  const container = await containerAt(address, seen, options);
  const shown = {
    ...place,
    claim: claimRow(seen.claim),
    holders: seen.holders.map(({ record: { node, role } }) => ({ ...(node !== undefined && { node }), role })),
    nodes: seen.nodes.map((node) => ({ node: node.name, state: standingOf(node, goneRounds) })),
    ...(container !== undefined && { container }),
    against: against(seen, container),
  };
  if (!options.yes || (shown.against.length > 0 && !options.force)) return shown;
  const released = await freeByHand(store, subnet, address, seen, { keepMs }, { now }, by);
  return { ...shown, released, ...(!released && { changed: true as const }) };
}

/** What its own engine shows of this driver, where that is the engine of this host. Not being able to say is no word against it. */
async function containerAt(
  address: Address,
  { claim }: StandsBehind,
  { engine, space }: ReleaseOptions,
): Promise<string | null | undefined> {
  if (!engine || claim.record.node !== engine.node) return undefined;
  try {
    const { networks, foreign } = await engine.asked.look();
    const endpoints = networks.filter((one) => one.space === space).flatMap((one) => one.endpoints);
    const text = formatAddress(address);
    const container = endpoints.find(({ addresses }) => addresses.some((one) => formatAddress(one) === text));
    const hidden = foreign.some(({ subnets }) => subnets.some((subnet) => contains(subnet, address)));
    return container?.name ?? (hidden ? undefined : null);
  } catch {
    return undefined;
  }
}

function against({ claim, holders, nodes, alsoOn }: StandsBehind, container: string | null | undefined): string[] {
  if (claim.record.kind === 'cooling') return [];
  const alive = nodes.filter(({ living }) => living).map(({ name }) => name);
  return [
    ...(claim.record.kind === 'foreign'
      ? ['this version cannot read who has it: upgrade, or look at it with etcdctl get']
      : []),
    ...(typeof container === 'string' ? [`the engine of ${claim.record.node} shows ${container} with it`] : []),
    ...(alive.length > 0 ? [`${named(alive)} ${alive.length > 1 ? 'are' : 'is'} alive`] : []),
    ...(holders.length > 0 ? [sharing(holders)] : []),
    ...(claim.record.epoch !== undefined
      ? [alsoOn === undefined ? 'a swarm gave it, and may know of a task' : `a swarm gave it, and ${alsoOn} has it`]
      : []),
  ];
}

/** Their networks keep it as it is, whatever is freed here. */
function sharing(holders: StandsBehind['holders']): string {
  const whose = named([...new Set(holders.map(({ record: { node = 'the swarm' } }) => node))]);
  const isGateway = holders.some(({ record }) => record.role === 'gateway');
  return `networks of ${whose} have it as ${isGateway ? 'gateway' : 'auxiliary address'}, and a container may be given it`;
}

function named(names: readonly string[]): string {
  return names.length > 2 ? listed(names) : names.join(' and ');
}

export function formatRelease(
  { address, pool, space, ...rest }: Release,
  { yes }: Pick<ReleaseOptions, 'yes'>,
): string {
  const { claim, holders, nodes, container, released, against, changed } = rest;
  if (pool === undefined) return `${address} is in no pool of ${space}`;
  if (!claim) return `${address} of ${pool} in ${space} is free`;
  const { kind, node, name, mac, since } = claim;
  const lines = [
    `${address} of ${pool} in ${space}: ${SAID[kind] ?? kind}${since === '' ? '' : `, since ${since}`}`,
    ...((name ?? mac) ? [`  who       ${name ?? mac}`] : []),
    ...(node !== undefined ? [`  node      ${node}, ${stateOf(node, nodes)}`] : []),
    ...holders.map(
      (one) =>
        `  ${one.role.padEnd(10)}of ${one.node ?? 'the swarm'}${one.node ? `, ${stateOf(one.node, nodes)}` : ''}`,
    ),
    ...(container === undefined
      ? []
      : [`  engine    ${container === null ? 'shows no container with it' : `shows ${container} with it`}`]),
  ];
  if (released) return [...lines, 'released'].join('\n');
  if (changed) return [...lines, 'not released: it changed meanwhile, look again'].join('\n');
  const still =
    against.length > 0 ? `not released: ${against.join('; ')}; if it is unused all the same, add --force` : '';
  const would = yes ? '' : `would be released: add --yes${against.length > 0 ? ' --force' : ''}`;
  return [...lines, ...[still, still && yes ? '' : would].filter(Boolean)].join('\n');
}

const SAID: Readonly<Partial<Record<ClaimRow['kind'], string>>> = {
  cooling: 'rests, and is nobody’s',
  foreign: 'a record that this version cannot read',
};

function stateOf(node: string, nodes: Release['nodes']): string {
  const state = nodes.find((one) => one.node === node)?.state;
  return state === undefined ? 'which is not known any more' : `which is ${state}`;
}
