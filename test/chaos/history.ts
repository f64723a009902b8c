// What engines asked and were told, by the one clock of the harness, and who used which address when. Refuses to know what
// is right.

import type { Finding } from './checker.js';

export type Name = 'GetCapabilities' | 'RequestPool' | 'ReleasePool' | 'RequestAddress' | 'ReleaseAddress';

/**
 * `failed`: the driver said no, or could not be reached at all. `unknown`: it had the call, and what came of it nobody heard.
 */
export type Outcome = 'granted' | 'released' | 'answered' | 'failed' | 'unknown';

/** Times are milliseconds of `performance.now()` of the harness. */
export interface Call {
  readonly name: Name;
  readonly node: string;
  /** The join that the PoolID names by which it is asked, or which it gave. */
  readonly join?: string;
  /** `local 10.66.0.0/26` */
  readonly place?: string;
  /** The address that was named. */
  readonly address?: string;
  readonly asked: number;
  /** No grant may come after this. */
  limit: number;
  ended?: number;
  outcome?: Outcome;
  /** What a grant gave: an address or a PoolID. */
  given?: string;
  /** What a refusal said. */
  said?: string;
}

/**
 * A holder's time with an address: from the moment in which the harness had read the reply that granted it (so the commit
 * was before) to the moment before its release was asked for (so whatever frees it comes after). In between nobody else may
 * have it, whatever fails: that is what the checker's intervals mean, and why they need no agreement of clocks.
 */
export interface Use {
  /** Space and subnet. */
  readonly place: string;
  readonly address: string;
  /** The container, task, service or network. A task is called alike by the swarm's leader and its worker. */
  readonly who: string;
  readonly node: string;
  readonly join: string;
  /** A gateway or auxiliary address, which networks share. */
  readonly shared: boolean;
  /** Absent for what nobody was asked for. */
  readonly grant?: Call;
  readonly from: number;
  /** Absent while it goes on. */
  until?: number;
}

/** A record as one revision wrote it; absent: removed it. Keys are relative to the prefix. */
export interface Written {
  /** How often etcd had been set back to a backup: revisions come again then. Absent: never. */
  readonly era?: number;
  readonly revision: number;
  readonly key: string;
  readonly record?: Readonly<Record<string, unknown>>;
  /** When the harness was told, so it was written before. */
  readonly known: number;
}

/** A linearizable look at etcd's revision. What is newer was written after it was sent. */
export interface Look {
  readonly era?: number;
  readonly sent: number;
  readonly revision: number;
}

export class History {
  readonly calls: Call[] = [];
  readonly uses: Use[] = [];
  readonly writes: Written[] = [];
  readonly looks: Look[] = [];
  /** The revisions of the backups that etcd was set back to: era 0 was set back to the first. */
  readonly backups: number[] = [];
  /** What was seen to be wrong by whoever waited for it. */
  readonly wrong: Finding[] = [];
  /** A driver has ended by itself: nothing more is to be waited for. */
  over = false;
  readonly #underWay = new Set<Call>();

  get underWay(): number {
    return this.#underWay.size;
  }

  begin(call: Call): Call {
    this.calls.push(call);
    this.#underWay.add(call);
    return call;
  }

  end(call: Call, outcome: Outcome, more: Pick<Call, 'given' | 'said' | 'place' | 'join'> = {}): void {
    Object.assign(call, { ended: performance.now(), outcome, ...more });
    this.#underWay.delete(call);
  }

  use(use: Omit<Use, 'from' | 'until'>): Use {
    const begun: Use = { ...use, from: performance.now() };
    this.uses.push(begun);
    return begun;
  }

  letGo(use: Use): void {
    use.until ??= performance.now();
  }

  count(outcome: Outcome): number {
    return this.calls.reduce((sum, call) => sum + Number(call.outcome === outcome), 0);
  }
}
