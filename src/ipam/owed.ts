// Releases that were answered and not carried out yet, so that a request which meets what they are to free can do them
// first. Refuses to know when else they are done: that is the backlog's.
import type { Address } from '../net/address.js';
import { claimKey, poolKey, type Subnet } from './keyspace.js';
import type { Deadline } from './store.js';

/** Safe to be run at any time and more than once. */
type Release = (by: Deadline) => Promise<unknown>;

interface Debt {
  readonly pool: string;
  readonly claim: string;
  readonly release: Release;
}

export class Owed {
  readonly #debts = new Set<Debt>();

  /** Until `done` is settled. */
  add(pool: Subnet, address: Address, release: Release, done: Promise<unknown>): void {
    const debt = { pool: poolKey(pool).key, claim: claimKey(pool, address).key, release };
    this.#debts.add(debt);
    const paid = () => this.#debts.delete(debt);
    void done.then(paid, paid);
  }

  /** Carries out what is owed of the address, or of the whole pool without one. False if nothing was. */
  async pay(pool: Subnet, address: Address | undefined, by: Deadline): Promise<boolean> {
    const claim = address && claimKey(pool, address).key;
    const key = poolKey(pool).key;
    const due = [...this.#debts].filter((debt) => (claim ? debt.claim === claim : debt.pool === key));
    for (const { release } of due) await release(by);
    return due.length > 0;
  }
}
