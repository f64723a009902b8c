// `etcd-ipam claims`: the addresses that are taken, page by page. Reads; decides nothing.
import { addressOfClaim, claimsOf, EVERY_CLAIM, parentOf, type Subnet, subnetOfPool } from '../ipam/keyspace.js';
import { pages } from '../ipam/pages.js';
import type { ClaimRecord } from '../ipam/records.js';
import type { Deadline, Found, Store } from '../ipam/store.js';
import { formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import { mustBePool } from './no-pool.js';
import { Lines, type Screen } from './table.js';

export interface ClaimRow {
  readonly space: string;
  readonly pool: string;
  readonly address: string;
  readonly kind: ClaimRecord['kind'];
  readonly node?: string;
  readonly name?: string;
  readonly mac?: string;
  readonly join?: string;
  /** The node that had it and was gone. */
  readonly from?: string;
  readonly since: string;
}

export interface Filter {
  readonly space?: string;
  readonly node?: string;
  readonly name?: string;
  readonly kind?: string;
  /** Written before, or after, that instant. */
  readonly before?: Date;
  readonly after?: Date;
}

const PAGE = 4_000;

/** `subnet`: of that pool only; throws `unknown_pool` where it is none, and nothing is left of one. In order, as they are read. */
export async function* listClaims(
  store: Store,
  subnet: Subnet | undefined,
  filter: Filter,
  by: Deadline,
): AsyncGenerator<readonly ClaimRow[]> {
  for await (const page of pages(store, subnet ? claimsOf(subnet) : EVERY_CLAIM, by, PAGE)) {
    if (subnet && page.length === 0) await mustBePool(store, subnet, by);
    yield page.map(claimRow).filter((row) => fits(row, filter));
  }
}

export function claimRow({ key, record }: Found<ClaimRecord>): ClaimRow {
  const { space, prefix } = subnetOfPool(parentOf(key));
  const { kind, node, name, mac, join, from, since } = record;
  return {
    ...{ space, pool: formatPrefix(prefix), address: formatAddress(addressOfClaim(key)), kind },
    ...(node !== undefined && { node }),
    ...(name !== undefined && { name }),
    ...(mac !== undefined && { mac }),
    ...(join !== undefined && { join }),
    ...(from !== undefined && { from }),
    since,
  };
}

function fits(row: ClaimRow, { space, node, name, kind, before, after }: Filter): boolean {
  if (space !== undefined && row.space !== space) return false;
  if (node !== undefined && row.node !== node) return false;
  if (name !== undefined && row.name !== name) return false;
  if (kind !== undefined && row.kind !== kind) return false;
  const since = Date.parse(row.since);
  // A time that nobody can read is neither before nor after.
  return (before === undefined || since < before.getTime()) && (after === undefined || since > after.getTime());
}

/** The next rows as lines. */
export function claimLines(screen: Screen): (claims: readonly ClaimRow[]) => string[] {
  const lines = new Lines(
    [
      { title: 'SPACE', spare: 2 },
      { title: 'ADDRESS' },
      {
        title: 'KIND',
        spare: 1,
        tone: (kind) => (kind === 'cooling' ? 'faint' : kind === 'foreign' ? 'bad' : undefined),
      },
      { title: 'NODE' },
      { title: 'NAME' },
      { title: 'SINCE', spare: 3 },
    ],
    screen,
  );
  return (claims) =>
    lines.of(
      claims.map(({ space, address, kind, node = '', name = '', mac, since }) => [
        ...[space, address, kind, node, name || (mac ?? ''), since],
      ]),
    );
}
