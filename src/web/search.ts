// Finds claims, nodes and pools by what a person remembers of them: an address or its beginning, a container's name, a MAC, a
// node. Reads only.
import {
  addressOfClaim,
  claimsOf,
  EVERY_CLAIM,
  EVERY_POOL,
  NODES,
  nodeOf,
  type Subnet,
  subnetOfPool,
} from '../ipam/keyspace.js';
import { all } from '../ipam/pages.js';
import type { ClaimRecord } from '../ipam/records.js';
import type { Deadline, Found, Store } from '../ipam/store.js';
import { formatAddress, parseAddress } from '../net/address.js';
import { contains, formatPrefix } from '../net/prefix.js';
import { claimRow } from '../ops/claims.js';
import { whoHas } from '../ops/who.js';
import type { Search } from './shapes.js';

const MOST_NAMED = 20;

/** `limit`: of claims; the search ends with it. `subnet`: claims of that pool only. */
export async function search(
  store: Store,
  text: string,
  subnet: Subnet | undefined,
  limit: number,
  by: Deadline,
): Promise<Search> {
  const wanted = text.trim().toLowerCase();
  const address = addressIn(wanted);
  const pools: Search['pools'] = [];
  for await (const { key } of all(store, EVERY_POOL, by)) {
    const { space, prefix } = subnetOfPool(key);
    const pool = formatPrefix(prefix);
    if (pools.length < MOST_NAMED && (address ? contains(prefix, address) : pool.startsWith(wanted)))
      pools.push({ space, pool });
  }
  if (address) {
    const answers = await whoHas(store, address, Number.POSITIVE_INFINITY, by);
    return { claims: answers.flatMap(({ claim }) => claim ?? []), nodes: [], pools, complete: true };
  }
  const nodes: string[] = [];
  for await (const { key } of all(store, NODES, by))
    if (nodes.length < MOST_NAMED && nodeOf(key).toLowerCase().includes(wanted)) nodes.push(nodeOf(key));
  const claims: Search['claims'] = [];
  const fits = fitting(wanted);
  for await (const found of all(store, subnet ? claimsOf(subnet) : EVERY_CLAIM, by)) {
    if (!fits(found)) continue;
    if (claims.length === limit) return { claims, nodes, pools, complete: false };
    claims.push(claimRow(found));
  }
  return { claims, nodes, pools, complete: true };
}

function fitting(wanted: string): (found: Found<ClaimRecord>) => boolean {
  const begins = /^[0-9a-f]*[.:][0-9a-f.:]*$/.test(wanted);
  return ({ key, record: { name, node, mac } }) =>
    name?.toLowerCase().includes(wanted) ||
    node?.toLowerCase().includes(wanted) ||
    mac?.toLowerCase().startsWith(wanted) ||
    (begins && formatAddress(addressOfClaim(key)).startsWith(wanted));
}

function addressIn(text: string) {
  try {
    return parseAddress(text);
  } catch {
    return undefined;
  }
}
