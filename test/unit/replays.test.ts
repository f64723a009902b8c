// Lives of swarms and bridges with mutated calls among them, against a driver for each of three nodes over the in-memory
// double. A referee that knows the wire alone says when an address was taken from its holder, or given twice.
import { expect } from 'chai';
import fc from 'fast-check';
import { Driver } from '../../src/docker/driver.js';
import { parse } from '../../src/docker/wire.js';
import { Allocator } from '../../src/ipam/allocator.js';
import { IpamError } from '../../src/ipam/errors.js';
import type { Store } from '../../src/ipam/store.js';
import { type Life, live, lives, NODES, type Tally, type World } from '../support/lives.js';
import { MemoryStore, uneven } from '../support/memory-store.js';
import { nodeOf, Violation } from '../support/referee.js';
import { chance, surroundings } from '../support/sequences.js';

const LIVES = 1_500;
const MUTATIONS = 5_000;
const LEAST = 12;
const MOST = 30;

const SEED = Number(process.env.ETCD_IPAM_TEST_SEED ?? Date.now() & 0x7fffffff);

/** `flawed`: what stands between a driver and the store. */
function memoryWorld(flawed: (store: Store) => Store = (store) => store): World {
  const store = new MemoryStore();
  const clock = { skew: 0 };
  let started = 0;
  const start = (at: number) => {
    const self = { node: nodeOf(at), boot: `boot-${at}` };
    const seed = `${at} ${started++}`;
    const report = (what: string, error: unknown) => {
      throw new Error(`${what} failed for good`, { cause: error });
    };
    const way = uneven(flawed(store), chance(`way ${seed}`));
    return new Driver(new Allocator(way, self, surroundings(seed, clock), [], report), false, () => undefined);
  };
  for (let at = 0; at < NODES; at++)
    store.plant(`nodes/${nodeOf(at)}`, { machine: `m-${at}`, boot: `boot-${at}`, since: '' });
  const drivers = Array.from({ length: NODES }, (_, at) => start(at));
  return {
    async call(at, name, body) {
      try {
        return { granted: await asked(drivers[at]!, name, JSON.stringify(body)) };
      } catch (error) {
        if (error instanceof IpamError && error.kind !== 'broken' && error.kind !== 'unavailable')
          return { refused: error.message };
        throw error;
      }
    },
    async restart(at) {
      drivers[at] = start(at);
    },
    keyspace: async () => store.keyspace(),
  };
}

async function asked(driver: Driver, name: string, body: string): Promise<Record<string, string>> {
  const call = {
    deadline: performance.now() + 10_000,
    signal: new AbortController().signal,
    onUndelivered: () => undefined,
  };
  switch (name) {
    case 'RequestPool': {
      const { poolId, pool } = await driver.requestPool(parse(name, body), call);
      return { PoolID: poolId, Pool: pool };
    }
    case 'RequestAddress':
      return { Address: (await driver.requestAddress(parse(name, body), call)).address };
    case 'ReleaseAddress':
      await driver.releaseAddress(parse(name, body), call);
      return {};
    case 'ReleasePool':
      await driver.releasePool(parse(name, body), call);
      return {};
    default:
      driver.getCapabilities();
      return {};
  }
}

describe('replays with mutated calls, on the double', function () {
  this.timeout(120_000);

  it(`take no address from its holder in ${LIVES} lives with more than ${MUTATIONS} mutated calls`, async () => {
    console.log(`      seed ${SEED} (ETCD_IPAM_TEST_SEED repeats it)`);
    const tally: Tally = new Map();
    const property = fc.asyncProperty(lives(LEAST, MOST), (life: Life) => live(memoryWorld(), life, tally));
    await fc.assert(property, { numRuns: LIVES, seed: SEED });
    console.log(tally);
    expect(tally.get('mutations sent')).to.be.at.least(MUTATIONS);
  });
});
