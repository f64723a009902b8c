// The store as an operator's command has it: without a session, so that it grants nothing. Knows no command.
import type { Settings } from './config.js';
import { openClient } from './etcd/client.js';
import { readSnapshot } from './etcd/snapshot.js';
import { EtcdStore } from './etcd/store.js';
import { watchingOf } from './etcd/watching.js';
import { IpamError } from './ipam/errors.js';
import type { Snapshot } from './ipam/recorded.js';
import type { Deadline, Store } from './ipam/store.js';
import type { Watching } from './ipam/watching.js';

/** A command may list every record there is. */
const WITHIN_MS = 60_000;
/** A page of records, of an etcd and on a machine that are busy. */
const ATTEMPT_MS = 5_000;

export async function withStore<T>(
  { etcd, prefix, node }: Settings<unknown>,
  run: (store: Store, by: Deadline, snapshot: (by: Deadline) => Promise<Snapshot>, watching: Watching) => Promise<T>,
): Promise<T> {
  const client = openClient({ ...etcd, attemptMs: ATTEMPT_MS });
  const none = async (): Promise<never> => {
    throw new IpamError('internal', 'a command has no session');
  };
  const session = { proof: undefined, current: none, mismatch: none, fence: none, refusal: undefined, node };
  const store = new EtcdStore(client, session, prefix);
  try {
    const snapshot = (until: Deadline) => readSnapshot(client, prefix, until);
    return await run(store, performance.now() + WITHIN_MS, snapshot, watchingOf(client, prefix));
  } finally {
    store.close();
    client.close();
  }
}
