// etcd's room, everything under the prefix as it was at one revision: read in pages, without a lock. Refuses to know what
// any of it means.
import { IpamError } from '../ipam/errors.js';
import type { Entry, Snapshot } from '../ipam/recorded.js';
import type { Deadline } from '../ipam/store.js';
import { isTenure } from '../ipam/tenures.js';
import type { EtcdClient, KeyValue } from './client.js';
import { EtcdFault, ipamErrorOf } from './fault.js';

const PAGE = 2_000;
/** For one page: who has not had it by then has no etcd. */
const PAGE_MS = 10_000;
/** Each compaction of etcd's can cut one attempt short; they come minutes apart. */
const MOST_ATTEMPTS = 5;

/** Begins anew where the revision was compacted meanwhile. Throws as a store's read does. */
export async function readSnapshot(client: EtcdClient, prefix: string, by: Deadline, page = PAGE): Promise<Snapshot> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readOnce(client, prefix, by, page);
    } catch (error) {
      if (!(error instanceof EtcdFault)) throw error;
      if (!error.traits.compacted) throw ipamErrorOf(error, client.describe());
      if (attempt < MOST_ATTEMPTS) continue;
      const often = `etcd was compacted ${MOST_ATTEMPTS} times while everything under ${prefix} was read; try again`;
      throw new IpamError('contended', often, { cause: error });
    }
  }
}

/** The first page says of which revision the others are to be. */
async function readOnce(client: EtcdClient, prefix: string, by: Deadline, limit: number): Promise<Snapshot> {
  const end = Buffer.from(`${prefix.slice(0, -1)}0`);
  const entries: Entry[] = [];
  let key: Buffer = Buffer.from(prefix);
  let revision: string | undefined;
  for (;;) {
    const range = { key, range_end: end, limit, ...(revision !== undefined && { revision }) };
    const within = Math.min(by, performance.now() + PAGE_MS);
    const reply = await client.read({ success: [{ request_range: range }] }, within, true);
    revision ??= reply.header.revision;
    const { kvs, more } = reply.responses[0]!.response_range;
    // Of what is told of former holders there may be more than of all else, and nothing rests on it.
    for (const entry of kvs.map((kv) => entryOf(kv, prefix)))
      if (!entry.leased || !isTenure(entry.key)) entries.push(entry);
    if (!more) return { revision, entries };
    key = Buffer.concat([kvs.at(-1)!.key, Buffer.from([0])]);
  }
}

function entryOf({ key, value, mod_revision, lease }: KeyValue, prefix: string): Entry {
  const name = key.toString().slice(prefix.length);
  return { key: name, text: value.toString(), version: mod_revision, leased: lease !== '0' };
}
