// One JSON document a pool, rewritten by compare-and-swap: as whereabouts keeps an IPPool, and libnetwork its pools.
import { OWNER, type Peer, PLACES, rewrite } from './peer.js';

type Document = { allocations: Record<string, typeof OWNER> };
const KEY = Buffer.from('/document/10.66.0.0-16');

export const jsonDocument: Peer = {
  name: 'one JSON document a pool',
  async fill(etcd, taken) {
    const allocations = Object.fromEntries(taken.map((place) => [place, OWNER]));
    await rewrite<Document>(etcd, KEY, () => ({ json: { allocations }, place: 0 }));
  },
  async allocate(etcd) {
    const place = await rewrite<Document>(etcd, KEY, (json = { allocations: {} }) => {
      for (let free = 1; free <= PLACES; free++) {
        if (json.allocations[free]) continue;
        json.allocations[free] = OWNER;
        return { json, place: free };
      }
      return undefined;
    });
    return place!;
  },
};
