// What this process counts of its own work, in Prometheus' words. Names follow those of the Kubernetes clusterip allocator
// (kube_apiserver_clusterip_allocator_*): pools are labels, addresses never. Asks nobody anything.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Fill } from '../ipam/fill.js';
import type { Looked, Reconciled } from '../ipam/reconciler.js';
import { Cluster } from './cluster.js';
import type { EtcdRequests } from './etcd-requests.js';

/** One decision, as the log has it too. */
export interface Decided {
  readonly call: string;
  readonly outcome: string;
  /** Milliseconds. */
  readonly ms: number;
  readonly space?: string | undefined;
  readonly pool?: string | undefined;
  /** Lost claims among the attempts, if it was granted. */
  readonly races?: number | undefined;
  /** Whether the caller named the address. */
  readonly scope?: 'static' | 'dynamic' | undefined;
  readonly from?: string | undefined;
}

/** What is asked of the process at each reading. */
export interface Vitals {
  sessionAlive(): boolean;
  /** The node's name is another machine's, or was another boot's a moment ago. */
  sessionRefused(): boolean;
  etcdAway(): boolean;
  /** Releases and undos that wait for etcd. */
  pending(): number;
}

/** Of prom-client's own those that break Prometheus' naming: gauges called `_total`, and sums of others of its metrics. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

const OUTCOMES = Object.keys({
  ended: true,
  shared: true,
  recognised: true,
  claimed: true,
  left: true,
  doubtful: true,
} satisfies Record<Reconciled['outcome'], true>);

const CALL_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];

export class Metrics {
  readonly #registry = new Registry();
  readonly #calls: Histogram<'call' | 'outcome'>;
  readonly #allocations: Counter<'space' | 'cidr' | 'scope'>;
  readonly #errors: Counter<'space' | 'cidr' | 'scope'>;
  readonly #lost: Counter;
  readonly #taken: Counter;
  readonly #reconciled: Counter<'outcome'>;
  readonly #findings: Gauge<'kind'>;
  readonly #looked: Gauge;
  readonly #abandoned: Counter;
  readonly #allocated: Gauge<'space' | 'cidr'>;
  readonly #available: Gauge<'space' | 'cidr'>;
  readonly #excluded: Gauge<'space' | 'cidr'>;
  readonly #reserved: Gauge<'space' | 'cidr'>;
  readonly #warning: Gauge<'space' | 'cidr'>;
  /** What all hosts say alike. */
  readonly cluster: Cluster;

  constructor(version: string, vitals: Vitals, requests?: EtcdRequests) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name);
    for (const metric of requests?.metrics ?? []) this.#registry.registerMetric(metric);
    this.cluster = new Cluster(this.#registry);
    this.#calls = new Histogram({
      name: 'etcd_ipam_call_duration_seconds',
      help: 'Calls of the engine, by what came of them; undone (nobody received the grant) and late (past its deadline) are counted beside what was decided',
      labelNames: ['call', 'outcome'],
      buckets: CALL_SECONDS,
      registers,
    });
    const pool = ['space', 'cidr', 'scope'] as const;
    this.#allocations = new Counter({
      name: 'etcd_ipam_allocation_total',
      help: 'Addresses that this host was given; static: it named them',
      labelNames: pool,
      registers,
    });
    this.#errors = new Counter({
      name: 'etcd_ipam_allocation_errors_total',
      help: 'Addresses that this host asked for and was not given',
      labelNames: pool,
      registers,
    });
    this.#lost = new Counter({
      name: 'etcd_ipam_lost_races_total',
      help: 'Claims of addresses that were free, or could be taken over, when they were chosen, and that another was quicker at; each cost one more round trip',
      registers,
    });
    this.#taken = new Counter({
      name: 'etcd_ipam_takeovers_total',
      help: 'Addresses taken over from hosts that are gone or have booted since',
      registers,
    });
    this.#reconciled = new Counter({
      name: 'etcd_ipam_reconciled_total',
      help: 'Differences between etcd and the engine that reconciliation dealt with',
      labelNames: ['outcome'],
      registers,
    });
    // What was never there has no first increase: a rule would miss it.
    for (const outcome of OUTCOMES) this.#reconciled.inc({ outcome }, 0);
    this.#findings = new Gauge({
      name: 'etcd_ipam_reconcile_findings',
      help: 'Differences of this host between etcd and its engine that the latest look met, and that had not gone by themselves in time',
      labelNames: ['kind'],
      registers,
    });
    this.#looked = new Gauge({
      name: 'etcd_ipam_reconcile_last_success_timestamp_seconds',
      help: 'When the engine was last compared with etcd; 0: not yet',
      registers,
    });
    this.#abandoned = new Counter({
      name: 'etcd_ipam_abandoned_releases_total',
      help: 'Releases and undos that failed for good: what they were to free stays taken',
      registers,
    });
    const ofPool = (name: string, help: string) => new Gauge({ name, help, labelNames: ['space', 'cidr'], registers });
    this.#allocated = ofPool('etcd_ipam_allocated_ips', 'Addresses of the pool that have a claim, of any host');
    this.#available = ofPool('etcd_ipam_available_ips', 'Addresses of the pool that whoever asks for any may get');
    this.#excluded = ofPool('etcd_ipam_pool_excluded_addresses', 'Addresses without a claim that an operator left out');
    this.#reserved = ofPool(
      'etcd_ipam_pool_reserved_addresses',
      'Addresses without a claim that are kept for somebody',
    );
    this.#warning = ofPool(
      'etcd_ipam_pool_warning_ratio',
      'The share of allocated among allocated and available from which on an operator wants to be warned',
    );
    const asked = (name: string, help: string, value: () => number) =>
      new Gauge({
        ...{ name, help, registers },
        collect() {
          this.set(value());
        },
      });
    asked('etcd_ipam_session_alive', '1 while the session of this process is in etcd', () =>
      Number(vitals.sessionAlive()),
    );
    asked('etcd_ipam_session_refused', '1 while the name of this node is in use by another machine or boot', () =>
      Number(vitals.sessionRefused()),
    );
    asked('etcd_ipam_etcd_up', '0 while no etcd endpoint has answered for longer than an election takes', () =>
      Number(!vitals.etcdAway()),
    );
    asked('etcd_ipam_pending_releases', 'Releases and undos that wait for etcd', vitals.pending);
    new Gauge({
      name: 'etcd_ipam_build_info',
      help: 'The version, as a label',
      labelNames: ['version'],
      registers,
    }).set({ version }, 1);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  decided({ call, outcome, ms, space, pool, races, scope, from }: Decided): void {
    this.#calls.observe({ call, outcome }, ms / 1_000);
    if (races) this.#lost.inc(races);
    if (from !== undefined && outcome === 'granted') this.#taken.inc();
    // What may succeed later is queued instead.
    if ((outcome === 'failed' || outcome === 'refused') && (call === 'ReleaseAddress' || call === 'ReleasePool'))
      this.abandoned();
    if (call !== 'RequestAddress' || scope === undefined || space === undefined || pool === undefined) return;
    const labels = { space, cidr: pool, scope };
    if (outcome === 'granted') this.#allocations.inc(labels);
    else if (outcome === 'refused' || outcome === 'failed') this.#errors.inc(labels);
  }

  reconciled(outcome: Reconciled['outcome']): void {
    this.#reconciled.inc({ outcome });
  }

  looked(findings: Looked['findings']): void {
    for (const [kind, count] of Object.entries(findings)) this.#findings.set({ kind }, count);
    this.#looked.setToCurrentTime();
  }

  abandoned(): void {
    this.#abandoned.inc();
  }

  /** What is read of etcd could not be read for long: no figure is better than one of long ago. */
  forget(): void {
    this.filled([]);
    this.cluster.forget();
  }

  /** All that are known now; those of before that are not among them go. */
  filled(fills: readonly Fill[]): void {
    for (const gauge of [this.#allocated, this.#available, this.#excluded, this.#reserved, this.#warning])
      gauge.reset();
    for (const { space, pool, used, free, excluded, reserved, warnAt } of fills) {
      const labels = { space, cidr: pool };
      this.#allocated.set(labels, used);
      this.#available.set(labels, free);
      this.#excluded.set(labels, excluded);
      this.#reserved.set(labels, reserved);
      for (const scope of ['static', 'dynamic']) {
        this.#allocations.inc({ ...labels, scope }, 0);
        this.#errors.inc({ ...labels, scope }, 0);
      }
      if (warnAt !== undefined) this.#warning.set(labels, warnAt / 100);
    }
  }
}
