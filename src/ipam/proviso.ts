// A store whose every commit also compares something, and fails for good once that does not hold: so that work of many
// steps goes by what it was begun on.
import type { IpamError } from './errors.js';
import type { Answers, Change, Condition, Deadline, Outcome, Query, Store } from './store.js';

export class Proviso implements Store {
  readonly #store: Store;
  readonly #still: readonly Condition[];
  readonly #broken: () => IpamError;

  constructor(store: Store, still: readonly Condition[], broken: () => IpamError) {
    this.#store = store;
    this.#still = still;
    this.#broken = broken;
  }

  read<const Q extends readonly Query[]>(queries: Q, by: Deadline): Promise<Answers<Q>> {
    return this.#store.read(queries, by);
  }

  async commit<const Q extends readonly Query[]>(change: Change<Q>, by: Deadline): Promise<Outcome<Q>> {
    const outcome = await this.#store.commit({ ...change, when: [...change.when, ...this.#still] }, by);
    if (!outcome.done && !(await this.#holds(by))) throw this.#broken();
    return outcome;
  }

  seen() {
    return this.#store.seen();
  }

  /** By versions alone: whoever cannot read a record can compare it. What came into a span since is the commit's to say. */
  async #holds(by: Deadline): Promise<boolean> {
    const queries = this.#still.map(
      (one): Query => ('none' in one ? { count: one.none } : { one: { key: one.key.key, decode: (json) => json } }),
    );
    const answers = (await this.#store.read(queries, by)) as (number | { version: string } | undefined)[];
    return this.#still.every((one, at) => {
      const answer = answers[at];
      if ('none' in one) return answer === 0 || one.newerThan !== undefined;
      return ((answer as { version: string } | undefined)?.version ?? null) === one.version;
    });
  }
}
