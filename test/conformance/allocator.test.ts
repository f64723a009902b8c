// Interleavings that broke earlier designs, one test each, on the double and on a real etcd. Each ends by asserting every
// record there is. Knows no transaction, only who goes first.
import { type Backend, EtcdBackend, MemoryBackend } from '../support/stores.js';
import { boots } from './allocator/boots.js';
import { containers } from './allocator/containers.js';
import { evictions } from './allocator/evictions.js';
import { gone } from './allocator/gone.js';
import { joins } from './allocator/joins.js';
import { outages } from './allocator/outages.js';
import { past } from './allocator/past.js';
import { pools } from './allocator/pools.js';
import { races } from './allocator/races.js';
import { reconciling } from './allocator/reconciling.js';
import { resting } from './allocator/resting.js';
import { restored } from './allocator/restored.js';
import { rounds } from './allocator/rounds.js';
import { ruled } from './allocator/ruled.js';
import { ruledSwarm } from './allocator/ruled-swarm.js';
import { Scene } from './allocator/scene.js';
import { sharing } from './allocator/sharing.js';
import { strays } from './allocator/strays.js';
import { swarm } from './allocator/swarm.js';

function allocatorConformance(start: () => Promise<Backend>): void {
  const scene = new Scene();
  let backend: Backend;

  before(async () => {
    backend = await start();
  });
  after(() => backend?.close());
  beforeEach(() => scene.begin(backend));
  afterEach(() => backend.clear());

  const suites = [
    joins,
    sharing,
    containers,
    resting,
    past,
    boots,
    gone,
    rounds,
    evictions,
    outages,
    pools,
    races,
    reconciling,
    restored,
    strays,
    ruled,
    swarm,
    ruledSwarm,
  ];
  for (const suite of suites) suite(scene);
}

describe('allocator: the double', () => allocatorConformance(async () => new MemoryBackend()));

describe('allocator: etcd', () => {
  allocatorConformance(() => EtcdBackend.start());
});
