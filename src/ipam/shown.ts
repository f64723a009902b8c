// Which claims the engine was last shown to have a container behind, in memory alone: such a claim is not taken over by one
// that looks the same. test/model/shown.ts has the orders in which looks, calls and the engine's beginnings can come.
import type { Found, Version } from './store.js';

type Claim = Pick<Found<unknown>, 'key' | 'version'>;

export class Shown {
  #claims: ReadonlyMap<string, Version> = new Map();
  #beginnings = 0;

  /** As it is: what was written since is another claim. */
  has({ key, version }: Claim): boolean {
    return this.#claims.get(key) === version;
  }

  /** The engine begins anew: it asks again for what its containers had, and what a look under way was shown is over. */
  begin(): void {
    this.#claims = new Map();
    this.#beginnings++;
  }

  /** To be called when a look begins, and what it returns with the claims, read before the engine was asked; with none if it failed. */
  look(): (claims: readonly Claim[]) => void {
    const began = this.#beginnings;
    return (claims) => {
      if (began === this.#beginnings) this.#claims = new Map(claims.map(({ key, version }) => [key, version]));
    };
  }
}
