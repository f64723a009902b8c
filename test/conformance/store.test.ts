import { EtcdBackend, MemoryBackend } from '../support/stores.js';
import { storeConformance } from './store.js';

describe('record store: the double', () => storeConformance(async () => new MemoryBackend()));

describe('record store: etcd', () => {
  storeConformance(() => EtcdBackend.start());
});
