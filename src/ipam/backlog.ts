// Work that was promised and must be finished although the store is away: releases and undos. Kept in memory only.
import { IpamError } from './errors.js';
import type { Deadline } from './store.js';
import type { Surroundings } from './surroundings.js';

const TRY_MS = 5_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
/** The session of the boot before has the node's name for its TTL; another machine may have it for ever. */
const NAME_MS = 60_000;

export class Backlog {
  readonly #around: Surroundings;
  readonly #report: (what: string, error: unknown) => void;
  #pending = 0;
  #closed = false;
  readonly #idle: (() => void)[] = [];

  constructor(around: Surroundings, report: (what: string, error: unknown) => void) {
    this.#around = around;
    this.#report = report;
  }

  get pending(): number {
    return this.#pending;
  }

  /** Repeats the task, which must be safe to repeat, until it succeeds or fails for good, and then resolves. */
  add(what: string, task: (by: Deadline) => Promise<void>): Promise<void> {
    this.#pending++;
    return this.#drive(what, task).finally(() => {
      if (--this.#pending === 0) for (const wake of this.#idle.splice(0)) wake();
    });
  }

  /** Adds the task if and when the doubt turns out to have been a commit. */
  addIf(settled: Promise<boolean>, what: string, task: (by: Deadline) => Promise<void>): void {
    void this.add(what, async (by) => {
      if (await settled) await task(by);
    });
  }

  /** Resolves when nothing is pending, or after `ms`; true if nothing is. */
  async drain(ms: number): Promise<boolean> {
    if (this.#pending > 0)
      await Promise.race([new Promise<void>((wake) => this.#idle.push(wake)), this.#around.pause(ms)]);
    this.#closed = true;
    return this.#pending === 0;
  }

  async #drive(what: string, task: (by: Deadline) => Promise<void>): Promise<void> {
    const named = this.#around.millis() + NAME_MS;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        return await task(this.#around.millis() + TRY_MS);
      } catch (error) {
        if (this.#closed || !isPassing(error, this.#around.millis() < named)) return this.#report(what, error);
        await this.#around.pause(pause);
      }
    }
  }
}

/** `early`: the node's name may still be the boot before's. */
function isPassing(error: unknown, early: boolean): boolean {
  if (!(error instanceof IpamError)) return false;
  return error.kind === 'unavailable' || error.code === 'contended' || (early && error.code === 'node_name_taken');
}
