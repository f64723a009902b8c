// Which subnets the engine asked for since it last began to lead a swarm. Knows no store: a process that starts anew
// knows nothing, and has the records judge (gateways.ts).
import { formatPrefix } from '../net/prefix.js';
import type { Subnet } from './keyspace.js';
import type { PoolRef } from './pool-id.js';

/**
 * A leader asks for each subnet once, at its start or when a network is made. A second request without a release between
 * is a second network of the subnet, unless the engine began anew: it asks for the driver's capabilities then.
 */
export class Terms {
  readonly #joins = new Map<string, string>();

  begin(): void {
    this.#joins.clear();
  }

  holds(subnet: Subnet): boolean {
    return this.#joins.has(named(subnet));
  }

  took(pool: PoolRef): void {
    this.#joins.set(named(pool), pool.join);
  }

  ended(pool: PoolRef): void {
    if (this.#joins.get(named(pool)) === pool.join) this.#joins.delete(named(pool));
  }
}

function named({ space, prefix }: Subnet): string {
  return `${space} ${formatPrefix(prefix)}`;
}
