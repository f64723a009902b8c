// What others took from a node while it was gone, for its own log: its containers may still use it. Changes nothing.
import { formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import { addressOfClaim, EVERY_CLAIM, parentOf, subnetOfPool } from './keyspace.js';
import { all } from './pages.js';
import type { Deadline, Store } from './store.js';

export interface GivenOn {
  readonly space: string;
  readonly pool: string;
  readonly address: string;
  /** Whose it is now, and since when. */
  readonly node: string;
  readonly name?: string;
  readonly since: string;
}

/** Lists all claims there are, in pages: for when a node has just come back, and not before. */
export async function* givenOn(store: Store, node: string, by: Deadline): AsyncGenerator<GivenOn> {
  for await (const { key, record } of all(store, EVERY_CLAIM, by)) {
    if (record.from !== node || record.node === undefined || record.node === node) continue;
    const { space, prefix } = subnetOfPool(parentOf(key));
    const { name, since } = record;
    const place = { space, pool: formatPrefix(prefix), address: formatAddress(addressOfClaim(key)) };
    yield { ...place, node: record.node, ...(name !== undefined && { name }), since };
  }
}
