// The store as an operator's command has it: without a session, so that it grants nothing. Knows no command.
import type { Settings } from './config.js';
import { openClient } from './etcd/client.js';
import { EtcdStore } from './etcd/store.js';
import { IpamError } from './ipam/errors.js';
import type { Deadline, Store } from './ipam/store.js';

/** A command may list every record there is. */
const WITHIN_MS = 60_000;

export async function withStore<T>(
  { etcd, prefix, node }: Settings<unknown>,
  run: (store: Store, by: Deadline) => Promise<T>,
): Promise<T> {
  const client = openClient(etcd);
  const none = async (): Promise<never> => {
    throw new IpamError('internal', 'a command has no session');
  };
  try {
    const store = new EtcdStore(
      client,
      { current: none, mismatch: none, fence: none, refusal: undefined, node },
      prefix,
    );
    return await run(store, performance.now() + WITHIN_MS);
  } finally {
    client.close();
  }
}
