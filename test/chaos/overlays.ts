// The swarm's network on the hosts that run tasks: it comes with the first of them, with its load balancer, and goes with the
// last. Refuses to know who leads, and which addresses there are.
import type { Container, Engine, Network } from './engine.js';

/** What the leader gave an address. */
interface Placed {
  readonly who: string;
  readonly address: string;
}

interface Overlay {
  readonly network: Network;
  readonly balancer: Container;
  tasks: number;
}

export interface Running {
  readonly overlay: Overlay;
  readonly container: Container;
}

export class Overlays {
  readonly #overlays = new Map<number, Overlay>();
  readonly #locks = new Map<number, Promise<unknown>>();

  constructor(
    private readonly subnet: string,
    private readonly engines: readonly Engine[],
  ) {}

  has(at: number): boolean {
    return this.#overlays.has(at);
  }

  /** A task's container; undefined when it could not be started. `made`: what the network is to be made with. */
  start(
    at: number,
    { who, address }: Placed,
    made: () => { gateway: string; balancer: Placed | undefined },
  ): Promise<Running | undefined> {
    return this.#on(at, async () => {
      const overlay = this.#overlays.get(at) ?? (await this.#join(at, made()));
      const container = overlay && (await this.engines[at]!.run(overlay.network, who, address));
      if (overlay && container) overlay.tasks++;
      else if (overlay && overlay.tasks === 0) await this.#leave(at);
      return overlay && container && { overlay, container };
    });
  }

  stop(at: number, { overlay, container }: Running): Promise<void> {
    return this.#on(at, async () => {
      await this.engines[at]!.stop(overlay.network, container);
      if (--overlay.tasks === 0) await this.#leave(at);
    });
  }

  /** The overlay comes to a worker: pool, gateway, load balancer. */
  async #join(at: number, { gateway, balancer }: { gateway: string; balancer: Placed | undefined }) {
    const engine = this.engines[at]!;
    if (!balancer) return undefined;
    const network = await engine.create({ subnet: this.subnet, gateway, swarm: true });
    if (!network) return undefined;
    const container = await engine.run(network, balancer.who, balancer.address);
    if (!container) {
      await engine.remove(network);
      return undefined;
    }
    const overlay = { network, balancer: container, tasks: 0 };
    this.#overlays.set(at, overlay);
    return overlay;
  }

  async #leave(at: number): Promise<void> {
    const overlay = this.#overlays.get(at)!;
    this.#overlays.delete(at);
    await this.engines[at]!.stop(overlay.network, overlay.balancer);
    await this.engines[at]!.remove(overlay.network);
  }

  #on<T>(at: number, act: () => Promise<T>): Promise<T> {
    const before = this.#locks.get(at) ?? Promise.resolve();
    const done = before.then(act, act);
    this.#locks.set(at, done);
    return done;
  }
}
