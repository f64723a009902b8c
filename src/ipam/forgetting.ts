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
import type { ClaimRecord } from './records.js';
import { Releases } from './releases.js';
import { type NodeSeen, stillSilent } from './silence.js';
import { isGlobal } from './spaces.js';
import type { Answers, Change, Condition, Deadline, Found, Outcome, Query, Store } from './store.js';
import type { Surroundings } from './surroundings.js';
import { Terms } from './terms.js';
import { Views } from './views.js';

/** Removals in one transaction: each needs a compare as well, and etcd takes 128 of either. */
const CHUNK = 100;

/** Throws `contended` when the node came back, or was found by another runner. What the swarm owns is left alone. */
export async function forget(node: NodeSeen, store: Store, around: Surroundings, by: Deadline): Promise<void> {
  const behalf = new Behalf(store, node);
  const { name, found } = node;
  const self = { node: name, boot: found.record.boot };
  const releases = new Releases(behalf, self, around);
  const removal = new PoolRemoval(behalf, self, around, new Views(behalf, self), releases, new Terms());

  let chunk: Found<ClaimRecord>[] = [];
  const remove = async () => {
    const when = chunk.map(({ key, version }) => ({ key: { key }, version }));
    const write = chunk.map(({ key }) => ({ remove: { key, decode: EVERY_CLAIM.decode } }));
    if (chunk.length > 0) await behalf.commit({ when, write, otherwise: [], signed: true }, by);
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
    await releases.release(ref, addressOfHolder(key), () => undefined, by);
  }
  for await (const { key, record } of all(store, EVERY_JOIN, by)) {
    const subnet = subnetOfPool(parentOf(key));
    if (record.node === name && !isGlobal(subnet.space)) await removal.release(refOf(subnet, key), by);
  }
  await behalf.commit({ when: [], write: [{ remove: nodeKey(name) }], otherwise: [], signed: true }, by);
}

function refOf(subnet: Subnet, key: string): PoolRef {
  return { ...subnet, join: joinOf(key) };
}

/** A store whose every commit also compares that the node is still silent, and fails for good once it is not. */
class Behalf implements Store {
  readonly #store: Store;
  readonly #node: NodeSeen;
  readonly #still: readonly Condition[];

  constructor(store: Store, node: NodeSeen) {
    this.#store = store;
    this.#node = node;
    this.#still = stillSilent(node);
  }

  read<const Q extends readonly Query[]>(queries: Q, by: Deadline): Promise<Answers<Q>> {
    return this.#store.read(queries, by);
  }

  async commit<const Q extends readonly Query[]>(change: Change<Q>, by: Deadline): Promise<Outcome<Q>> {
    const outcome = await this.#store.commit({ ...change, when: [...change.when, ...this.#still] }, by);
    if (outcome.done) return outcome;
    const { name, found } = this.#node;
    const [now] = await this.#store.read([{ one: nodeKey(name) }], by);
    if (now?.version !== found.version)
      throw new IpamError('contended', `node ${name} changed while it was to be forgotten`);
    return outcome;
  }

  seen() {
    return this.#store.seen();
  }
}
