// The end of a node that is gone for good: its claims, its parts in shared addresses, its joins, at last its record. All
// of it compares that the node is as silent as it was, so that it may come back at any time and keep what is left.
import { IpamError } from './errors.js';
import {
  addressOfHolder,
  EVERY_CLAIM,
  EVERY_HOLDER,
  EVERY_JOIN,
  joinOf,
  nodeKey,
  parentOf,
  type Subnet,
  subnetOfPool,
} from './keyspace.js';
import { all } from './pages.js';
import type { PoolRef } from './pool-id.js';
import { PoolRemoval } from './pool-removal.js';
import { Proviso } from './proviso.js';
import type { ClaimRecord } from './records.js';
import { Releases } from './releases.js';
import { type NodeSeen, stillSilent } from './silence.js';
import { isGlobal } from './spaces.js';
import type { Deadline, Found, Store, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { past } from './tenures.js';
import { Terms } from './terms.js';
import { Views } from './views.js';

/** Removals in one transaction: of each it is kept who had it, and etcd takes 128 operations. */
const CHUNK = 60;

/**
 * Throws `contended` when the node came back, was forgotten by another runner, or had a claim taken meanwhile. What the swarm
 * owns is left alone.
 */
export async function forget(
  node: NodeSeen,
  store: Store,
  around: Surroundings,
  { keepMs = 0 }: Pick<Self, 'keepMs'>,
  by: Deadline,
): Promise<void> {
  const { name, found } = node;
  const changed = () => new IpamError('contended', `node ${name} changed while it was to be forgotten`);
  const behalf = new Proviso(store, stillSilent(node), changed);
  const self = { node: name, boot: found.record.boot, keepMs };
  const releases = new Releases(behalf, self, around);
  const removal = new PoolRemoval(behalf, self, around, new Views(behalf, self), releases, new Terms());

  let chunk: Found<ClaimRecord>[] = [];
  const remove = async () => {
    const when = chunk.map(({ key, version }) => ({ key: { key }, version }));
    const write = [
      ...chunk.map(({ key }): Write => ({ remove: { key, decode: EVERY_CLAIM.decode } })),
      ...chunk.flatMap((claim) => past(claim, 'forgotten', self, around)),
    ];
    const change = { when, write, otherwise: [], signed: true };
    if (chunk.length > 0 && !(await behalf.commit(change, by)).done) throw changed();
    chunk = [];
  };
  for await (const claim of all(store, EVERY_CLAIM, by)) {
    if (claim.record.node !== name) continue;
    chunk.push(claim);
    if (chunk.length === CHUNK) await remove();
  }
  await remove();
  for await (const { key, record } of all(store, EVERY_HOLDER, by)) {
    if (record.node !== name) continue;
    const ref = refOf(subnetOfPool(parentOf(parentOf(key))), key);
    await releases.release(ref, addressOfHolder(key), () => undefined, by, 'forgotten');
  }
  for await (const { key, record } of all(store, EVERY_JOIN, by)) {
    if (record.node !== name) continue;
    const subnet = subnetOfPool(parentOf(key));
    if (!isGlobal(subnet.space)) await removal.release(refOf(subnet, key), by);
  }
  const last = { when: [], write: [{ remove: nodeKey(name) }], otherwise: [], signed: true };
  if (!(await behalf.commit(last, by)).done) throw changed();
}

function refOf(subnet: Subnet, key: string): PoolRef {
  return { ...subnet, join: joinOf(key) };
}
