// A host as etcd sees it, many of them in one process: the real client, session, rounds, look for a restored backup, store and
// allocator of a driver, without an engine and without HTTP.
import { randomBytes, randomInt } from 'node:crypto';
import { openClient } from '../../src/etcd/client.js';
import { SessionKeeper } from '../../src/etcd/session.js';
import { EtcdStore } from '../../src/etcd/store.js';
import { Allocator } from '../../src/ipam/allocator.js';
import type { PoolRef } from '../../src/ipam/pool-id.js';
import type { Surroundings } from '../../src/ipam/surroundings.js';
import type { Address } from '../../src/net/address.js';
import type { Prefix } from '../../src/net/prefix.js';
import { watchMark } from '../../src/restoration.js';
import { ROUND_MS, roundsOf } from '../../src/rounds.js';
import { sleep } from '../support/process.js';

const PREFIX = '/etcd-ipam/';
/** As installed. */
const TTL_S = 15;
const DAY_MS = 86_400_000;

const around: Surroundings = {
  now: () => new Date(),
  millis: () => performance.now(),
  rounds: () => 0,
  token: () => randomBytes(8).toString('hex'),
  below: (bound) => BigInt(randomInt(Number(bound < 2n ** 47n ? bound : 2n ** 47n))),
  pause: (ms) => sleep(ms),
};

export class SimulatedHost {
  readonly store: EtcdStore;
  readonly #session: SessionKeeper;
  readonly #allocator: Allocator;
  readonly #stops: (() => unknown)[] = [];
  readonly #given: Address[] = [];
  #pool: PoolRef | undefined;
  /** Claims that were tried. */
  tried = 0;

  constructor(url: string, i: number, ttlS = TTL_S) {
    const node = `simulated-${i}`;
    const self = { node, boot: 'boot', machine: node };
    const client = openClient({ endpoints: [url], attemptMs: 60_000 });
    const session = new SessionKeeper(client, {
      ...{ ...self, instance: 'one', host: node, prefix: PREFIX, ttl: ttlS },
      report: () => undefined,
    });
    const store = new EtcdStore(client, session, PREFIX);
    const owner = { ...self, restMs: 30_000, keepMs: 7 * DAY_MS };
    this.#allocator = new Allocator(store, owner, around, [], (what, error) => {
      throw new Error(what, { cause: error });
    });
    // biome-ignore lint/suspicious/noExplicitAny: nobody reads its log
    const log = { info() {}, warn() {}, debug() {}, error() {} } as any;
    const settings = { prefix: PREFIX, node, hold: DAY_MS, forget: 30 * DAY_MS, history: 7 * DAY_MS };
    const rounds = roundsOf({ client, session, store, around, settings, log }, ROUND_MS);
    const mark = watchMark({ store, session, allocator: this.#allocator, log, look: () => undefined });
    this.store = store;
    this.#session = session;
    session.start();
    rounds.start();
    this.#stops.push(
      () => mark.stop(),
      () => rounds.stop(),
      () => session.stop(performance.now() + 10_000),
      () => store.close(),
      () => client.close(),
    );
  }

  async alive(): Promise<void> {
    await this.#session.current(by());
  }

  /** A network that all of them have. */
  async join(prefix: Prefix): Promise<void> {
    this.#pool = (await this.#allocator.requestPool({ space: 'local', pool: prefix, shared: [] }, by())).reply;
  }

  async claim(): Promise<void> {
    const grant = await this.#allocator.requestAddress(
      { pool: this.#pool!, purpose: 'endpoint', name: 'web.1.w8hz5ppl0f' },
      by(),
    );
    this.tried += grant.attempts ?? 1;
    this.#given.push(grant.reply);
  }

  /** False when it has none. */
  async release(): Promise<boolean> {
    const address = this.#given.shift();
    if (address) await this.#allocator.releaseAddress(this.#pool!, address, by());
    return address !== undefined;
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) await stop();
  }
}

function by(): number {
  return performance.now() + 300_000;
}
