// An address that an operator frees: what stands behind it, and its removal by exactly that. Asks nobody whether the address
// is used, which only its host knows.
import type { Address } from '../net/address.js';
import { claimKey, holderKey, holdersAt, joinOf, nodeKey, type Subnet } from './keyspace.js';
import { readNode } from './nodes.js';
import type { ClaimRecord, HolderRecord } from './records.js';
import { type NodeSeen, stillSilent } from './silence.js';
import type { Condition, Deadline, Found, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { past } from './tenures.js';

export interface StandsBehind {
  readonly claim: Found<ClaimRecord>;
  readonly holders: readonly Found<HolderRecord>[];
  /** Of the claim or its holders; a name without a node is one that is forgotten. */
  readonly nodes: readonly NodeSeen[];
  /** What a leader gave: the name of the node that asked for it as well. */
  readonly alsoOn?: string;
}

/** Undefined where nobody has it. `local`: the space of the nodes, for an address of a leader. */
export async function standsBehind(
  store: Store,
  subnet: Subnet,
  address: Address,
  local: string | undefined,
  by: Deadline,
): Promise<StandsBehind | undefined> {
  const [claim, { found: holders }, used] = await store.read(
    [
      { one: claimKey(subnet, address) },
      { span: holdersAt(subnet, address), limit: 0 },
      { one: claimKey({ ...subnet, space: local ?? subnet.space }, address) },
    ],
    by,
  );
  if (!claim) return undefined;
  const names = new Set([claim, ...holders].flatMap(({ record }) => record.node ?? []));
  const nodes: NodeSeen[] = [];
  for (const name of names) {
    const node = await readNode(store, name, by);
    if (node) nodes.push(node);
  }
  const alsoOn = local === undefined ? undefined : used?.record.node;
  return { claim, holders, nodes, ...(alsoOn !== undefined && { alsoOn }) };
}

/** False, and nothing is done, where any of it has changed; where no node was alive, also if one is now. */
export async function freeByHand(
  store: Store,
  subnet: Subnet,
  address: Address,
  { claim, holders, nodes }: StandsBehind,
  { keepMs = 0 }: Pick<Self, 'keepMs'>,
  around: Pick<Surroundings, 'now'>,
  by: Deadline,
): Promise<boolean> {
  // Whenever its holders change a claim is written anew.
  const asSeen: Condition[] = [
    { key: claim, version: claim.version },
    ...holders.map(({ key, version }) => ({ key: { key }, version })),
  ];
  const silent = nodes.flatMap((node) =>
    node.living ? [{ key: nodeKey(node.name), version: node.found.version }] : stillSilent(node),
  );
  const change = {
    when: [...asSeen, ...silent],
    write: [
      { remove: claimKey(subnet, address) },
      ...holders.map(({ key }) => ({ remove: holderKey(subnet, address, joinOf(key)) })),
      ...[claim, ...holders].flatMap((one) => past(one, 'by hand', { keepMs }, around)),
    ],
    otherwise: [],
  };
  return (await store.commit(change, by)).done;
}
