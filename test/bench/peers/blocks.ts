// Blocks of 64 addresses that belong to a host, each one document that is read and rewritten: as Calico does. A host whose blocks
// are full looks for one that nobody has.
import { OWNER, type Peer, rewrite, soon } from './peer.js';

interface Block {
  affinity: string;
  slots: (typeof OWNER | null)[];
}
const SIZE = 64;
const ROOT = '/block';
const keyOf = (block: number) => Buffer.from(`${ROOT}/${String(block).padStart(4, '0')}`);
let own: number | undefined;

export const blocks: Peer = {
  name: 'blocks of 64 with an affinity',
  async fill(etcd, taken) {
    // Others' blocks are full: that is how so many addresses come to be taken.
    for (let block = 0; block < Math.floor(taken.length / SIZE); block++) {
      const value = Buffer.from(JSON.stringify({ affinity: `h${block}`, slots: Array(SIZE).fill(OWNER) }));
      await etcd.txn({ success: [{ request_put: { key: keyOf(block), value } }] }, soon());
    }
  },
  async allocate(etcd) {
    for (;;) {
      own ??= await unowned(etcd);
      const block = own;
      const place = await rewrite<Block>(etcd, keyOf(block), (json) => {
        const free = json?.slots.indexOf(null) ?? -1;
        if (!json || free < 0) return undefined;
        json.slots[free] = OWNER;
        return { json, place: block * SIZE + free + 1 };
      });
      if (place !== undefined) return place;
      own = undefined;
    }
  },
};

/** Listed by its key, and made this host's. */
async function unowned(etcd: Parameters<Peer['allocate']>[0]): Promise<number> {
  for (;;) {
    const range = { key: Buffer.from(`${ROOT}/`), range_end: Buffer.from(`${ROOT}0`), keys_only: true };
    const read = await etcd.read({ success: [{ request_range: range }] }, soon());
    const owned = new Set(read.responses[0]!.response_range.kvs.map(({ key }) => Number(key.toString().slice(-4))));
    let block = 0;
    while (owned.has(block)) block++;
    const key = keyOf(block);
    const value = Buffer.from(JSON.stringify({ affinity: OWNER.host, slots: Array(SIZE).fill(null) }));
    const absent = { key, target: 'Create' as const, result: 'Equal' as const, create_revision: '0' };
    const { succeeded } = await etcd.txn({ compare: [absent], success: [{ request_put: { key, value } }] }, soon());
    if (succeeded) return block;
  }
}
