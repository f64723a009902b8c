// An etcd that was restored from a backup has forgotten what was given since. While its mark stands nothing is given; here is
// who has to compare first, and how the mark goes. Refuses to know how a restore is noticed.
import { IpamError } from './errors.js';
import { NODES, nodeOf, RECONCILED, RESTORED, reconciledKey, SESSIONS } from './keyspace.js';
import { all } from './pages.js';
import type { RestoredRecord } from './records.js';
import type { Deadline, Found, Span, Store } from './store.js';
import type { Surroundings } from './surroundings.js';

/** The sentence for everybody who asks for an address meanwhile. */
export function restoredError({ node, what, since }: Omit<RestoredRecord, 'token'>): IpamError {
  return new IpamError(
    'restored',
    `etcd was restored from a backup (seen by ${node}${since && ` at ${since}`}: ${what}) and may not know of addresses given ` +
      'since: none is given until all hosts have reconciled, or etcd-ipam resume was run',
  );
}

export interface Waited {
  readonly node: string;
  readonly living: boolean;
  readonly evicted: boolean;
  /** Each of its processes that live, or any if none does, has compared its engine with etcd since the mark was put. */
  readonly reconciled: boolean;
}

export interface Restoration {
  readonly mark: Found<RestoredRecord>;
  readonly nodes: readonly Waited[];
  /** What a swarm's leader gave, no engine shows: then only an operator ends it. */
  readonly swarm: boolean;
}

/** All pools of all global spaces: "." and "@" and "/" come before "A". */
const GLOBAL_POOLS: Span<unknown> = { from: 'pools/global', to: 'pools/globalA', decode: (json) => json };

/** Undefined where no mark stands. */
export async function readRestoration(store: Store, by: Deadline): Promise<Restoration | undefined> {
  const [mark, pools] = await store.read([{ one: RESTORED }, { keys: GLOBAL_POOLS, limit: 1 }], by);
  if (!mark) return undefined;
  const stamped = new Set<string>();
  for await (const { key, record } of all(store, RECONCILED, by))
    if (record.mark === mark.record.token) stamped.add(key.slice(RECONCILED.from.length));
  const processes = new Map<string, string[]>();
  for await (const { key } of all(store, SESSIONS, by)) {
    const name = nodeOf(key);
    processes.set(name, [...(processes.get(name) ?? []), key.slice(SESSIONS.from.length)]);
  }
  const evicted = new Map<string, boolean>();
  for await (const { key, record } of all(store, NODES, by)) evicted.set(nodeOf(key), record.evicted !== undefined);
  const names = [...new Set([...evicted.keys(), ...processes.keys()])].sort();
  const nodes = names.map((node): Waited => {
    const alive = processes.get(node);
    const reconciled =
      alive?.every((one) => stamped.has(one)) ?? [...stamped].some((one) => one.startsWith(`${node}/`));
    return { node, living: alive !== undefined, evicted: evicted.get(node) ?? false, reconciled };
  });
  return { mark, nodes, swarm: pools.keys.length > 0 };
}

/** Whether nobody is waited for any more. Who was given up by an operator and has not come back never answers. */
export function isComplete({ nodes, swarm }: Restoration): boolean {
  return !swarm && nodes.every(({ reconciled, living, evicted }) => reconciled || (evicted && !living));
}

/** False if the mark was renewed meanwhile, or has gone already. */
export async function lift(store: Store, mark: Found<RestoredRecord>, by: Deadline): Promise<boolean> {
  const when = [{ key: RESTORED, version: mark.version }];
  const write = [{ remove: RESTORED }, { removeAll: RECONCILED }];
  return (await store.commit({ when, write, otherwise: [] }, by)).done;
}

export interface ResumptionOptions {
  readonly node: string;
  /** As in the key of its session. */
  readonly instance: string;
  /** How long an endpoint may take to be listed by its engine, and a living process to be back in etcd. */
  readonly waitMs: number;
}

/** What a process that can ask its engine does about the mark, look by look. */
export class Resumption {
  readonly #store: Store;
  readonly #around: Surroundings;
  readonly #options: ResumptionOptions;
  /** The mark that every look since has met. */
  #standing: { readonly token: string; readonly sinceMs: number; stamped: boolean } | undefined;

  constructor(store: Store, around: Surroundings, options: ResumptionOptions) {
    this.#store = store;
    this.#around = around;
    this.#options = options;
  }

  /**
   * Round a look, which is told whether the mark stands, and tells whether all that lives there is claimed. Has the process stamp once the mark has been met for
   * long enough, and takes the mark away when nobody else is waited for. True if it did.
   */
  async around(
    look: (marked: boolean) => Promise<{ readonly settled: boolean }>,
    by: () => Deadline,
  ): Promise<boolean> {
    const before = this.#standing;
    this.#standing = undefined;
    const [mark] = await this.#store.read([{ one: RESTORED }], by());
    const now = this.#around.millis();
    const { settled } = await look(mark !== undefined);
    if (!mark) return false;
    const { token } = mark.record;
    const standing = before?.token === token ? before : { token, sinceMs: now, stamped: false };
    this.#standing = standing;
    if (!settled || now - standing.sinceMs < this.#options.waitMs) return false;
    standing.stamped ||= await this.#stamp(mark, by());
    const restoration = standing.stamped ? await readRestoration(this.#store, by()) : undefined;
    if (restoration?.mark.version !== mark.version || !isComplete(restoration)) return false;
    return lift(this.#store, mark, by());
  }

  async #stamp(mark: Found<RestoredRecord>, by: Deadline): Promise<boolean> {
    const { node, instance } = this.#options;
    const put = { put: reconciledKey(node, instance), record: { mark: mark.record.token } };
    const when = [{ key: RESTORED, version: mark.version }];
    return (await this.#store.commit({ when, write: [put], otherwise: [], signed: true }, by)).done;
  }
}
