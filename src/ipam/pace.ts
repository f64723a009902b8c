// Looks at the store that are asked for again and again, however fast: soon they are shared by all who wait, and few. Knows
// nothing of what is looked at.
import type { Deadline } from './store.js';
import type { Surroundings } from './surroundings.js';

/** Between the beginnings of two looks: none at first, then 1 ms, and twice as long each time up to this. */
const LONGEST_MS = 250;
/** After so long without one the next is again the first. */
const CALM_MS = 1_000;

export class Pace<T> {
  readonly #around: Pick<Surroundings, 'millis' | 'pause'>;
  readonly #look: (by: Deadline) => Promise<T>;
  #gapMs = 0;
  #next = Number.NEGATIVE_INFINITY;
  #waiting: Promise<T> | undefined;
  /** The latest deadline of those who wait. */
  #by = Number.NEGATIVE_INFINITY;

  constructor(around: Pick<Surroundings, 'millis' | 'pause'>, look: (by: Deadline) => Promise<T>) {
    this.#around = around;
    this.#look = look;
  }

  /** Of a look that begins after this call. */
  async look(by: Deadline): Promise<T> {
    const now = this.#around.millis();
    if (now - this.#next > CALM_MS) this.#gapMs = 0;
    const wait = this.#next - now;
    if (wait <= 0 || by - now < 2 * wait) return this.#begin(by);
    this.#by = Math.max(this.#by, by);
    this.#waiting ??= this.#around.pause(wait).then(() => {
      const latest = this.#by;
      [this.#waiting, this.#by] = [undefined, Number.NEGATIVE_INFINITY];
      return this.#begin(latest);
    });
    return this.#waiting;
  }

  #begin(by: Deadline): Promise<T> {
    this.#gapMs = Math.min(Math.max(1, 2 * this.#gapMs), LONGEST_MS);
    this.#next = this.#around.millis() + this.#gapMs;
    return this.#look(by);
  }
}
