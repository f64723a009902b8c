// The nodes there are, as etcd shows them. Judges none.
import { NODES, nodeKey, nodeOf, SESSIONS, sessionsOf } from './keyspace.js';
import { all } from './pages.js';
import type { NodeSeen } from './silence.js';
import type { Deadline, Store } from './store.js';

/** In the order of their names. Read in pages: whoever acts on what a node is compares it. */
export async function readNodes(store: Store, by: Deadline): Promise<NodeSeen[]> {
  const living = new Set<string>();
  for await (const { key } of all(store, SESSIONS, by)) living.add(nodeOf(key));
  const nodes: NodeSeen[] = [];
  for await (const found of all(store, NODES, by)) {
    const name = nodeOf(found.key);
    nodes.push({ name, found, living: living.has(name) });
  }
  return nodes;
}

export async function readNode(store: Store, name: string, by: Deadline): Promise<NodeSeen | undefined> {
  const [found, sessions] = await store.read([{ one: nodeKey(name) }, { count: sessionsOf(name) }], by);
  return found && { name, found, living: sessions > 0 };
}
