// What is drawn in a run: all of it follows from the seed, as far as the machine lets it.
import { chance } from '../support/sequences.js';

export class Draw {
  readonly #next: () => number;

  constructor(seed: string) {
    this.#next = chance(seed);
    for (let i = 0; i < 8; i++) this.#next();
  }

  /** 0 <= n < bound. */
  below(bound: number): number {
    return this.#next() % bound;
  }

  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True in so many of a hundred. */
  percent(share: number): boolean {
    return this.below(100) < share;
  }

  of<T>(items: readonly T[]): T | undefined {
    return items[this.below(Math.max(1, items.length))];
  }

  shuffled<T>(items: readonly T[]): T[] {
    const rest = [...items];
    return items.map(() => rest.splice(this.below(rest.length), 1)[0]!);
  }
}
