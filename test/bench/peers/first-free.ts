// One key an address, and nothing is read: create the first, or else the next, until one was absent.
import { create, fillKeys, keyOf, type Peer } from './peer.js';

const ROOT = '/first';

export const firstFree: Peer = {
  name: 'create the first that is free',
  fill: (etcd, taken) => fillKeys(etcd, ROOT, taken),
  async allocate(etcd) {
    let place = 1;
    while (!(await create(etcd, keyOf(ROOT, place)))) place++;
    return place;
  },
};
