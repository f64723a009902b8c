// Who had an address when: what is kept of a tenure that ends, written by the change that ends it. The tenures that last are
// the claims and holders themselves, so that giving an address costs nothing. Nothing is decided by any of this.
import { formatWide } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import { addressOfClaim, addressOfHolder, isOurs, joinOf, parentOf, subnetOfPool, tenureKey } from './keyspace.js';
import type { ClaimRecord, Ending, HolderRecord, TenureRecord } from './records.js';
import type { Found, Key, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';

/** Whatever says of an address whose it is: a claim, or a part in a shared one. */
export type Holding = Pick<Found<ClaimRecord | HolderRecord>, 'key' | 'record'>;

type Told = 'kind' | 'role' | 'node' | 'join' | 'epoch' | 'name' | 'mac' | 'since';

/** None where nobody had it: what rests is nobody's, and a shared address is its holders'. */
export function past(
  ended: Holding | undefined,
  how: Ending,
  { keepMs = 0 }: Pick<Self, 'keepMs'>,
  around: Pick<Surroundings, 'now'>,
): Extract<Write, { put: unknown }>[] {
  const put = ended && keyOf(ended);
  if (!put || keepMs === 0) return [];
  const pool = formatPrefix(subnetOfPool(claimPathOf(ended)).prefix);
  const record: TenureRecord = { pool, ...whose(ended), until: around.now().toISOString(), how };
  return [{ put, record, kept: keepMs }];
}

/** The tenure as long as it lasts. */
export function whose({ key, record }: Holding): Pick<TenureRecord, Told> {
  const { node, epoch, since } = record;
  const ours = { ...(node !== undefined && { node }), ...(epoch !== undefined && { epoch }), since };
  if (isPart(record)) return { kind: 'shared', role: record.role, join: joinOf(key), ...ours };
  const { kind, join, name, mac } = record;
  return {
    kind,
    ...(join !== undefined && { join }),
    ...(name !== undefined && { name }),
    ...(mac !== undefined && { mac }),
    ...ours,
  };
}

function isPart(record: ClaimRecord | HolderRecord): record is HolderRecord {
  return 'role' in record;
}

/** It has not ended after all, or nobody ever heard of it. */
export function notPast(lasting: Holding | undefined, { keepMs = 0 }: Pick<Self, 'keepMs'>): Write[] {
  const remove = lasting && keyOf(lasting);
  return remove && keepMs > 0 ? [{ remove }] : [];
}

/** The same whoever ends it, so that two who do write one record. */
export function keyOf(holding: Holding): Key<TenureRecord> | undefined {
  const { record } = holding;
  const { since, token } = record;
  if (!isPart(record) && NOBODYS.includes(record.kind)) return undefined;
  // Written by somebody else than us.
  if (!INSTANT.test(since) || !TOKEN.test(token) || !isOurs(holding.key)) return undefined;
  const address = isPart(record) ? addressOfHolder(holding.key) : addressOfClaim(holding.key);
  return tenureKey(subnetOfPool(claimPathOf(holding)).space, address, `${since}-${token}`);
}

/** That of a claim or holder without what follows its pool. */
function claimPathOf({ key, record }: Holding): string {
  return isPart(record) ? parentOf(parentOf(key)) : parentOf(key);
}

const NOBODYS: readonly ClaimRecord['kind'][] = ['cooling', 'shared', 'foreign'];
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const TOKEN = /^[0-9a-f]{16}$/;
const NAMED = /^history\/[^/]+\/v[46]\/([0-9a-f.:]+)\/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z-[0-9a-f]{16}$/;

/** The name is one that `past` writes. */
export function isTenure(key: string): boolean {
  const [, wide] = NAMED.exec(key) ?? [];
  if (wide === undefined) return false;
  try {
    return formatWide(addressOfClaim(`/${wide}`)) === wide;
  } catch {
    return false;
  }
}
