// An address that an operator frees: what stands behind it, and its removal by exactly that. Asks nobody whether the address
// is used, which only its host knows.
import type { Address } from '../net/address.js';
import { claimKey, holdersAt, NODES, SESSIONS, type Subnet } from './keyspace.js';
import { readNode } from './nodes.js';
import type { ClaimRecord, HolderRecord } from './records.js';
import type { NodeSeen } from './silence.js';
import type { Condition, Deadline, Found, Store, Version } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { past } from './tenures.js';

export interface StandsBehind {
  readonly claim: Found<ClaimRecord>;
  readonly holders: readonly Found<HolderRecord>[];
  /** Of the claim or its holders; a name without a node is one that is forgotten. */
  readonly nodes: readonly NodeSeen[];
  /** What a leader gave: the name of the node that asked for it as well. */
  readonly alsoOn?: string;
  /** What is newer was not looked at. */
  readonly since: Version;
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
  // Of the nodes, which are read after it, nothing older is seen.
  const since = store.seen()!;
  const names = new Set([claim, ...holders].flatMap(({ record }) => record.node ?? []));
  const nodes: NodeSeen[] = [];
  for (const name of names) {
    const node = await readNode(store, name, by);
    if (node) nodes.push(node);
  }
  const alsoOn = local === undefined ? undefined : used?.record.node;
  return { claim, holders, nodes, since, ...(alsoOn !== undefined && { alsoOn }) };
}

/** As many as fit beside the removals in a transaction of etcd, which takes 128 operations. */
const TOLD = 100;

/**
 * False, and nothing is done, where any of it has changed; where no node was alive, also if one is now. One transaction, which
 * does not grow with those who share the address, for there may be hundreds. Who takes a part in it or gives one back writes
 * the claim anew; a leader that moves its part, a new one; a node that is silent, evicted or back, its record or a session:
 * whatever of that comes between look and removal is newer than the look, and the removal fails. What comes after it finds no
 * claim. A node that has nothing to do with the address may be in the way as well, so that the operator looks once more.
 */
export async function freeByHand(
  store: Store,
  subnet: Subnet,
  address: Address,
  { claim, holders, since }: StandsBehind,
  { keepMs = 0 }: Pick<Self, 'keepMs'>,
  around: Pick<Surroundings, 'now'>,
  by: Deadline,
): Promise<boolean> {
  const key = claimKey(subnet, address);
  const told = [claim, ...holders].flatMap((one) => past(one, 'by hand', { keepMs }, around));
  const parts = holdersAt(subnet, address);
  const when: Condition[] = [
    { key, version: claim.version },
    ...[parts, NODES, SESSIONS].map((none) => ({ none, newerThan: since })),
  ];
  const write = [{ remove: key }, { removeAll: parts }, ...told.slice(0, TOLD)];
  const outcome = await store.commit({ when, write, otherwise: [{ one: key }] }, by);
  // Where its answer was lost it was made if the claim is gone.
  if (!outcome.done && (outcome.certain || outcome.seen[0])) return false;
  for (let rest = told.slice(TOLD); rest.length > 0; rest = rest.slice(TOLD)) {
    const some = rest.slice(0, TOLD);
    const untold = some.map(({ put }) => ({ key: put, version: null }));
    // It was released, also where that is not told of everybody.
    await store.commit({ when: untold, write: some, otherwise: [] }, by).catch(() => undefined);
  }
  return true;
}
