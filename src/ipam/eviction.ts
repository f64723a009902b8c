// An operator's word that a node will not come back: from then on nobody stands behind its claims, without waiting for its
// silence. Takes nothing away itself; whoever needs an address takes it, and what nobody takes is the node's if it returns.
import { formatPrefix } from '../net/prefix.js';
import { isOfNode } from './decide.js';
import { IpamError } from './errors.js';
import { EVERY_CLAIM, nodeKey, parentOf, sessionsOf, subnetOfPool } from './keyspace.js';
import { readNode } from './nodes.js';
import { all } from './pages.js';
import { type NodeSeen, stillSilent } from './silence.js';
import type { Deadline, Store } from './store.js';

const MOST_ATTEMPTS = 16;

/** Addresses of one pool that anybody may take once their node is evicted. */
export interface Yield {
  readonly space: string;
  readonly pool: string;
  readonly addresses: number;
}

/** Lists all claims there are, in pages: what it finds may change meanwhile. */
export async function yieldOf(store: Store, name: string, by: Deadline): Promise<Yield[]> {
  const pools = new Map<string, Yield>();
  for await (const { key, record } of all(store, EVERY_CLAIM, by)) {
    if (record.node !== name || !isOfNode(record)) continue;
    const path = parentOf(key);
    const { space, prefix } = subnetOfPool(path);
    pools.set(path, { space, pool: formatPrefix(prefix), addresses: (pools.get(path)?.addresses ?? 0) + 1 });
  }
  return [...pools.values()];
}

/** Throws `unknown_node`, and `node_alive` where it has a session and is not forced to end. */
export async function evictable(store: Store, name: string, force: boolean, by: Deadline): Promise<NodeSeen> {
  const node = await readNode(store, name, by);
  if (!node) throw new IpamError('unknown_node', `there is no node ${name}`);
  if (node.living && !force)
    throw new IpamError(
      'node_alive',
      `node ${name} is alive: stop its plugin first, or add --force if it can be reached no more and its session still lives`,
    );
  return node;
}

/**
 * `evicted`: the instant. With `force` the sessions end in the same transaction; a process that lives makes a new one, since
 * only a stopped process stays away.
 */
export async function evict(
  store: Store,
  name: string,
  force: boolean,
  evicted: string,
  by: Deadline,
): Promise<NodeSeen> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const node = await evictable(store, name, force, by);
    const { record, version } = node.found;
    if (record.evicted !== undefined && !node.living) return node;
    const change = {
      when: node.living ? [{ key: nodeKey(name), version }] : stillSilent(node),
      write: [
        { put: nodeKey(name), record: { ...record, evicted } },
        ...(node.living ? [{ removeAll: sessionsOf(name) }] : []),
      ],
    };
    if ((await store.commit({ ...change, otherwise: [] }, by)).done) return node;
  }
  throw new IpamError('contended', `node ${name} changed ${MOST_ATTEMPTS} times while it was to be evicted`);
}
