// The double's log, as etcd's watch would tell it. Refuses to know what it means.
import type { MemoryStore } from '../support/memory-store.js';
import type { Written } from './history.js';

/** Appends what has changed since the last time, as of `known`. */
export function noted(store: MemoryStore, writes: Written[], known = 0): void {
  const [revision, now] = [Number(store.seen()), store.keyspace()];
  const before = new Map<string, string | undefined>();
  for (const { key, record } of writes) before.set(key, JSON.stringify(record));
  for (const key of new Set([...before.keys(), ...Object.keys(now)])) {
    const record = now[key] as Written['record'];
    if (before.get(key) !== JSON.stringify(record)) writes.push({ revision, key, ...(record && { record }), known });
  }
}
