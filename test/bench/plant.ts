// Pools that are full to a given part, by hand: claims of nobody, at random places, as other hosts would have left them.
import { claimKey } from '../../src/ipam/keyspace.js';
import { parseAddress } from '../../src/net/address.js';
import { type Prefix, parsePrefix, usable } from '../../src/net/prefix.js';
import { eventually } from '../support/process.js';
import type { Site } from './site.js';
import { type Subject, series } from './turns.js';

/** Keys that one transaction puts. */
const CHUNK = 100;
const AT_ONCE = 8;
const WARMING = { calls: 20_000, atOnce: 64 };
const VALUE = Buffer.from(
  JSON.stringify({ kind: 'endpoint', node: 'elsewhere', boot: 'b', join: '0', since: '', token: '0'.repeat(16) }),
);

export function placesIn(prefix: Prefix): bigint {
  const { from, to } = usable(prefix);
  return to - from + 1n;
}

/** So many claims at random places. */
export async function plant(site: Site, prefix: Prefix, count: number): Promise<void> {
  const { from } = usable(prefix);
  const values = randomPlaces(placesIn(prefix), count);
  const chunks: bigint[][] = [];
  for (let i = 0; i < count; i += CHUNK) chunks.push(values.slice(i, i + CHUNK));
  const worker = async () => {
    for (let chunk = chunks.pop(); chunk; chunk = chunks.pop()) {
      const success = chunk.map((value) => {
        return { request_put: { key: Buffer.from(`/etcd-ipam/${keyOf(prefix, from + value)}`), value: VALUE } };
      });
      await site.etcd.txn({ success }, performance.now() + 10_000);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function keyOf(prefix: Prefix, value: bigint): string {
  return claimKey({ space: 'local', prefix }, { family: prefix.family, value }).key;
}

function randomPlaces(places: bigint, count: number): bigint[] {
  if (places > 2n ** 22n) {
    const drawn = new Set<bigint>();
    const digits = places.toString(16).length;
    while (drawn.size < count)
      drawn.add(
        BigInt(`0x${Array.from({ length: digits }, () => Math.floor(Math.random() * 16).toString(16)).join('')}`) %
          places,
      );
    return [...drawn];
  }
  const all = Array.from({ length: Number(places) }, (_, i) => i);
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(Math.random() * (all.length - i));
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all.slice(0, count).map(BigInt);
}

export interface Filled extends Subject {
  /** As `after`, but behind the driver's back: it has to look for room next time. */
  unseen(): Promise<void>;
  /** The network goes, with all that was planted. */
  end(): Promise<void>;
}

/** Claims of nobody in a network that is full to that part; resolves with a subject that asks it for addresses. */
export async function filled(site: Site, pool: string, taken: number, calls: number, what: string): Promise<Filled> {
  const { PoolID } = await site.must('RequestPool', { AddressSpace: 'local', Pool: pool, SubPool: '', Options: {} });
  const prefix = parsePrefix(pool);
  await plant(site, prefix, taken);
  const given: string[] = [];
  const call = async () =>
    given.push((await site.must('RequestAddress', { PoolID, Address: '', Options: {} })).Address as string);
  // What a turn was given goes back, so that each meets the pool as full as the one before.
  const after = async (back: (address: string) => Promise<unknown>) => {
    if (new Set(given).size < given.length) throw new Error(`an address of ${pool} was given twice`);
    for (const address of given.splice(0)) await back(address.split('/')[0]!);
  };
  const release = (Address: string) => site.must('ReleaseAddress', { PoolID, Address });
  return {
    ...{ what, inFlight: 1, calls, call },
    after: () => after(release),
    unseen: () => after((address) => removed(site, prefix, address)),
    end: async () => {
      await site.must('ReleasePool', { PoolID });
      // What takes longer than a call goes on behind it, and would be measured with what comes next.
      const claims = keyOf(prefix, 0n).replace(/[^/]+$/, '');
      await eventually(`${pool} is empty`, async () => (await site.look.count(claims)) === 0, 120_000);
    },
  };
}

/**
 * What is measured is a driver that has been in use: until V8 has compiled what they run as well as it can, calls take up to twice
 * as long, whatever they ask for.
 */
export async function warmed(site: Site, once: boolean): Promise<void> {
  const pool = await filled(site, '10.65.0.0/16', 0, 0, 'warm');
  await series(once ? 2 : WARMING.calls, WARMING.atOnce, [], pool.call);
  await pool.end();
}

async function removed(site: Site, prefix: Prefix, address: string): Promise<void> {
  const key = Buffer.from(`/etcd-ipam/${keyOf(prefix, parseAddress(address).value)}`);
  await site.etcd.txn({ success: [{ request_delete_range: { key } }] }, performance.now() + 10_000);
}
