import { EtcdBackend, MemoryBackend } from '../support/stores.js';
import { allocatorConformance } from './allocator.js';

describe('allocator: the double', () => allocatorConformance(async () => new MemoryBackend()));

describe('allocator: etcd', function () {
  this.timeout(20_000);
  allocatorConformance(() => EtcdBackend.start());
});
