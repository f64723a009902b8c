// Records carried from one etcd into another: which of them, and how they are written so that nothing there is overwritten and
// no address is given while they are on their way. Knows no file.
import { IpamError } from './errors.js';
import { keyOf } from './findings.js';
import { inspect } from './inspection.js';
import { guardKey, RESTORED } from './keyspace.js';
import { guarding } from './pool-removal.js';
import { type Entry, placed, type Snapshot } from './recorded.js';
import { parsed } from './records.js';
import type { Condition, Deadline, Found, Store, Version, Write } from './store.js';
import type { Surroundings } from './surroundings.js';

/** Records in one transaction: each is compared as well, and etcd takes 128 operations. */
const CHUNK = 100;
/** Pools: each may need the guard of a family of its own besides. */
const POOLS = 60;
/** Bytes of them, roughly: etcd takes 1.5 MiB. */
const CHUNK_BYTES = 512 * 1_024;
/** What each of them belongs to comes before it. */
const ORDER = ['nodes', 'rules', 'pools', 'joins', 'holders', 'claims'] as const;

export interface Carried {
  readonly key: string;
  readonly record: object;
}

export interface ImportPlan {
  readonly missing: readonly Carried[];
  /** There already, and the same; or a node that is there, which its own plugin knows better. */
  readonly there: number;
  /** Keys of what is there and differs. */
  readonly differing: readonly string[];
  /** Why records cannot be what this version would write, or do not go together with what is there. */
  readonly wrong: readonly string[];
}

/** A record that is not carried: it cannot be understood, or is none of ours, and no import would take it. `why`: a clause. */
export interface LeftOut {
  readonly key: string;
  readonly why: string;
}

/** Of a snapshot; what hangs on a lease goes by itself, and guards and marks are made anew. */
export function carried(snapshot: Snapshot): { readonly records: Carried[]; readonly left: LeftOut[] } {
  const goes = ({ leased, key }: Entry) => !leased && rankOf(key) >= 0;
  const strays = placed(snapshot).strays.filter(({ entry }) => goes(entry));
  const unfit = new Set(strays.map(({ entry }) => entry));
  const records = snapshot.entries
    .filter((entry) => goes(entry) && !unfit.has(entry))
    .map(({ key, text }) => ({ key, record: JSON.parse(text) as object }));
  return { records, left: strays.map(({ entry: { key }, why }) => ({ key, why })) };
}

export function planImport(file: readonly Carried[], there: Snapshot): ImportPlan {
  const known = new Map(there.entries.map(({ key, text }) => [key, text]));
  const missing = file.filter(({ key }) => !known.has(key));
  const differing = file.filter(({ key, record }) => {
    const text = known.get(key);
    return text !== undefined && !key.startsWith('nodes/') && canonical(parsed(text)) !== canonical(record);
  });
  const added = missing.map(
    ({ key, record }): Entry => ({ key, text: JSON.stringify(record), version: '0', leased: false }),
  );
  const together = placed({ ...there, entries: [...there.entries, ...added] });
  const ours = new Set(added.map(({ key }) => key));
  const wrong = inspect(together).filter(
    ({ kind, records }) => UNFIT.includes(kind) && records.some(({ key }) => ours.has(key)),
  );
  return {
    missing: [...missing].sort((a, b) => rankOf(a.key) - rankOf(b.key)),
    there: file.length - missing.length - differing.length,
    differing: differing.map(({ key }) => key),
    wrong: wrong.map(({ kind, text }) => `${kind}: ${text}`),
  };
}

const UNFIT: readonly string[] = ['pool-overlap', 'undecodable', 'foreign-key', 'key-not-canonical'];

export interface ImportOptions {
  /** Says in the mark who has imported. */
  readonly node: string;
  readonly progress: (done: number) => void;
}

/**
 * Throws `contended` where something else is there by now, or the mark was taken away: what has been written stays, and the
 * next import goes on from there. The mark of a restored backup stands from before the first record on: only the hosts can
 * say who uses what is in none of these records.
 */
export async function carryIn(
  store: Store,
  missing: readonly Carried[],
  { node, progress }: ImportOptions,
  around: Surroundings,
  by: Deadline,
): Promise<void> {
  if (missing.length === 0) return;
  const mark = await putMark(store, node, missing.length, around, by);
  for (const [done, chunk] of chunksOf(missing)) {
    const guards = chunk[0]!.key.startsWith('pools/') ? await guardsOf(store, chunk, by) : new Map<string, Guard>();
    const when: Condition[] = [
      { key: RESTORED, version: mark },
      ...chunk.map(({ key }) => ({ key: { key }, version: null })),
      ...[...guards].map(([space, guard]) => ({ key: guardKey(space), version: guard?.version ?? null })),
    ];
    const write: Write[] = [
      ...chunk.map((one): Write => ({ put: keyOf(asEntry(one)), record: one.record })),
      ...[...guards.keys()].map((space) => guarding({ space }, around.token())),
    ];
    if (!(await store.commit({ when, write, otherwise: [] }, by)).done)
      throw new IpamError(
        'contended',
        `what is there changed after ${done} of ${missing.length} records; import again: it goes on from there`,
      );
    progress(done + chunk.length);
  }
}

type Guard = Found<unknown> | undefined;

async function putMark(
  store: Store,
  node: string,
  count: number,
  around: Surroundings,
  by: Deadline,
): Promise<Version> {
  const [found] = await store.read([{ one: RESTORED }], by);
  const what = `${count} records were imported`;
  const record = { node, what, since: around.now().toISOString(), token: around.token() };
  const when = [{ key: RESTORED, version: found?.version ?? null }];
  const outcome = await store.commit({ when, write: [{ put: RESTORED, record }], otherwise: [] }, by);
  if (!outcome.done) throw new IpamError('contended', 'the mark of a restored backup changed meanwhile; import again');
  return outcome.version;
}

async function guardsOf(store: Store, pools: readonly Carried[], by: Deadline): Promise<Map<string, Guard>> {
  const spaces = [...new Set(pools.map(({ key }) => guardKey(key.split('/')[1]!).key))];
  const guards = new Map<string, Guard>();
  for (const key of spaces) {
    const space = key.slice('spaces/'.length);
    const [found] = await store.read([{ one: guardKey(space) }], by);
    guards.set(space, found);
  }
  return guards;
}

/** Of one kind each. */
function* chunksOf(all: readonly Carried[]): Generator<[number, Carried[]]> {
  for (let from = 0; from < all.length; ) {
    const rank = rankOf(all[from]!.key);
    const chunk: Carried[] = [];
    let bytes = 0;
    for (const one of all.slice(from, from + (rank === rankOf('pools/') ? POOLS : CHUNK))) {
      bytes += one.key.length + JSON.stringify(one.record).length;
      if (rankOf(one.key) !== rank || (chunk.length > 0 && bytes > CHUNK_BYTES)) break;
      chunk.push(one);
    }
    yield [from, chunk];
    from += chunk.length;
  }
}

function rankOf(key: string): number {
  return ORDER.indexOf(key.slice(0, key.indexOf('/')) as (typeof ORDER)[number]);
}

function asEntry({ key }: Carried): Entry {
  return { key, text: '', version: '0', leased: false };
}

/** Whatever the order of its fields. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([field, of]) => `${JSON.stringify(field)}:${canonical(of)}`).join()}}`;
}
