// The in-memory double of the store port: a sorted map, one revision a commit, and switches for what can go wrong.
import { History } from '../../src/etcd/history.js';
import { IpamError } from '../../src/ipam/errors.js';
import { RESTORED } from '../../src/ipam/keyspace.js';
import type { RestoredRecord } from '../../src/ipam/records.js';
import { restoredError } from '../../src/ipam/restoration.js';
import type { Answers, Change, Deadline, Found, Outcome, Query, Span, Store, Version } from '../../src/ipam/store.js';

interface Entry {
  readonly text: string;
  readonly version: bigint;
  /** On the store's clock. */
  readonly until: number;
}

/** All there was at a revision. */
export interface Snapshot {
  readonly revision: bigint;
  readonly entries: readonly (readonly [string, Entry])[];
}

export class MemoryStore implements Store {
  #revision = 1n;
  readonly #history = new History();
  readonly #entries = new Map<string, Entry>();
  /** The keys in order, or undefined when one came or went. A /16 of claims is counted in 64 parts a read. */
  #sorted: string[] | undefined;
  /** False: grants are refused as if the session had gone and could not be made again. */
  alive = true;
  /** True: every call fails as if nobody answered. */
  away = false;
  /** False: nothing can be made to go by itself, as without leases. */
  leases = true;
  /** In ms; moved by tests alone. */
  #clock = 0;
  /** Called before each commit is applied: the place to let somebody else go first. */
  before: (change: Change<readonly Query[]>) => void | Promise<void> = () => undefined;
  commits = 0;
  reads = 0;

  seen(): Version {
    return this.#history.version(String(this.#revision));
  }

