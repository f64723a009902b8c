// etcd's room, the leases of what goes by itself: released addresses that rest, and what is kept of those who had one. One
// serves all that this process writes within a part of that time. They end by etcd's clock, whatever becomes of this process.
import type { Deadline } from '../ipam/store.js';
import type { EtcdClient } from './client.js';
import { until } from './signal.js';

/** A lease's end removes all its keys at one revision, and etcd 3.4 stays slow after larger ones. */
const MOST_KEYS = 500;
/** Freeing an address waits no longer for a lease, and does without for a while when there is none to be had. */
const WAIT_MS = 500;
const WITHOUT_MS = 2_000;

export interface Manner {
  /** How much longer a lease lasts than what is put on it has to, which says for how long it can be put there. */
  readonly longer: number;
  /** The next one is granted before it is needed. */
  readonly ahead?: boolean;
}

export const RESTING: Manner = { longer: 1.25 };
/** Of 7 days that is half a day, so that a process which releases little has some 17 leases. */
export const KEEPING: Manner = { longer: 1.0625, ahead: true };

interface Lease {
  readonly id: string;
  readonly restMs: number;
  readonly since: number;
  /** Until when what is put on it has all of its rest. */
  readonly until: number;
  left: number;
}

export class Rests {
  readonly #client: Pick<EtcdClient, 'grant'>;
  readonly #manner: Manner;
  #lease: Lease | undefined;
  #granting: Promise<void> | undefined;
  #withoutUntil = Number.NEGATIVE_INFINITY;

  constructor(client: Pick<EtcdClient, 'grant'>, manner: Manner = RESTING) {
    this.#client = client;
    this.#manner = manner;
  }

  /** One that lasts for at least so long from now on, for so many keys; undefined if there is none to be had at once. */
  async lease(restMs: number, keys: number, by: Deadline): Promise<string | undefined> {
    const end = Math.min(by, performance.now() + WAIT_MS);
    for (;;) {
      const now = performance.now();
      const lease = this.#lease;
      if (lease && lease.restMs === restMs && now <= lease.until && lease.left >= keys) {
        lease.left -= keys;
        const used = lease.left < MOST_KEYS / 2 || now > (lease.since + lease.until) / 2;
        if (this.#manner.ahead && used && now >= this.#withoutUntil) void this.#granted(restMs);
        return lease.id;
      }
      if (now >= end || now < this.#withoutUntil) return undefined;
      await until(this.#granted(restMs), end);
    }
  }

  /** etcd would not put anything on it: it may be gone, or there is no space. */
  refused(id: string | undefined): void {
    if (this.#lease?.id === id) this.#lease = undefined;
  }

  /** One at a time, in a time of its own: it is for all that are released, and the first call may have little left. */
  #granted(restMs: number): Promise<void> {
    this.#granting ??= this.#grant(restMs, performance.now() + WAIT_MS).finally(() => {
      this.#granting = undefined;
    });
    return this.#granting;
  }

  /**
   * etcd may grant more than it is asked for: at least one and a half times what its elections take. The one that there is
   * serves on where no other is to be had.
   */
  async #grant(restMs: number, by: Deadline): Promise<void> {
    const sent = performance.now();
    const usable = () =>
      this.#lease !== undefined && this.#lease.restMs === restMs && this.#lease.until >= performance.now();
    try {
      const { id, ttl } = await this.#client.grant(Math.ceil((this.#manner.longer * restMs) / 1_000), by);
      this.#lease = { id, restMs, since: sent, until: sent + ttl * 1_000 - restMs, left: MOST_KEYS };
    } catch {
      if (!usable()) this.#lease = undefined;
      this.#withoutUntil = performance.now() + WITHOUT_MS;
    }
    if (!usable()) this.#withoutUntil = performance.now() + WITHOUT_MS;
  }
}
