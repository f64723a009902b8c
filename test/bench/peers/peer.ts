// What the layouts of other allocators have in common here: a /16 by numbers, an etcd, and who holds what.
import { type EtcdClient, openClient } from '../../../src/etcd/client.js';

export const PLACES = 65_534;

export interface Peer {
  readonly name: string;
  /** As many hosts would have left it. Places are 1 to PLACES. */
  fill(etcd: EtcdClient, taken: readonly number[]): Promise<void>;
  /** One address for this host. */
  allocate(etcd: EtcdClient): Promise<number>;
}

/** As patient as reading all of a pool takes. */
export function patient(url: string): EtcdClient {
  return openClient({ endpoints: [url], attemptMs: 20_000 });
}

export const soon = () => performance.now() + 20_000;

export const OWNER = { id: '8f3c5a7e11d0', host: 'h017' };

/** `/peer/010.066.000.005` */
export function keyOf(root: string, place: number): Buffer {
  return Buffer.from(`${root}/010.066.${String(place >> 8).padStart(3, '0')}.${String(place & 255).padStart(3, '0')}`);
}

export function placeOf(key: Buffer): number {
  const [third, fourth] = key.toString().split('.').slice(-2).map(Number) as [number, number];
  return third * 256 + fourth;
}

/** Puts the key if it is absent. */
export async function create(etcd: EtcdClient, key: Buffer): Promise<boolean> {
  const value = Buffer.from(JSON.stringify(OWNER));
  const absent = { key, target: 'Create' as const, result: 'Equal' as const, create_revision: '0' };
  return (await etcd.txn({ compare: [absent], success: [{ request_put: { key, value } }] }, soon())).succeeded;
}

/** One key an address. */
export async function fillKeys(etcd: EtcdClient, root: string, taken: readonly number[]): Promise<void> {
  const value = Buffer.from(JSON.stringify(OWNER));
  for (let i = 0; i < taken.length; i += 100) {
    const success = taken.slice(i, i + 100).map((place) => ({ request_put: { key: keyOf(root, place), value } }));
    await etcd.txn({ success }, soon());
  }
}

/** Reads one key as JSON, and puts what becomes of it if nobody was quicker. */
export async function rewrite<T>(
  etcd: EtcdClient,
  key: Buffer,
  change: (json: T | undefined) => { json: T; place: number } | undefined,
): Promise<number | undefined> {
  for (;;) {
    const read = await etcd.read({ success: [{ request_range: { key } }] }, soon());
    const found = read.responses[0]!.response_range.kvs[0];
    const changed = change(found && (JSON.parse(found.value.toString()) as T));
    if (!changed) return undefined;
    const same = { key, target: 'Mod' as const, result: 'Equal' as const, mod_revision: found?.mod_revision ?? '0' };
    const value = Buffer.from(JSON.stringify(changed.json));
    const { succeeded } = await etcd.txn({ compare: [same], success: [{ request_put: { key, value } }] }, soon());
    if (succeeded) return changed.place;
  }
}
