import { EtcdBackend, MemoryBackend } from '../support/stores.js';
import { storeConformance } from './store.js';

describe('record store: the double', () => storeConformance(async () => new MemoryBackend()));

describe('record store: etcd', function () {
  this.timeout(20_000);
  storeConformance(() => EtcdBackend.start());
});
