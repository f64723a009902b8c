// What the record store says of calls that end without an answer; a client by hand stands for etcd.
import { expect } from 'chai';
import type { EtcdClient } from '../../../src/etcd/client.js';
import { EtcdFault } from '../../../src/etcd/fault.js';
import { History } from '../../../src/etcd/history.js';
import { EtcdStore } from '../../../src/etcd/store.js';

describe('the store, without an answer of etcd', () => {
  it('says what was in the way last, also where the pause before the next attempt took the rest of the time', async () => {
    const fault = new EtcdFault('not_sent', 'connection refused', 'a:1', { final: true, elsewhere: true });
    const client: Partial<EtcdClient> = {
      history: new History(),
      describe: () => 'etcd at a:1',
      outage: () => undefined,
      txn: async () => {
        setImmediate(() => {
          for (const end = performance.now() + 150; performance.now() < end; );
        });
        throw fault;
      },
    };
    const session = { proof: undefined, refusal: undefined, node: 'a' };
    const store = new EtcdStore(client as EtcdClient, session as never, '/p/');
    const change = { when: [], write: [], otherwise: [] };
    const error = await store.commit(change, performance.now() + 100).catch((thrown) => thrown);
    store.close();
    expect([error.code, error.message]).to.deep.equal([
      'unavailable',
      'etcd at a:1 is not reachable: connection refused',
    ]);
  });
});
