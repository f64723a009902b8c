// Puts together what operators' tools read of a running driver: metrics of its calls, how full its pools are, whether it is
// ready. Nothing of it is waited for by an engine.
import { readFileSync } from 'node:fs';
import type { Settings } from './config.js';
import type { EtcdClient } from './etcd/client.js';
import type { SessionKeeper } from './etcd/session.js';
import type { Allocator } from './ipam/allocator.js';
import { fillOf } from './ipam/fill.js';
import { BRAKE, EVERY_JOIN, parentOf, RESTORED, type Subnet, subnetOfPool } from './ipam/keyspace.js';
import { readNodes } from './ipam/nodes.js';
import { all } from './ipam/pages.js';
import type { Looked, Reconciled } from './ipam/reconciler.js';
import { type Standing, standingOf } from './ipam/silence.js';
import type { Store } from './ipam/store.js';
import type { Surroundings } from './ipam/surroundings.js';
import type { Watching } from './ipam/watching.js';
import type { Log } from './log.js';
import { formatPrefix, parsePrefix } from './net/prefix.js';
import type { EtcdRequests } from './telemetry/etcd-requests.js';
import { type Decided, Metrics } from './telemetry/metrics.js';
import { type OpsServer, serveOps } from './telemetry/server.js';
import { type Web, webOf } from './web/index.js';
import { Samples } from './web/trend.js';
import { giveWay } from './web/turns.js';

/** Pools are counted at a reading, but not more often than this, and, where that works, for at most a hundredth of the time. */
const COUNTED_ANEW_MS = 10_000;
const SHARE = 100;
const WITHIN_MS = 2_000;
/** Silence counts in rounds of half a minute; of many nodes, since all hosts read all of them, a host reads so many a second. */
const SURVEYED_ANEW_MS = 30_000;
const NODES_PER_S = 100 / 30;
/** Figures that could not be renewed for so long are shown no more: another host's may be newer, and one gap ends an alert. */
const KEPT_MS = 60_000;

export interface Observed {
  readonly settings: Pick<Settings<unknown>, 'node' | 'opsListen'>;
  readonly client: Pick<EtcdClient, 'outage'>;
  readonly session: Pick<SessionKeeper, 'alive' | 'refusal'>;
  readonly store: Store & { readonly hasty: Store };
  readonly watching: Watching;
  /** Whether an engine waits for an answer. */
  busy(): boolean;
  readonly allocator: Pick<Allocator, 'pending'>;
  readonly requests: EtcdRequests;
  /** Why no address is given while etcd counts as restored from a backup. */
  restored(): string | undefined;
  /** Rounds of silence that make a node gone. */
  readonly goneRounds: number;
  readonly around: Pick<Surroundings, 'millis'>;
  readonly log: Log;
}

export class Observation {
  readonly #of: Observed;
  readonly #metrics: Metrics;
  readonly #pools = new Map<string, Subnet>();
  #listed = false;
  #countedUntil = 0;
  #surveyedUntil = 0;
  #nodesUntil = 0;
  #nodes: Readonly<Record<Standing, number>> = { alive: 0, silent: 0, gone: 0, evicted: 0 };
  #keptUntil = 0;
  readonly #samples = new Samples();
  readonly #web: Web;
  #server: OpsServer | undefined;

  constructor(of: Observed) {
    this.#of = of;
    const { session, client, allocator, watching, goneRounds } = of;
    const etcdAway = () => client.outage()?.message;
    const vitals = {
      sessionAlive: () => session.alive,
      sessionRefused: () => session.refusal !== undefined,
      etcdAway: () => etcdAway() !== undefined,
      pending: () => allocator.pending,
    };
    this.#metrics = new Metrics(version(), vitals, of.requests);
    this.#web = webOf({
      ...{ node: of.settings.node, version: version(), store: of.store.hasty, samples: this.#samples },
      ...{ goneRounds, watching, etcdAway, busy: () => of.busy(), problem: () => this.#problem() },
    });
  }

  told(told: Decided): void {
    this.#metrics.decided(told);
    const { space, pool, outcome } = told;
    if (outcome !== 'granted' || space === undefined || pool === undefined) return;
    const name = `${space} ${pool}`;
    if (!this.#pools.has(name)) this.#pools.set(name, { space, prefix: parsePrefix(pool) });
  }

  reconciled(outcome: Reconciled['outcome']): void {
    this.#metrics.reconciled(outcome);
  }

  looked(findings: Looked['findings']): void {
    this.#metrics.looked(findings);
  }

  /** A release or an undo will never be carried out. */
  abandoned(): void {
    this.#metrics.abandoned();
  }

  /** A port that is taken is told, and no reason not to serve engines. */
  async start(): Promise<void> {
    const { settings, log } = this.#of;
    if (!settings.opsListen) return;
    try {
      // The page has the two apart.
      const shown = { problem: () => this.#problem() ?? this.#of.restored(), metrics: () => this.metrics() };
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

  /** What is answered to whoever reads the metrics. */
  async metrics(): Promise<{ type: string; text: string }> {
    if (this.#now() >= this.#countedUntil) await this.#count();
    await giveWay(() => this.#of.busy());
    return { type: this.#metrics.contentType, text: await this.#metrics.text() };
  }

  /** Without etcd all is for a while as it was. */
  async #count(): Promise<void> {
    const { store, log } = this.#of;
    const began = this.#now();
    this.#countedUntil = began + WITHIN_MS;
    try {
      if (!this.#listed) await this.#list(began + WITHIN_MS);
      const fills = await fillOf(store, [...this.#pools.values()], began + WITHIN_MS);
      this.#metrics.filled(fills);
      this.#samples.add(fills, new Date());
      const there = new Set(fills.map(({ space, pool }) => `${space} ${pool}`));
      for (const name of this.#pools.keys()) if (!there.has(name)) this.#pools.delete(name);
      await this.#survey(began + WITHIN_MS);
      const now = this.#now();
      this.#keptUntil = now + KEPT_MS;
      this.#countedUntil = now + Math.max(COUNTED_ANEW_MS, SHARE * (now - began));
    } catch (error) {
      log.debug({ error }, 'pools and nodes could not be counted');
      // Its time was spent waiting for an etcd that is away.
      this.#countedUntil = this.#now() + COUNTED_ANEW_MS;
      if (this.#now() >= this.#keptUntil) this.#metrics.forget();
    }
  }

  async #survey(by: number): Promise<void> {
    const { store, goneRounds } = this.#of;
    if (this.#now() < this.#surveyedUntil) return;
    const [brake, restored] = await store.read([{ one: BRAKE }, { one: RESTORED }], by);
    if (this.#now() >= this.#nodesUntil) {
      const nodes = { alive: 0, silent: 0, gone: 0, evicted: 0 };
      const seen = await readNodes(store, by);
      for (const node of seen) nodes[standingOf(node, goneRounds)]++;
      this.#nodes = nodes;
      this.#nodesUntil = this.#now() + (1_000 * seen.length) / NODES_PER_S;
    }
    const nodes = this.#nodes;
    this.#metrics.cluster.surveyed({ nodes, braked: brake !== undefined, restored: restored !== undefined });
    this.#surveyedUntil = this.#now() + SURVEYED_ANEW_MS;
  }

  #now(): number {
    return this.#of.around.millis();
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

/** Where the program was bundled. */
declare const ETCD_IPAM_VERSION: string | undefined;

function version(): string {
  if (typeof ETCD_IPAM_VERSION === 'string') return ETCD_IPAM_VERSION;
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
