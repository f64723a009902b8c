// Breadth-first search through all that can happen in a small model, and the key-value store such models write to. Knows no
// rule of ours.

/** What is wrong in a state or with a step. */
export class Wrong extends Error {}

/** Tells in a line what it did, or does nothing and returns undefined where it cannot happen. */
export type Step<S> = (state: S) => string | undefined;

export interface Model<S> {
  readonly start: S;
  readonly steps: readonly Step<S>[];
  /** Throws {@link Wrong}. */
  readonly check: (state: S) => void;
}

/** `trace`: the shortest way to what is wrong, if anything is. */
export interface Explored {
  readonly states: number;
  readonly trace?: readonly string[];
}

/** Names are `#1`, `#2` …: joins, tokens, versions. Only whether two are equal matters. */
export type Name = string;
export type Entry = { readonly v: Name };
export interface Store {
  /** How many names there are. */
  last: number;
  kv: Record<string, Entry>;
}

/** `when`: versions, null for absent. `put`: null removes. */
export interface Txn {
  readonly when: Readonly<Record<string, Name | null>>;
  readonly put: Readonly<Record<string, object | null>>;
}

export function fresh(store: Store): Name {
  store.last++;
  return `#${store.last}`;
}

export function holds({ kv }: Store, { when }: Txn): boolean {
  return Object.entries(when).every(([key, version]) => (kv[key]?.v ?? null) === version);
}

export function commit(store: Store, txn: Txn): boolean {
  if (!holds(store, txn)) return false;
  const v = fresh(store);
  for (const [key, record] of Object.entries(txn.put)) {
    if (record) store.kv[key] = { ...record, v };
    else delete store.kv[key];
  }
  return true;
}

export function explore<S extends Store>({ start, steps, check }: Model<S>, most = 400_000): Explored {
  const from = new Map<string, { before: string; line: string } | undefined>();
  const trace = (end: string, ...lines: string[]): string[] => {
    for (let at = from.get(end); at; at = from.get(at.before)) lines.unshift(at.line);
    return lines.map((line, i) => `${i + 1}. ${line}`);
  };
  const first = canonical(start);
  from.set(first, undefined);
  for (const text of from.keys()) {
    let state = JSON.parse(text) as S;
    for (const step of steps) {
      let at = text;
      try {
        const line = step(state);
        if (line === undefined) continue;
        const next = canonical(state);
        if (!from.has(next)) {
          from.set(next, { before: text, line });
          at = next;
          check(state);
        }
      } catch (error) {
        if (error instanceof Wrong) return { states: from.size, trace: trace(at, `wrong: ${error.message}`) };
        throw error;
      }
      state = JSON.parse(text) as S;
    }
    if (from.size > most) throw new Error(`more than ${most} states`);
  }
  return { states: from.size };
}

/** States that differ by names alone are one. */
function canonical<S extends Store>(state: S): string {
  const plain = (key: string) => key.replace(/#\d+/g, '#');
  const sorted = Object.entries(state.kv).sort(([a], [b]) => (plain(a) < plain(b) ? -1 : plain(a) > plain(b) ? 1 : 0));
  const names = new Map<string, string>();
  const text = JSON.stringify({ ...state, last: 0, kv: Object.fromEntries(sorted) }).replace(/#\d+/g, (name) => {
    if (!names.has(name)) names.set(name, `#${names.size + 1}`);
    return names.get(name)!;
  });
  return text.replace('"last":0', `"last":${names.size}`);
}
