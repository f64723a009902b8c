// How etcd answers this process, request by request; the names are those of the Kubernetes API server's etcd client. Knows no
// etcd: it is told.
import { Counter, Gauge, Histogram, type Metric } from 'prom-client';

/** From an answer out of memory to the second that one attempt may take. */
const REQUEST_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

export class EtcdRequests {
  readonly #durations = new Histogram({
    name: 'etcd_ipam_etcd_request_duration_seconds',
    help: 'Requests that etcd was sent, until its answer or the time-out',
    labelNames: ['operation'],
    buckets: REQUEST_SECONDS,
    registers: [],
  });
  readonly #errors = new Counter({
    name: 'etcd_ipam_etcd_request_errors_total',
    help: 'Requests to etcd that failed: not_sent, refused by etcd, or unknown whether it was carried out',
    labelNames: ['operation', 'kind'],
    registers: [],
  });
  readonly #underWay = new Gauge({
    name: 'etcd_ipam_etcd_requests_in_flight',
    help: 'Requests to etcd that wait for their answer',
    registers: [],
  });

  constructor() {
    // What was never there has no first increase: a rule would miss it.
    for (const operation of ['txn', 'read', 'lease_grant', 'lease_keepalive'])
      for (const kind of ['not_sent', 'refused', 'unknown']) this.#errors.inc({ operation, kind }, 0);
  }

  get metrics(): readonly Metric[] {
    return [this.#durations, this.#errors, this.#underWay] as unknown as readonly Metric[];
  }

  /** Returns what is to be called at its end. */
  readonly begun = (operation: string): ((fault?: string) => void) => {
    const began = performance.now();
    this.#underWay.inc();
    return (kind) => {
      this.#underWay.dec();
      if (kind !== undefined) this.#errors.inc({ operation, kind });
      // A time-out is slow; what was never sent, such as where nothing listens, is quick and says nothing.
      if (kind !== 'not_sent') this.#durations.observe({ operation }, (performance.now() - began) / 1_000);
    };
  };
}
