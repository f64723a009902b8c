// Sees in a running driver whether etcd was restored from a backup, says so in the log, and has forgotten what was remembered
// of the etcd before. Refuses nothing itself: every grant compares the mark.
import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionKeeper } from './etcd/session.js';
import type { Allocator } from './ipam/allocator.js';
import { RESTORED } from './ipam/keyspace.js';
import type { RestoredRecord } from './ipam/records.js';
import { restoredError } from './ipam/restoration.js';
import type { Store } from './ipam/store.js';
import type { Log } from './log.js';

/** Also how long an idle process may take to notice: each look is answered by etcd as it is. */
const LOOK_MS = 5_000;

export interface Watched {
  readonly store: Store;
  readonly session: Pick<SessionKeeper, 'current' | 'mismatch'>;
  readonly allocator: Pick<Allocator, 'beginAnew'>;
  readonly log: Log;
  /** The engine is to be looked at. */
  readonly look: () => void;
}

export interface MarkWatch {
  /** Why no address is given while the mark stands, as of the latest look. */
  problem(): string | undefined;
  stop(): void;
}

/** Goes on in the background until it is stopped. */
export function watchMark({ store, session, allocator, log, look }: Watched): MarkWatch {
  const stopping = new AbortController();
  let known: RestoredRecord | undefined;
  const met = async (mark: RestoredRecord) => {
    // Another process that notices renews it.
    if (known === undefined) log.warn(restoredError(mark).message);
    known = mark;
    allocator.beginAnew();
    look();
    // A process that had noticed nothing may have lost its session all the same, and is to be back soon.
    const by = performance.now() + LOOK_MS;
    const { version } = await session.current(by);
    await session.mismatch(version, by);
  };
  const watch = async () => {
    while (!stopping.signal.aborted) {
      try {
        const [mark] = await store.read([{ one: RESTORED }], performance.now() + LOOK_MS);
        if (mark && mark.record.token !== known?.token) await met(mark.record);
        if (!mark && known !== undefined) log.info('etcd counts as complete again: addresses are given');
        if (!mark) known = undefined;
      } catch {
        // That etcd or the session is away others say.
      }
      await sleep(LOOK_MS * (0.75 + Math.random() / 2), undefined, { signal: stopping.signal, ref: false }).catch(
        () => undefined,
      );
    }
  };
  void watch();
  return { problem: () => known && restoredError(known).message, stop: () => stopping.abort() };
}
