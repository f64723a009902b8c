// Work that was promised and must be finished although the store is away: releases and undos. Kept in memory only.
import { IpamError } from './errors.js';
import type { Deadline } from './store.js';
import type { Surroundings } from './surroundings.js';

/** What needed all of it has twice as much at the next attempt: to list a large pool may take longer. */
const TRY_MS = 5_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
/**
 * The session of the boot before has the node's name for its TTL; another machine, or a clone of this one, may have it for ever,
 * and what that was asked to release is not ours.
 */
const NAME_MS = 60_000;

export class Backlog {
  readonly #around: Surroundings;
  readonly #report: (what: string, error: unknown) => void;
  #pending = 0;
  #attended = 0;
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
      this.#pending--;
      this.#wakeWhenIdle();
    });
  }

  /** What a caller still waits for; it may come to be queued. Not pending, but not lost without a word either. */
  attend<T>(work: Promise<T>): Promise<T> {
    this.#attended++;
    return work.finally(() => {
      this.#attended--;
      this.#wakeWhenIdle();
    });
  }

  /** Adds the task if and when the doubt turns out to have been a commit. */
  addIf(settled: Promise<boolean>, what: string, task: (by: Deadline) => Promise<void>): void {
    void this.add(what, async (by) => {
      if (await settled) await task(by);
    });
  }

  /** Resolves when nothing is pending or attended, or after `ms`: to how much is. */
  async drain(ms: number): Promise<number> {
    if (this.#left > 0)
      await Promise.race([new Promise<void>((wake) => this.#idle.push(wake)), this.#around.pause(ms)]);
    this.#closed = true;
    return this.#left;
  }

  get #left(): number {
    return this.#pending + this.#attended;
  }

  #wakeWhenIdle(): void {
    if (this.#left === 0) for (const wake of this.#idle.splice(0)) wake();
  }

  async #drive(what: string, task: (by: Deadline) => Promise<void>): Promise<void> {
    const named = this.#around.millis() + NAME_MS;
    let time = TRY_MS;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      const began = this.#around.millis();
      try {
        return await task(began + time);
      } catch (error) {
        const early = this.#around.millis() < named && error instanceof IpamError && error.code === 'node_name_taken';
        if (this.#closed || !(mayPass(error) || early)) return this.#report(what, error);
        // The store gives up somewhat early where what is left is too short for another try.
        if (error.kind === 'unavailable' && this.#around.millis() - began > time / 2) time *= 2;
        await this.#around.pause(pause);
      }
    }
  }
}

/** Whether the same may succeed later. What etcd denies is allowed again once a password or a role has been put right. */
export function mayPass(error: unknown): error is IpamError {
  if (!(error instanceof IpamError)) return false;
  return error.kind === 'unavailable' || error.code === 'contended' || error.code === 'denied';
}
