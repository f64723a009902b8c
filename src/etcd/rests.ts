// etcd's room, the leases that released addresses rest on. One serves all that this process releases within a quarter of the
// time they rest, so a release rarely pays for a lease. They end by etcd's clock, whatever becomes of this process.
import type { Deadline } from '../ipam/store.js';
import type { EtcdClient } from './client.js';

/** A lease's end removes all its keys at one revision, and etcd 3.4 stays slow after larger ones. */
const MOST_KEYS = 500;
/** Freeing an address waits no longer for a lease, and does without for a while when there is none to be had. */
const WAIT_MS = 500;
const WITHOUT_MS = 2_000;

interface Lease {
  readonly id: string;
  readonly restMs: number;
  /** Until when what is put on it has all of its rest. */
  readonly until: number;
  left: number;
}

export class Rests {
  readonly #client: Pick<EtcdClient, 'grant'>;
  #lease: Lease | undefined;
  #granting: Promise<void> | undefined;
  #withoutUntil = Number.NEGATIVE_INFINITY;

  constructor(client: Pick<EtcdClient, 'grant'>) {
    this.#client = client;
  }

  /** One that lasts for at least so long from now on, for so many keys; undefined if there is none to be had at once. */
  async lease(restMs: number, keys: number, by: Deadline): Promise<string | undefined> {
    const until = Math.min(by, performance.now() + WAIT_MS);
    for (;;) {
      const now = performance.now();
      const lease = this.#lease;
      if (lease && lease.restMs === restMs && now <= lease.until && lease.left >= keys) {
        lease.left -= keys;
        return lease.id;
      }
      if (now >= until || now < this.#withoutUntil) return undefined;
      this.#granting ??= this.#grant(restMs, until).finally(() => {
        this.#granting = undefined;
      });
      await this.#granting;
    }
  }

  /** etcd would not put anything on it: it may be gone, or there is no space. */
  refused(id: string): void {
    if (this.#lease?.id === id) this.#lease = undefined;
  }

  /** etcd may grant more than it is asked for: at least one and a half times what its elections take. */
  async #grant(restMs: number, by: Deadline): Promise<void> {
    const sent = performance.now();
    try {
      const { id, ttl } = await this.#client.grant(Math.ceil((1.25 * restMs) / 1_000), by);
      this.#lease = { id, restMs, until: sent + ttl * 1_000 - restMs, left: MOST_KEYS };
    } catch {
      this.#lease = undefined;
    }
    const now = performance.now();
    if (!this.#lease || this.#lease.until < now) this.#withoutUntil = now + WITHOUT_MS;
  }
}
