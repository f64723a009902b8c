// What is true of the whole cluster, and so the same at whichever host it is read: to be taken once (max), never summed over
// hosts. Knows no etcd: it is told.
import { Gauge, type Registry } from 'prom-client';
import type { Standing } from '../ipam/silence.js';

export interface Survey {
  readonly nodes: Readonly<Record<Standing, number>>;
  readonly braked: boolean;
  readonly restored: boolean;
}

export class Cluster {
  readonly #nodes: Gauge<'state'>;
  readonly #braked: Gauge;
  readonly #restored: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#nodes = new Gauge({
      name: 'etcd_ipam_nodes',
      help: 'Hosts of the cluster, by how they stand; not to be summed over hosts',
      labelNames: ['state'],
      registers,
    });
    this.#braked = new Gauge({
      name: 'etcd_ipam_brake',
      help: '1 while so many hosts are silent together that no silence counts',
      registers,
    });
    this.#restored = new Gauge({
      name: 'etcd_ipam_restored',
      help: '1 while etcd is marked as set back to a backup: no host is given an address',
      registers,
    });
    this.forget();
  }

  surveyed({ nodes, braked, restored }: Survey): void {
    for (const [state, count] of Object.entries(nodes)) this.#nodes.set({ state }, count);
    this.#braked.set(Number(braked));
    this.#restored.set(Number(restored));
  }

  /** What could not be read for long is not known. */
  forget(): void {
    this.#nodes.reset();
    this.#braked.remove();
    this.#restored.remove();
  }
}
