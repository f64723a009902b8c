// A driver for each node of a life, over the in-memory double. The code they are made of may be a copy with a flaw planted.
import { Driver } from '../../src/docker/driver.js';
import { parse } from '../../src/docker/wire.js';
import { Allocator } from '../../src/ipam/allocator.js';
import { IpamError } from '../../src/ipam/errors.js';
import type { Store } from '../../src/ipam/store.js';
import { type Life, type Name, NODES, type World } from './lives.js';
import { MemoryStore, uneven } from './memory-store.js';
import { nodeOf } from './referee.js';
import { chance, surroundings } from './sequences.js';

export interface Code {
  readonly Driver: typeof Driver;
  readonly Allocator: typeof Allocator;
  readonly IpamError: typeof IpamError;
  readonly parse: typeof parse;
}

/** Longer than any life. */
const KEEP_MS = 100_000_000;

const OURS: Code = { Driver, Allocator, IpamError, parse };

/** `flawed`: what the drivers take for their store. */
export function memoryWorld(
  { pace }: Life,
  flawed: (store: Store) => Store = (store) => store,
  code = OURS,
  store = new MemoryStore(),
): World {
  const clock = { skew: 0 };
  let started = 0;
  // In every other life what is released rests, some for as long as the life lasts and some for a few calls.
  const restMs = pace % 2 === 0 ? 0 : 30_000;
  const passing = chance(`time ${pace}`);
  const start = (at: number) => {
    const self = { node: nodeOf(at), boot: `boot-${at}`, restMs, keepMs: restMs && KEEP_MS };
    const seed = `${pace} ${at} ${started++}`;
    const report = (what: string, error: unknown) => {
      throw new Error(`${what} failed for good`, { cause: error });
    };
    const way = uneven(flawed(store), chance(`way ${seed}`));
    return new code.Driver(
      new code.Allocator(way, self, surroundings(seed, clock), [], report),
      false,
      () => undefined,
    );
  };
  for (let at = 0; at < NODES; at++)
    store.plant(`nodes/${nodeOf(at)}`, { machine: `m-${at}`, boot: `boot-${at}`, since: '' });
  const drivers = Array.from({ length: NODES }, (_, at) => start(at));
  return {
    async call(at, name, body) {
      if (passing() % 4 === 0) store.elapse(10_000);
      try {
        return { granted: await asked(drivers[at]!, name, JSON.stringify(body), code.parse) };
      } catch (error) {
        if (error instanceof code.IpamError && error.kind !== 'broken' && error.kind !== 'unavailable')
          return { refused: error.message };
        throw error;
      }
    },
    async restart(at) {
      drivers[at] = start(at);
    },
    keyspace: async () => store.present(),
  };
}

const { signal } = new AbortController();

async function asked(driver: Driver, name: Name, body: string, read: Code['parse']): Promise<Record<string, string>> {
  const call = { deadline: performance.now() + 10_000, signal, onUndelivered: () => undefined };
  switch (name) {
    case 'RequestPool': {
      const { poolId, pool } = await driver.requestPool(read(name, body), call);
      return { PoolID: poolId, Pool: pool };
    }
    case 'RequestAddress':
      return { Address: (await driver.requestAddress(read(name, body), call)).address };
    case 'ReleaseAddress':
      await driver.releaseAddress(read(name, body), call);
      return {};
    case 'ReleasePool':
      await driver.releasePool(read(name, body), call);
      return {};
    case 'GetCapabilities':
      driver.getCapabilities();
      return {};
  }
}
