// The double's records as an inspection reads them, and every revision of it inspected. Knows which states a driver that
// works passes through between two of its transactions.
import { inspect } from '../../src/ipam/inspection.js';
import { placed, type Snapshot } from '../../src/ipam/recorded.js';
import type { MemoryStore } from './memory-store.js';

/** The double has no leases: what should hang on one does. */
export function snapshotOf(store: MemoryStore): Snapshot {
  const entries = store.entries().map((entry) => ({ ...entry, leased: isPassing(entry) }));
  return { revision: store.seen(), entries };
}

function isPassing({ key, text }: { readonly key: string; readonly text: string }): boolean {
  return /^(sessions\/|history\/|tick$)/.test(key) || (key.startsWith('claims/') && text.includes('"kind":"cooling"'));
}

/** A join ends, then what it held; a pool loses its last two joins at once; a pool is emptied, then removed. */
const IN_PASSING: readonly string[] = [
  ...['claim-of-ended-join', 'holder-of-ended-join', 'pool-without-join', 'pool-closing'],
];

export class Inspected {
  /** How often each kind was met in passing. */
  readonly met = new Map<string, number>();
  readonly #store: MemoryStore;

  /** From now on every revision is inspected before it is written over; what is not known to be in passing throws. */
  constructor(store: MemoryStore) {
    this.#store = store;
    store.before = () => this.#meet();
  }

  /** Nobody is at work: nothing may be found. */
  atRest(): void {
    this.#tell((kind) => !kind);
  }

  #meet(): void {
    this.#tell((kind) => {
      this.met.set(kind, (this.met.get(kind) ?? 0) + 1);
      return IN_PASSING.includes(kind);
    });
  }

  #tell(allowed: (kind: string) => boolean): void {
    const wrong = inspect(placed(snapshotOf(this.#store))).filter(({ kind }) => !allowed(kind));
    if (wrong.length === 0) return;
    const lines = wrong.map(({ kind, text }) => `${kind}: ${text}`);
    throw new Error(`${lines.join('\n')}\n${JSON.stringify(this.#store.keyspace(), undefined, 1)}`);
  }
}
