// etcd's room, one history: whether the etcd that answers is the one that answered before, or was set back to a backup.
// Counts revisions so that none is ever met twice. Refuses to know what a record is.

import type { Version } from '../ipam/store.js';

/** Of a reply to a linearizable transaction, as etcd sends it. */
export interface Header {
  readonly cluster_id: string;
  readonly revision: string;
}

/** What was known when a transaction was sent. */
export interface Known {
  readonly history: number;
  readonly highest: bigint;
}

/** "revision 1000 fell to 901", for people. */
export interface Break {
  readonly what: string;
}

/** Larger than any revision. */
const STRIDE = 1n << 64n;

export class History {
  #known: Known = { history: 0, highest: 0n };
  #cluster: string | undefined;
  /** The revision of the answer by which the present history was met. */
  #met = 0n;
  readonly #listeners: ((seen: Break) => void)[] = [];

  /** Which history it is for this process; others may count otherwise. */
  get number(): number {
    return this.#known.history;
  }

  /** To be taken before a transaction is sent, and handed over with its answer. */
  get known(): Known {
    return this.#known;
  }

  onBreak(listener: (seen: Break) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Answers arrive in any order, so only one that is below what was known when its question was *sent* is from another
   * history, or one of another cluster. What was `written` is above all that was known then: being as high is too low.
   */
  answered({ cluster_id, revision }: Header, sent: Known, written: boolean): void {
    // Asked of the history before: of that, or of this one, nobody knows.
    if (sent.history !== this.#known.history) return;
    const at = BigInt(revision);
    const cluster = this.#cluster ?? cluster_id;
    this.#cluster = cluster_id;
    if (cluster !== cluster_id)
      this.#break(at, `cluster ${hexadecimal(cluster)} is cluster ${hexadecimal(cluster_id)} now, at revision ${at}`);
    else if (at < sent.highest || (written && at === sent.highest))
      this.#break(at, `revision ${this.#known.highest} fell to ${at}`);
    else if (at > this.#known.highest) this.#known = { history: this.number, highest: at };
  }

  /** Undefined before the first answer. */
  seen(): Version | undefined {
    return this.#known.highest === 0n ? undefined : this.version(String(this.#known.highest));
  }

  /**
   * The name of a mod_revision, as which it can be remembered: the revision itself in the first history. In a later one no
   * version equals one of those before, since their revisions come again with other contents. What was there when it was
   * met is older than all that was known before, so that a release that waits may free it; what came after is newer.
   */
  version(revision: string): Version {
    if (this.number === 0) return revision;
    const at = BigInt(revision);
    const base = STRIDE * BigInt(this.number);
    return String(at > this.#met ? base + at : at - base);
  }

  /** The mod_revision that the version stands for; undefined if it is of another history. */
  revision(version: Version): string | undefined {
    if (this.number === 0) return version;
    const named = BigInt(version);
    const base = STRIDE * BigInt(this.number);
    const at = named < 0n ? named + base : named - base;
    return at >= 0n && at < STRIDE && this.version(String(at)) === version ? String(at) : undefined;
  }

  #break(at: bigint, what: string): void {
    this.#known = { history: this.number + 1, highest: at };
    this.#met = at;
    for (const listener of this.#listeners) listener({ what });
  }
}

/** As etcd's own log and `endpoint status` have it. */
function hexadecimal(id: string): string {
  return BigInt(id).toString(16);
}
