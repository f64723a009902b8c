// RequestAddress: from what is asked to a guarded claim, of the address that is named, reserved or chosen. Knows pools, joins and
// claims; not the wire that asked.
import type { Address } from '../net/address.js';
import { isSame, reservedFor } from './asked.js';
import { ByChoice } from './by-choice.js';
import { ByNumber, type StillMeant } from './by-number.js';
import { type AddressAsk, Claiming, contended, MOST_ATTEMPTS } from './claiming.js';
import { IpamError } from './errors.js';
import { chooseGateway, isStillMeant } from './gateways.js';
import type { Grant } from './grant.js';
import type { PoolRef } from './pool-id.js';
import type { Releases } from './releases.js';
import type { Shown } from './shown.js';
import type { Deadline, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import type { Undos } from './undos.js';
import type { View, Views } from './views.js';

export class Addresses {
  readonly #store: Store;
  readonly #views: Views;
  readonly #byNumber: ByNumber;
  readonly #byChoice: ByChoice;

  constructor(
    store: Store,
    self: Self,
    around: Surroundings,
    views: Views,
    releases: Releases,
    undos: Undos,
    shown: Shown,
  ) {
    const claiming = new Claiming(store, self, around, views, releases, undos);
    this.#store = store;
    this.#views = views;
    this.#byNumber = new ByNumber(store, self, views, releases, claiming, shown);
    this.#byChoice = new ByChoice(store, self, around, views, claiming);
  }

  request(ask: AddressAsk, by: Deadline): Promise<Grant<Address>> {
    const { address, pool, purpose } = ask;
    if (!address && purpose === 'gateway') return this.#gateway(ask, by);
    const view = this.#views.known(pool);
    return view && !address ? this.#unnamed(ask, view, by) : this.#request(ask, view, by);
  }

  async #request(ask: AddressAsk, known: View | undefined, by: Deadline): Promise<Grant<Address>> {
    const view = known ?? (await this.#views.of(ask.pool, by));
    return ask.address ? this.#byNumber.request(ask, ask.address, view, by) : this.#unnamed(ask, view, by);
  }

  /** What was learnt of free and taken addresses is of an etcd that is gone. */
  forgetAll(): void {
    this.#byChoice.forgetAll();
  }

  /** The address may be free again, or rests. */
  freed(pool: PoolRef, address: Address): void {
    this.#byChoice.freed(pool, address);
  }

  forget(pool: PoolRef): void {
    this.#byChoice.forget(pool);
  }

  /** What is reserved for whoever asks, or else any. Where that changed meanwhile it is decided anew. */
  async #unnamed(ask: AddressAsk, first: View, by: Deadline): Promise<Grant<Address>> {
    let view = first;
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      const address = reservedFor(ask, view);
      try {
        if (!address) return await this.#byChoice.request(ask, view, by);
        const still: StillMeant = (_, seen) => isSame(reservedFor(ask, seen), address);
        return await this.#byNumber.claim({ ...ask, address }, address, view, by, still);
      } catch (error) {
        if (!(error instanceof IpamError) || error.code !== 'taken') throw error;
        view = await this.#views.of(ask.pool, by);
        if (isSame(reservedFor(ask, view), address)) throw error;
      }
    }
    throw contended(ask.pool);
  }

  #gateway(ask: AddressAsk, by: Deadline): Promise<Grant<Address>> {
    const claim = (address: Address, view: View, rests: boolean) =>
      this.#byNumber.claim(ask, address, view, by, (verdict, seen) =>
        isStillMeant(address, verdict, seen, view, rests),
      );
    return chooseGateway(ask, this.#store, this.#views, claim, by);
  }
}
