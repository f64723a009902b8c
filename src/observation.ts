// Puts together what operators' tools read of a running driver: metrics of its calls, how full its pools are, whether it is
// ready. Nothing of it is waited for by an engine.
import { readFileSync } from 'node:fs';
import type { Settings } from './config.js';
import type { Told } from './docker/driver.js';
import type { EtcdClient } from './etcd/client.js';
import type { SessionKeeper } from './etcd/session.js';
import type { Allocator } from './ipam/allocator.js';
import { fillOf } from './ipam/fill.js';
import { EVERY_JOIN, parentOf, type Subnet, subnetOfPool } from './ipam/keyspace.js';
import { all } from './ipam/pages.js';
import type { Store } from './ipam/store.js';
import type { Watching } from './ipam/watching.js';
import type { Log } from './log.js';
import { formatPrefix, parsePrefix } from './net/prefix.js';
import { Metrics } from './telemetry/metrics.js';
import { type OpsServer, serveOps } from './telemetry/server.js';
import { type Web, webOf } from './web/index.js';
import { Samples } from './web/trend.js';

/** Pools are counted at a reading, but not more often than this, and for at most a hundredth of the time. */
const COUNTED_ANEW_MS = 10_000;
const SHARE = 100;
const WITHIN_MS = 2_000;

export interface Observed {
  readonly settings: Pick<Settings<unknown>, 'node' | 'opsListen'>;
  readonly client: Pick<EtcdClient, 'outage'>;
  readonly session: Pick<SessionKeeper, 'alive' | 'refusal'>;
  readonly store: Store & { readonly hasty: Store };
  readonly watching: Watching;
  readonly goneRounds: number;
  /** Whether an engine waits for an answer. */
  busy(): boolean;
  readonly allocator: Pick<Allocator, 'pending'>;
  readonly log: Log;
}

export class Observation {
  readonly #of: Observed;
  readonly #metrics: Metrics;
  readonly #pools = new Map<string, Subnet>();
  #listed = false;
  #countedUntil = 0;
  readonly #samples = new Samples();
  readonly #web: Web;
  #server: OpsServer | undefined;

  constructor(of: Observed) {
    this.#of = of;
    const { session, client, allocator, watching, goneRounds } = of;
    const etcdAway = () => client.outage()?.message;
    this.#metrics = new Metrics(version(), {
      sessionAlive: () => session.alive,
      etcdAway: () => etcdAway() !== undefined,
      pending: () => allocator.pending,
    });
    this.#web = webOf({
      ...{ node: of.settings.node, version: version(), store: of.store.hasty, samples: this.#samples },
      ...{ goneRounds, watching, etcdAway, busy: () => of.busy(), problem: () => this.#problem() },
    });
  }

  told(told: Told): void {
    this.#metrics.decided(told);
    const { space, pool, outcome } = told;
    if (outcome === 'granted' && space !== undefined && pool !== undefined)
      this.#pools.set(`${space} ${pool}`, { space, prefix: parsePrefix(pool) });
  }

  reconciled(outcome: string): void {
    this.#metrics.reconciled(outcome);
  }

  /** A port that is taken is told, and no reason not to serve engines. */
  async start(): Promise<void> {
    const { settings, log } = this.#of;
    if (!settings.opsListen) return;
    try {
      const shown = { problem: () => this.#problem(), metrics: () => this.#text() };
      this.#server = await serveOps(shown, settings.opsListen, this.#web.middleware(settings.opsListen.host));
      log.info({ ops: this.#server.address }, 'page, metrics and health are served');
    } catch (error) {
      log.warn(
        { error },
        'page, metrics and health are not served: set IPAM_OPS_LISTEN to another host:port, or to nothing',
      );
    }
  }

  /** host:port; undefined where nothing is served. */
  get address(): string | undefined {
    return this.#server?.address;
  }

  async stop(): Promise<void> {
    this.#web.close();
    await this.#server?.close();
  }

  #problem(): string | undefined {
    const { client, session } = this.#of;
    return (
      client.outage()?.message ??
      session.refusal ??
      (session.alive ? undefined : 'this node has no session in etcd yet')
    );
  }

  async #text(): Promise<{ type: string; text: string }> {
    if (performance.now() >= this.#countedUntil) await this.#count();
    return { type: this.#metrics.contentType, text: await this.#metrics.text() };
  }

  /** Without etcd the pools are as they were. */
  async #count(): Promise<void> {
    const { store, log } = this.#of;
    const began = performance.now();
    this.#countedUntil = began + WITHIN_MS;
    try {
      if (!this.#listed) await this.#list(began + WITHIN_MS);
      const fills = await fillOf(store, [...this.#pools.values()], began + WITHIN_MS);
      this.#metrics.filled(fills);
      this.#samples.add(fills, new Date());
      const there = new Set(fills.map(({ space, pool }) => `${space} ${pool}`));
      for (const name of this.#pools.keys()) if (!there.has(name)) this.#pools.delete(name);
    } catch (error) {
      log.debug({ error }, 'pools could not be counted');
    }
    const took = performance.now() - began;
    this.#countedUntil = performance.now() + Math.max(COUNTED_ANEW_MS, SHARE * took);
  }

  /** What this host has joined before this process was there. */
  async #list(by: number): Promise<void> {
    for await (const { key, record } of all(this.#of.store, EVERY_JOIN, by)) {
      if (record.node !== this.#of.settings.node) continue;
      const subnet = subnetOfPool(parentOf(key));
      this.#pools.set(`${subnet.space} ${formatPrefix(subnet.prefix)}`, subnet);
    }
    this.#listed = true;
  }
}

function version(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
