// etcd's room, watching: all that changes under the prefix, every revision once and in order, across streams that break,
// members that freeze and revisions that are compacted. Refuses to know what any of it means.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Changed, Revised, Watching, WatchOptions } from '../ipam/watching.js';
import type { EtcdClient, WatchResponse } from './client.js';
import { EtcdFault, faultOf, ipamErrorOf } from './fault.js';

/** For etcd to say that a watch stands. */
const STANDS_MS = 10_000;
const READ_MS = 5_000;
const PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;
/** Revisions that may wait for whoever reads them; the stream is not read on meanwhile. */
const MOST_WAITING = 64;

type Events = WatchResponse['events'];

/** Of a watch that ended, and can be begun anew behind it. */
class Compacted extends Error {
  override readonly name = 'Compacted';
}

/** `prefix`: IPAM_PREFIX with its slash at the end. */
export function watchingOf(client: EtcdClient, prefix: string): Watching {
  return (options) => new Watch(client, prefix, options).revisions();
}

class Watch {
  readonly #client: EtcdClient;
  readonly #prefix: string;
  readonly #options: WatchOptions;
  /** The first revision that has not been told, and the history that it is of. */
  #next = 0n;
  #history: number;
  #told = false;
  #pause = PAUSE_MS;
  /** The parts of a reply that was too large for one message. */
  #parts: Events = [];
  readonly #waiting: Revised[] = [];
  #wake = () => {};
  #taken = () => {};

  constructor(client: EtcdClient, prefix: string, options: WatchOptions) {
    this.#client = client;
    this.#prefix = prefix;
    this.#options = options;
    this.#history = client.history.number;
    const after = options.after === undefined ? undefined : client.history.revision(options.after);
    if (after !== undefined) this.#next = BigInt(after) + 1n;
    else if (options.after !== undefined) this.#history = -1;
  }

  async *revisions(): AsyncGenerator<Revised, void, undefined> {
    const over = new AbortController();
    const signal = AbortSignal.any([this.#options.signal, over.signal]);
    let failed: { readonly error: unknown } | undefined;
    let ended = false;
    const watched = this.#watch(signal)
      .catch((error: unknown) => {
        failed = { error };
      })
      .finally(() => {
        ended = true;
        this.#wake();
      });
    try {
      while (!this.#options.signal.aborted) {
        const one = this.#waiting.shift();
        if (one) {
          this.#taken();
          yield one;
        } else if (failed) throw failed.error;
        else if (ended) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      over.abort();
      this.#taken();
      await watched;
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let problem: string;
      try {
        await this.#begin();
        await this.#stream(signal);
        problem = 'the stream ended';
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Compacted) {
          await this.#missed('what happened was compacted before it was read', signal);
          continue;
        }
        if (error instanceof EtcdFault && error.traits.denied) throw ipamErrorOf(error, this.#client.describe());
        problem = (error as Error).message;
      }
      if (signal.aborted) return;
      this.#options.report?.(problem);
      await sleep(this.#pause * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined);
      this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS);
    }
  }

  /** A linearizable look says whether the etcd that is there is the one that was: a watch itself would wait in silence. */
  async #begin(): Promise<void> {
    const now = await this.#now();
    if (this.#told && this.#history === this.#client.history.number) return;
    const anew = this.#history !== this.#client.history.number;
    this.#history = this.#client.history.number;
    if (anew || this.#next === 0n) this.#next = now + 1n;
    const version = this.#version(this.#next - 1n);
    this.#push(anew ? { version, missed: 'etcd was set back to a backup' } : { version, changed: [] });
    this.#told = true;
  }

  async #missed(missed: string, signal: AbortSignal): Promise<void> {
    try {
      this.#next = (await this.#now()) + 1n;
      this.#push({ version: this.#version(this.#next - 1n), missed });
    } catch (error) {
      this.#options.report?.((error as Error).message);
      await sleep(this.#pause, undefined, { signal }).catch(() => undefined);
    }
  }

  async #now(): Promise<bigint> {
    const look = { request_range: { key: Buffer.from(this.#prefix), keys_only: true } };
    const { header } = await this.#client.read({ success: [look] }, performance.now() + READ_MS);
    return BigInt(header.revision);
  }

  async #stream(signal: AbortSignal): Promise<void> {
    const stands = new AbortController();
    const timer = setTimeout(() => stands.abort(), STANDS_MS);
    this.#parts = [];
    try {
      await this.#client.watch(
        {
          key: Buffer.from(this.#prefix),
          range_end: Buffer.from(`${this.#prefix.slice(0, -1)}0`),
          start_revision: String(this.#next),
          prev_kv: true,
          progress_notify: true,
          fragment: true,
        },
        async (reply) => {
          clearTimeout(timer);
          this.#read(reply);
          while (this.#waiting.length >= MOST_WAITING && !signal.aborted)
            await new Promise<void>((resolve) => (this.#taken = resolve));
        },
        AbortSignal.any([signal, stands.signal]),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  #read(reply: WatchResponse): void {
    if (reply.canceled) {
      if (BigInt(reply.compact_revision) > 0n) throw new Compacted();
      const details = reply.cancel_reason || 'the watch was cancelled';
      throw faultOf({ code: 2, details }, this.#client.describe(), 0);
    }
    this.#pause = PAUSE_MS;
    if (reply.created) {
      this.#options.report?.(undefined);
      return;
    }
    this.#parts.push(...reply.events);
    if (reply.fragment) return;
    const events = this.#parts;
    this.#parts = [];
    // One without events, and of this watch, says that there are none up to its revision.
    if (events.length === 0) {
      const at = BigInt(reply.header.revision) + 1n;
      if (reply.watch_id !== '-1' && at > this.#next) this.#next = at;
      return;
    }
    for (const [revision, changed] of this.#byRevision(events)) {
      if (revision < this.#next) continue;
      this.#push({ version: this.#version(revision), changed });
      this.#next = revision + 1n;
    }
  }

  #byRevision(events: Events): Map<bigint, Changed[]> {
    const revisions = new Map<bigint, Changed[]>();
    for (const { type, kv, prev_kv: before } of events) {
      const revision = BigInt(kv.mod_revision);
      const changed = revisions.get(revision) ?? [];
      revisions.set(revision, changed);
      changed.push({
        key: kv.key.toString().slice(this.#prefix.length),
        ...(type !== 'Delete' && { text: kv.value.toString() }),
        ...(before && before.mod_revision !== '0' && { before: before.value.toString() }),
      });
    }
    return revisions;
  }

  #version(revision: bigint): string {
    return this.#client.history.version(String(revision));
  }

  #push(revised: Revised): void {
    this.#waiting.push(revised);
    this.#wake();
  }
}
