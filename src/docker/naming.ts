// Whether the engine says of every endpoint whose it is, by name (from 29 on) or by MAC (where it was told to): then an address
// that is asked for without either is none of a container's. Goes by what engines do, since several may stand behind one
// driver, and each keeps to what it was told at its own start.

interface Ask {
  readonly purpose: string;
  readonly name?: string | undefined;
  readonly mac?: string | undefined;
}

export class Naming {
  readonly #requireMac: boolean;
  #name = { given: false, missing: false };
  #mac = { given: false, missing: false };

  /** `requireMac`: IPAM_REQUIRE_MAC, which an engine knows of only once it has asked. */
  constructor(requireMac: boolean) {
    this.#requireMac = requireMac;
  }

  /** An engine was told whether it is to give MACs. It may be of another version than before. */
  told(): void {
    this.#name = { given: false, missing: false };
    this.#mac = { given: this.#requireMac, missing: false };
  }

  /** By its version the engine names every endpoint. */
  named(): void {
    this.#name.given = true;
  }

  asked({ purpose, name, mac }: Ask): void {
    if (purpose !== 'endpoint') return;
    this.#name[name === undefined ? 'missing' : 'given'] = true;
    this.#mac[mac === undefined ? 'missing' : 'given'] = true;
  }

  /** Whatever is for a container says so. */
  get all(): boolean {
    return (this.#name.given && !this.#name.missing) || (this.#mac.given && !this.#mac.missing);
  }
}