  snapshot(): Snapshot {
    return { revision: this.#revision, entries: [...this.#entries] };
  }

  /** Revisions go on from there; everybody who is told one notices, and the mark is the test's to put. */
  restore({ revision, entries }: Snapshot): void {
    for (const at of [this.#revision, revision])
      this.#history.answered({ cluster_id: '1', revision: String(at) }, this.#history.known, false);
    this.#revision = revision;
    this.#entries.clear();
    for (const [key, entry] of entries) this.#entries.set(key, entry);
    this.#sorted = undefined;
  }

  async read<const Q extends readonly Query[]>(queries: Q, by: Deadline): Promise<Answers<Q>> {
    this.#reach(by);
    this.reads++;
    return this.#answer(queries);
  }

  async commit<const Q extends readonly Query[]>(change: Change<Q>, by: Deadline): Promise<Outcome<Q>> {
    this.#reach(by);
    await this.before(change);
    this.commits++;
    if (change.witness && !this.alive) throw new IpamError('unavailable', 'no session');
    const mark = this.#found(RESTORED.key, RESTORED.decode);
    if (change.witness && !change.puttingBack && mark) throw restoredError(mark.record as RestoredRecord);
    const holds = change.when.every((condition) =>
      'none' in condition
        ? this.#within(condition.none).every((key) => this.#isOld(key, condition.newerThan))
        : this.#version(condition.key.key) === condition.version,
    );
    if (!holds) return { done: false, certain: true, seen: this.#answer(change.otherwise) };
    const touched = new Set<string>();
    this.#revision++;
    for (const write of change.write) {
      const keys =
        'removeAll' in write ? this.#within(write.removeAll) : ['put' in write ? write.put.key : write.remove.key];
      for (const key of keys) {
        if (touched.has(key)) throw new Error(`duplicate key ${key} in one change`);
        touched.add(key);
        const rests = 'put' in write ? (write.rests ?? write.kept) : undefined;
        const kept = 'put' in write && (rests === undefined || this.leases);
        this.#set(key, kept ? JSON.stringify(write.record) : undefined, rests && this.#clock + rests);
      }
    }
    return { done: true, version: this.seen() };
  }

  /** Every key with its decoded value, or the text if it is no JSON, in order. */
  keyspace(): Record<string, unknown> {
    return Object.fromEntries(this.#keys().map((key) => [key, parsed(this.#entries.get(key)!.text)]));
  }

  /** But for what is told of former holders. */
  present(): Record<string, unknown> {
    return Object.fromEntries(Object.entries(this.keyspace()).filter(([key]) => !key.startsWith('history/')));
  }

  /** Every key with its text and version, in order. */
  entries(): { readonly key: string; readonly text: string; readonly version: Version }[] {
    return this.#keys().map((key) => {
      const { text, version } = this.#entries.get(key)!;
      return { key, text, version: String(version) };
    });
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Writes behind the store's back, as another client of etcd would. */
  plant(key: string, record: unknown): void {
    this.#revision++;
    this.#set(key, record === undefined || typeof record === 'string' ? record : JSON.stringify(record));
  }

  /** Time passes for what rests. */
  elapse(ms: number): void {
    this.#clock += ms;
    this.#end((until) => until <= this.#clock);
  }

  /** As if somebody had revoked all leases. */
  loseLeases(): void {
    this.#end((until) => until < Number.POSITIVE_INFINITY);
  }

  #end(ended: (until: number) => boolean): void {
    const gone = [...this.#entries].filter(([, { until }]) => ended(until));
    if (gone.length > 0) this.#revision++;
    for (const [key] of gone) this.#set(key, undefined);
  }

  #reach(by: Deadline): void {
    if (this.away) throw new IpamError('unavailable', 'the store is away');
    if (performance.now() > by) throw new IpamError('deadline', 'too late');
  }

  #set(key: string, text: string | undefined, until = Number.POSITIVE_INFINITY): void {
    if (this.#entries.has(key) !== (text !== undefined)) this.#sorted = undefined;
    if (text === undefined) this.#entries.delete(key);
    else this.#entries.set(key, { text, version: this.#revision, until });
  }

  #keys(): string[] {
    this.#sorted ??= [...this.#entries.keys()].sort();
    return this.#sorted;
  }

  #within({ from, to }: Span<unknown>): string[] {
    const keys = this.#keys();
    return keys.slice(lowest(keys, from), lowest(keys, to));
  }

  #found(key: string, decode: (json: unknown, key: string) => unknown): Found<unknown> | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    let json: unknown;
    try {
      json = JSON.parse(entry.text);
    } catch {
      json = undefined;
    }
    return { key, record: decode(json, key), version: this.#version(key)! };
  }

  #version(key: string): Version | null {
    const entry = this.#entries.get(key);
    return entry ? this.#history.version(String(entry.version)) : null;
  }

  #isOld(key: string, newerThan: Version | undefined): boolean {
    const known = newerThan === undefined ? undefined : this.#history.revision(newerThan);
    return known !== undefined && this.#entries.get(key)!.version <= BigInt(known);
  }

  #answer<Q extends readonly Query[]>(queries: Q): Answers<Q> {
    return queries.map((query) => {
      if ('one' in query) return this.#found(query.one.key, query.one.decode);
      if ('count' in query) return this.#within(query.count).length;
      const keys = this.#within('span' in query ? query.span : query.keys);
      if ('span' in query && query.last) keys.reverse();
      const page = query.limit > 0 ? keys.slice(0, query.limit) : keys;
      const more = page.length < keys.length;
      if ('keys' in query) return { keys: page, more };
      return { found: page.map((key) => this.#found(key, query.span.decode)), more };
    }) as Answers<Q>;
  }
}

/** The way to the store takes now longer, now shorter, so that calls made together overtake each other. */
export function uneven(store: Store, next: () => number): Store {
  const way = async () => {
    for (let turns = next() % 12; turns > 0; turns--) await undefined;
  };
  return {
    read: (...args) => way().then(() => store.read(...args)),
    commit: async (...args) => {
      await way();
      const outcome = await store.commit(...args);
      await way();
      return outcome;
    },
    seen: () => store.seen(),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Where the first key at or behind `bound` stands. */
function lowest(keys: readonly string[], bound: string): number {
  let [from, to] = [0, keys.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (keys[middle]! < bound) from = middle + 1;
    else to = middle;
  }
  return from;
}
