// Who had an address, by what is kept of tenures that have ended and by the records that stand. Reads; decides nothing. The
// times are those of the hosts that wrote them.
import { claimKey, EVERY_POOL, holdersAt, subnetOfPool, tenuresBehind, tenuresOf } from '../ipam/keyspace.js';
import { all } from '../ipam/pages.js';
import type { ClaimRecord, TenureRecord } from '../ipam/records.js';
import type { Deadline, Store } from '../ipam/store.js';
import { keyOf, whose } from '../ipam/tenures.js';
import { type Address, formatAddress } from '../net/address.js';
import { contains, formatPrefix } from '../net/prefix.js';

export interface Tenure {
  readonly kind: ClaimRecord['kind'];
  readonly role?: string | undefined;
  readonly node?: string | undefined;
  readonly join?: string | undefined;
  readonly epoch?: number | undefined;
  readonly name?: string | undefined;
  readonly mac?: string | undefined;
  readonly since: string;
  /** Absent: it lasts. */
  readonly until?: string;
  readonly how?: string;
}

export interface Place {
  readonly space: string;
  readonly pool: string;
}

/** Of one pool: who had the address at that time, or else who had it last before and first after. */
export interface Then extends Place {
  readonly at: string;
  readonly had: readonly Tenure[];
  readonly before?: Tenure;
  readonly after?: Tenure;
}

export interface Past extends Place {
  readonly tenure: Tenure;
}

/** One for each pool that the address lies in or lay in, as far as is known. */
export async function whoHadAt(store: Store, address: Address, at: Date, by: Deadline): Promise<Then[]> {
  const places = new Map<string, { readonly place: Place; readonly tenures: Tenure[] }>();
  const add = ({ tenure, ...place }: Past) => {
    const key = `${place.space} ${place.pool}`;
    if (!places.has(key)) places.set(key, { place, tenures: [] });
    places.get(key)!.tenures.push(tenure);
  };
  for await (const past of everyPast(store, address, by)) add(past);
  for (const past of await present(store, address, by)) add(past);
  return [...places.values()].map(({ place, tenures }) => ({ ...place, ...then(tenures, at) }));
}

/** The latest first. Those of all spaces, as many as `most` of each. */
export async function lately(store: Store, address: Address, most: number, by: Deadline): Promise<Past[]> {
  const found: Past[] = [];
  for await (const space of spacesOf(store, by)) {
    const [page] = await store.read([{ span: tenuresOf(space, address), limit: most, last: true }], by);
    for (const { record } of page.found) if (record) found.push(pastOf(space, record));
  }
  return found;
}

function then(tenures: readonly Tenure[], at: Date): Omit<Then, keyof Place> {
  const instant = at.getTime();
  const had = tenures.filter(
    ({ since, until }) => Date.parse(since) <= instant && !(Date.parse(until ?? '') <= instant),
  );
  const text = at.toISOString();
  if (had.length > 0) return { at: text, had };
  const before = latest(tenures.filter(({ until }) => until !== undefined && Date.parse(until) <= instant));
  const after = latest(tenures.filter(({ since }) => Date.parse(since) > instant)).first;
  return { at: text, had, ...(before.last && { before: before.last }), ...(after && { after }) };
}

function latest(tenures: readonly Tenure[]): { first?: Tenure; last?: Tenure } {
  const inOrder = [...tenures].sort((a, b) => Date.parse(a.since) - Date.parse(b.since));
  const [first, last] = [inOrder[0], inOrder.at(-1)];
  return { ...(first && { first }), ...(last && { last }) };
}

async function* everyPast(store: Store, address: Address, by: Deadline): AsyncGenerator<Past> {
  for await (const space of spacesOf(store, by))
    for await (const { record } of all(store, tenuresOf(space, address), by)) if (record) yield pastOf(space, record);
}

/** Those of which anything is told. */
async function* spacesOf(store: Store, by: Deadline): AsyncGenerator<string> {
  for (let space: string | undefined; ; ) {
    const [{ keys }] = await store.read([{ keys: tenuresBehind(space), limit: 1 }], by);
    space = keys[0]?.split('/')[1];
    if (space === undefined) return;
    yield space;
  }
}

/** What stands has been so since it says so; and pools in which nobody has it are places all the same. */
async function present(store: Store, address: Address, by: Deadline): Promise<Past[]> {
  const found: Past[] = [];
  for await (const { key } of all(store, EVERY_POOL, by)) {
    const subnet = subnetOfPool(key);
    if (!contains(subnet.prefix, address)) continue;
    const [claim, { found: holders }] = await store.read(
      [{ one: claimKey(subnet, address) }, { span: holdersAt(subnet, address), limit: 0 }],
      by,
    );
    for (const one of [...(claim ? [claim] : []), ...holders])
      if (keyOf(one)) found.push({ space: subnet.space, pool: formatPrefix(subnet.prefix), tenure: whose(one) });
  }
  return found;
}

function pastOf(space: string, { pool, ...tenure }: TenureRecord): Past {
  return { space, pool, tenure };
}

export function formatThen(address: Address, at: Date, answers: readonly Then[]): string {
  const text = formatAddress(address);
  const asked = at.toISOString();
  if (answers.length === 0) return `${text} at ${asked}: nobody that is known, and nothing else is known of it`;
  const lines = answers.flatMap(({ space, pool, had, before, after }) => {
    const where = `${text} of ${pool} in ${space} at ${asked}:`;
    if (had.length > 0) return [where, ...had.map((one) => `  ${formatTenure(one)}`)];
    const near = [before && `  before: ${formatTenure(before)}`, after && `  after:  ${formatTenure(after)}`];
    return [`${where} nobody that is known`, ...near.filter((line) => line !== undefined)];
  });
  return [...lines, 'by the clocks of the hosts, and as exact as they are'].join('\n');
}

/** "web on host-a, 2026-11-29T13:02:11.004Z to 2026-11-29T14:03:12.120Z, released". */
export function formatTenure({ kind, role, name, mac, node, join, since, until, how }: Tenure): string {
  const who = name ?? mac ?? role ?? WORDS[kind] ?? kind;
  const where = node === undefined ? (kind === 'swarm' ? 'given by the swarm' : `join ${join ?? '?'}`) : `on ${node}`;
  return `${who} ${where}, ${since} to ${until === undefined ? 'now' : `${until}, ${ENDED[how ?? ''] ?? how}`}`;
}

const WORDS: Readonly<Record<string, string>> = {
  endpoint: 'a container',
  swarm: 'a task or service',
  unsure: 'unsure',
};

const ENDED: Readonly<Record<string, string>> = {
  released: 'released',
  left: 'its network was removed',
  taken: 'taken over',
  renewed: 'asked for anew',
  forgotten: 'its host was forgotten',
  reconciled: 'its engine showed it no more',
  'by hand': 'released by hand',
};
