// etcd's room, the pace of rounds: the key `tick` on a lease of its own. Refuses to know what a round is for.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deadline, Version } from '../ipam/store.js';
import type { EtcdClient } from './client.js';
import { json, kvsOf } from './membership.js';

export interface TickSettings {
  /** IPAM_PREFIX, with its slash at the end. */
  readonly prefix: string;
  /** For operators' eyes only. */
  readonly node: string;
  /** No round begins within this time of the one before. etcd's leases last 2 s at least. */
  readonly roundMs: number;
  /** Whether this process has a session; it begins no round without. */
  readonly alive: () => boolean;
  /** What a round does, given the version of the key that it compares. */
  readonly round: (tick: Version, by: Deadline) => Promise<void>;
  readonly report: (error: unknown) => void;
}

/** All processes look so often, each at its own time: the first one to see that a round is over begins the next. */
const LOOKS = 4;
const ATTEMPT = 3_000;

export class Ticks {
  readonly #client: EtcdClient;
  readonly #settings: TickSettings;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(client: EtcdClient, settings: TickSettings) {
    this.#client = client;
    this.#settings = settings;
  }

  /** Goes on in the background and never throws. */
  start(): void {
    this.#running ??= this.#go();
  }

  /** A round under way ends by itself, as soon as it needs the session or the client that end with it. */
  stop(): void {
    this.#stopping.abort();
  }

  /**
   * The version of the key if this call began a round, undefined if one is under way. A call whose answer is lost may
   * have begun one that nobody runs: then it counts nothing.
   */
  async begin(by: Deadline): Promise<Version | undefined> {
    const { prefix, node, roundMs } = this.#settings;
    const key = Buffer.from(`${prefix}tick`);
    const look = await this.#client.read({ success: [{ request_range: { key } }] }, by);
    if (kvsOf(look, 0).length > 0) return undefined;
    const lease = await this.#client.grant(Math.ceil(roundMs / 1_000), by);
    const value = json({ node, since: new Date().toISOString() });
    const outcome = await this.#client.txn(
      {
        compare: [{ key, target: 'Create', result: 'Equal', create_revision: '0' }],
        success: [{ request_put: { key, value, lease: lease.id } }],
      },
      by,
    );
    if (outcome.succeeded) return this.#client.history.version(outcome.header.revision);
    await this.#client.revoke(lease.id, by);
    return undefined;
  }

  async #go(): Promise<void> {
    const { roundMs, alive, round, report } = this.#settings;
    const pause = roundMs / LOOKS;
    while (!this.#stopping.signal.aborted) {
      try {
        const now = performance.now();
        const tick = alive() ? await this.begin(now + ATTEMPT) : undefined;
        if (tick !== undefined) await round(tick, now + roundMs);
      } catch (error) {
        report(error);
      }
      await sleep(pause * (0.75 + Math.random() / 2), undefined, { signal: this.#stopping.signal, ref: false }).catch(
        () => undefined,
      );
    }
  }
}
