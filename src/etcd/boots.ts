// etcd's room, the other boots that had a session under this node's name: which of them are another machine's for certain.
// Refuses to ask etcd anything.
import type { Seen } from './membership.js';

/**
 * What a session leaves behind is gone after its TTL, 5 min at most; each election of an etcd leader begins that anew. One
 * of another boot that is there for longer is renewed, by a machine that runs.
 */
const LONGEST_LEFTOVER = 600_000;
/** Between two looks at a name that is taken, in ms. After more, etcd may have been away, and begun all TTLs anew. */
const LONGEST_GAP = 8000;

/** Instants. */
interface Sighting {
  readonly first: number;
  readonly last: number;
}

export class OtherBoots {
  readonly #own: string;
  readonly #longestMs: number;
  readonly #seen = new Map<string, Sighting>();

  constructor(own: string, longestMs = LONGEST_LEFTOVER) {
    this.#own = own;
    this.#longestMs = longestMs;
  }

  /**
   * Boots whose session has outlived whatever a reboot leaves, with `others` as seen now. This process knows for good that
   * they are another machine, whose plugin may be away for a moment while its containers run.
   */
  renewed(others: readonly Seen[], now: number): readonly string[] {
    for (const { record } of others) {
      if (record.boot === this.#own) continue;
      const known = this.#seen.get(record.boot);
      const goesOn = known !== undefined && (this.#isRenewed(known) || now - known.last < LONGEST_GAP);
      this.#seen.set(record.boot, { first: goesOn ? known.first : now, last: now });
    }
    return [...this.#seen].filter(([, seen]) => this.#isRenewed(seen)).map(([other]) => other);
  }

  #isRenewed({ first, last }: Sighting): boolean {
    return last - first >= this.#longestMs;
  }
}
