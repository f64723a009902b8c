// Where the suites of the store port keep their records: the in-memory double or a real etcd, behind one face. Refuses
// to know what is tested.
import { type EtcdClient, openClient } from '../../src/etcd/client.js';
import { SessionKeeper } from '../../src/etcd/session.js';
import { EtcdStore } from '../../src/etcd/store.js';
import { IpamError } from '../../src/ipam/errors.js';
import type { Answers, Change, Deadline, Outcome, Query, Store, Version } from '../../src/ipam/store.js';
import { type EtcdFixture, startEtcd } from './etcd.js';
import { MemoryStore, type Snapshot } from './memory-store.js';

/** The store as one process sees it, with that process's session. */
export interface Seat {
  readonly store: Store;
  /** The session ends, and no other one takes its place. */
  loseSession(): Promise<void>;
}

export interface Backend {
  readonly name: string;
  /** A new process on the node. The processes of an earlier boot must have been closed. */
  open(node: string, boot: string): Promise<Seat>;
  /** Every record but those of nodes and sessions, which are the session keeper's, and the key that paces rounds. */
  records(): Promise<Record<string, unknown>>;
  /** Those of nodes. */
  nodes(): Promise<Record<string, unknown>>;
  /** Writes behind everybody's back; text is written as it is, undefined removes. */
  plant(key: string, record: unknown): Promise<void>;
  /** Removes all records. The seats opened so far end. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

export class MemoryBackend implements Backend {
  readonly name = 'the double';
  #memory = new MemoryStore();
  #instances = 0;
  readonly #seats: MemorySeat[] = [];

  snapshot(): Snapshot {
    return this.#memory.snapshot();
  }

  /** Back to the snapshot; processes that live have sessions again. */
  restore(snapshot: Snapshot): void {
    this.#memory.restore(snapshot);
    for (const seat of this.#seats) seat.again();
  }

  async open(node: string, boot: string): Promise<Seat> {
    this.#memory.plant(`nodes/${node}`, { machine: `m-${node}`, boot, silence: 0, since: 'then' });
    const seat = new MemorySeat(this.#memory, `sessions/${node}/i${++this.#instances}`);
    this.#seats.push(seat);
    return seat;
  }

  async nodes(): Promise<Record<string, unknown>> {
    return only(/^nodes\//, this.#memory.keyspace());
  }

  async records(): Promise<Record<string, unknown>> {
    return withoutNodes(this.#memory.keyspace());
  }

  async plant(key: string, record: unknown): Promise<void> {
    this.#memory.plant(key, record);
  }

  async clear(): Promise<void> {
    this.#memory = new MemoryStore();
    this.#seats.length = 0;
  }

  async close(): Promise<void> {}
}

/** Knows only the revisions that its own answers carried, as a process does. Its session key is there while it is alive. */
class MemorySeat implements Seat, Store {
  readonly store = this;
  readonly #memory: MemoryStore;
  readonly #session: string;
  #seen = 0n;
  #lives = true;

  constructor(memory: MemoryStore, session: string) {
    this.#memory = memory;
    this.#session = session;
    memory.plant(session, { token: session });
  }

  async loseSession(): Promise<void> {
    this.#lives = false;
    this.#memory.plant(this.#session, undefined);
  }

  again(): void {
    if (this.#lives) this.#memory.plant(this.#session, { token: this.#session });
  }

  seen(): Version | undefined {
    return this.#seen === 0n ? undefined : String(this.#seen);
  }

  async read<const Q extends readonly Query[]>(queries: Q, by: Deadline): Promise<Answers<Q>> {
    const answers = this.#memory.read(queries, by);
    this.#saw();
    return answers;
  }

  async commit<const Q extends readonly Query[]>(change: Change<Q>, by: Deadline): Promise<Outcome<Q>> {
    const signed = change.witness || change.signed;
    if (signed && !this.#memory.has(this.#session)) throw new IpamError('unavailable', 'the session has ended');
    const outcome = await this.#memory.commit(change, by);
    this.#saw();
    return outcome;
  }

  #saw(): void {
    const seen = BigInt(this.#memory.seen());
    if (seen > this.#seen) this.#seen = seen;
  }
}

export class EtcdBackend implements Backend {
  readonly name: string;
  readonly etcd: EtcdFixture;
  readonly #direct: EtcdClient;
  readonly #prefix = '/etcd-ipam/';
  #endings: (() => Promise<unknown>)[] = [];
  #instances = 0;

  private constructor(etcd: EtcdFixture) {
    this.name = 'etcd';
    this.etcd = etcd;
    this.#direct = openClient({ endpoints: [etcd.url] });
  }

  static async start(): Promise<EtcdBackend> {
    return new EtcdBackend(await startEtcd());
  }

  async open(node: string, boot: string): Promise<Seat> {
    const client = openClient({ endpoints: [this.etcd.url] });
    const session = new SessionKeeper(client, {
      ...{ prefix: this.#prefix, node, instance: `i${++this.#instances}`, machine: `m-${node}`, boot, ttl: 30 },
      report: () => undefined,
    });
    const store = new EtcdStore(client, session, this.#prefix);
    const loseSession = () => session.stop(performance.now() + 2_000);
    this.#endings.push(async () => {
      store.close();
      await loseSession();
      client.close();
    });
    session.start();
    await session.current(performance.now() + 5_000);
    return { store, loseSession };
  }

  async records(): Promise<Record<string, unknown>> {
    return withoutNodes(await this.#everything());
  }

  async nodes(): Promise<Record<string, unknown>> {
    return only(/^nodes\//, await this.#everything());
  }

  async #everything(): Promise<Record<string, unknown>> {
    const reply = await this.#direct.read({ success: [{ request_range: this.#all() }] }, performance.now() + 5_000);
    const found = reply.responses[0]!.response_range.kvs.map((kv): [string, unknown] => [
      kv.key.toString().slice(this.#prefix.length),
      parsed(kv.value.toString()),
    ]);
    return Object.fromEntries(found);
  }

  async plant(key: string, record: unknown): Promise<void> {
    const at = { key: Buffer.from(this.#prefix + key) };
    const value = Buffer.from(typeof record === 'string' ? record : JSON.stringify(record ?? null));
    const write = record === undefined ? { request_delete_range: at } : { request_put: { ...at, value } };
    await this.#direct.txn({ success: [write] }, performance.now() + 5_000);
  }

  async clear(): Promise<void> {
    for (const end of this.#endings.splice(0)) await end();
    await this.#direct.txn({ success: [{ request_delete_range: this.#all() }] }, performance.now() + 5_000);
  }

  async close(): Promise<void> {
    await this.clear();
    this.#direct.close();
    await this.etcd.stop();
  }

  #all() {
    return { key: Buffer.from(this.#prefix), range_end: Buffer.from(`${this.#prefix.slice(0, -1)}0`) };
  }
}

function withoutNodes(all: Record<string, unknown>): Record<string, unknown> {
  return only(/^(?!nodes\/|sessions\/|tick$)/, all);
}

function only(pattern: RegExp, all: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(all).filter(([key]) => pattern.test(key)));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
