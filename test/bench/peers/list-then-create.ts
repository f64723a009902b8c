// One key an address: all of a pool's are listed, and the lowest that is missing is created, again if somebody was quicker.
import { create, fillKeys, keyOf, type Peer, placeOf, soon } from './peer.js';

const ROOT = '/listed';

export const listThenCreate: Peer = {
  name: 'list, then create the lowest',
  fill: (etcd, taken) => fillKeys(etcd, ROOT, taken),
  async allocate(etcd) {
    for (;;) {
      const range = { key: Buffer.from(`${ROOT}/`), range_end: Buffer.from(`${ROOT}0`), keys_only: true };
      const read = await etcd.read({ success: [{ request_range: range }] }, soon());
      const taken = new Set(read.responses[0]!.response_range.kvs.map(({ key }) => placeOf(key)));
      let place = 1;
      while (taken.has(place)) place++;
      if (await create(etcd, keyOf(ROOT, place))) return place;
    }
  },
};
