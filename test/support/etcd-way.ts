// A client's way to the members of a test's etcd, which can be cut for it alone. Refuses to know what passes.
import type { TcpProxy } from './proxy.js';

/** One client's way to every member, numbered as they are. */
export class Way {
  constructor(private readonly proxies: readonly TcpProxy[]) {}

  /** For ETCD_ENDPOINTS. */
  get url(): string {
    return this.proxies.map(({ url }) => url).join(',');
  }

  /** How many requests each member was sent so far. */
  get requests(): number[] {
    return this.proxies.map(({ requests }) => requests);
  }

  /** A black hole towards these members, or all: connections stay, nothing passes either way until `heal`. */
  cut(...which: number[]): void {
    for (const proxy of this.#chosen(which)) proxy.pause();
  }

  /** Answers of these members, or of all, are kept from the client until `heal`. */
  swallowReplies(...which: number[]): void {
    for (const proxy of this.#chosen(which)) proxy.swallowReplies();
  }

  /** Everything passes again, what was held first. */
  heal(): void {
    for (const proxy of this.proxies) proxy.resume();
  }

  /** Ends every connection, with whatever is held. */
  drop(): void {
    for (const proxy of this.proxies) proxy.cut();
  }

  async close(): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
  }

  #chosen(which: readonly number[]): readonly TcpProxy[] {
    return which.length === 0 ? this.proxies : which.map((at) => this.proxies[at] as TcpProxy);
  }
}
