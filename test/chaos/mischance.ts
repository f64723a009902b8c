// The faults of a plan at work: when each begins, what has to be over by then, and which came about. Refuses to know what they do.
import { Late, sleep } from '../support/process.js';
import { type Fault, type Kind, told, type World, ways } from './faults.js';

/** Faults under way, each kind of target one after the other. */
export class Faults {
  #broken: unknown;
  readonly #queues = new Map<string, Promise<void>>();
  /** How many calls were under way when a fault of the kind began, of those that came about. */
  readonly begun = new Map<Kind, number[]>();
  /** Those that did not, on a machine that was too busy for them. */
  readonly missed: string[] = [];

  constructor(
    private readonly world: World,
    private readonly underWay: () => number,
  ) {}

  /** Resolves when all of them are over and healed. */
  async run(faults: readonly Fault[]): Promise<void> {
    const began = performance.now();
    for (const fault of faults) {
      while (!this.world.history.over && performance.now() < began + fault.atMs)
        await sleep(Math.min(200, Math.max(0, began + fault.atMs - performance.now())));
      if (this.world.history.over) break;
      const { on } = ways[fault.kind];
      const queue = on === 'driver' ? `driver ${fault.which % this.world.engines.length}` : on;
      const all = [...this.world.engines.keys()].map((at) => `driver ${at}`).concat('member', 'all');
      const queues = on === 'world' ? all : [queue];
      const over = Promise.all(queues.map((name) => this.#queues.get(name)))
        .then(() => this.#one(fault))
        .catch((error) => {
          this.#broken ??= error;
        });
      for (const name of queues) this.#queues.set(name, over);
    }
    await Promise.all(this.#queues.values());
    if (this.#broken) throw this.#broken;
  }

  async #one(fault: Fault): Promise<void> {
    const met = this.underWay();
    try {
      await ways[fault.kind].act(this.world, fault);
      this.begun.set(fault.kind, [...(this.begun.get(fault.kind) ?? []), met]);
    } catch (cause) {
      // What has begun and is not healed is none that did not come about.
      if (!(cause instanceof Late) || ways[fault.kind].most > 0)
        throw new Error(`the fault "${told(fault)}" failed: ${cause instanceof Error ? cause.message : cause}`, {
          cause,
        });
      this.missed.push(`${told(fault)}: ${cause.message}`);
    }
  }
}
