// Whether what is told of former holders is what the records themselves went through: every revision of the double is looked
// at by code that shares nothing with src. Knows the layout of keys.
import type { MemoryStore } from './memory-store.js';

interface Stands {
  readonly place: string;
  readonly record: Readonly<Record<string, unknown>>;
}

export class Pasts {
  /** Tenures that ended, by how. */
  readonly ended = new Map<string, number>();
  readonly #store: MemoryStore;
  #standing: ReadonlyMap<string, Stands>;

  /** From now on every revision is looked at before the next one is written. */
  constructor(store: MemoryStore) {
    this.#store = store;
    this.#standing = standing(store.keyspace());
    const before = store.before;
    store.before = async (change) => {
      await before(change);
      this.look();
    };
  }

  look(): void {
    const all = this.#store.keyspace();
    const now = standing(all);
    for (const key of now.keys()) if (key in all) this.#wrong(`${key} is told of, and has not ended`);
    for (const [key, { place, record }] of this.#standing) {
      if (now.has(key)) continue;
      const told = all[key] as Record<string, unknown> | undefined;
      // What came in between the look at a pool and its end went with it.
      if (!told && !(`pools/${place}` in all)) continue;
      if (!told) this.#wrong(`${key} has ended, and nothing tells of it`);
      for (const field of ['node', 'name', 'mac', 'since', 'role'])
        if (told![field] !== record[field]) this.#wrong(`${key} tells of another ${field}`);
      const how = String(told!.how);
      this.ended.set(how, (this.ended.get(how) ?? 0) + 1);
    }
    this.#standing = now;
  }

  #wrong(what: string): never {
    throw new Error(`${what}\n${JSON.stringify(this.#store.keyspace(), undefined, 1)}`);
  }
}

/** By the key under which it will be told of. */
function standing(all: Readonly<Record<string, unknown>>): Map<string, Stands> {
  const found = new Map<string, Stands>();
  for (const [key, value] of Object.entries(all)) {
    const [room, space, family, pool, address] = key.split('/');
    const record = value as Stands['record'];
    if (room !== 'claims' && room !== 'holders') continue;
    if (record.kind === 'cooling' || record.kind === 'shared') continue;
    const name = `history/${space}/${family}/${address}/${record.since}-${record.token}`;
    found.set(name, { place: `${space}/${family}/${pool}`, record });
  }
  return found;
}
