// A store with a line that a test can cut, delay and listen on, between one process and its records. Decides nothing.
import { InDoubtError, IpamError } from '../../src/ipam/errors.js';
import type { Answers, Change, Deadline, Outcome, Query, Store, Version } from '../../src/ipam/store.js';

type AnyChange = Change<readonly Query[]>;

export class Link implements Store {
  readonly #inner: Store;
  /** True: nothing is sent, every call fails as if nobody answered. */
  away = false;
  /** Called before each commit or read is sent: the place to let somebody else go first. */
  beforeCommit: (change: AnyChange) => void | Promise<void> = () => undefined;
  beforeRead: (queries: readonly Query[]) => void | Promise<void> = () => undefined;
  commits = 0;
  /** Commits that were lost. */
  lost = 0;
  reads = 0;
  #doubt: ((change: AnyChange, by: Deadline) => Promise<Outcome<readonly Query[]>>) | undefined;

  constructor(inner: Store) {
    this.#inner = inner;
  }

  seen(): Version | undefined {
    return this.#inner.seen();
  }

  async read<const Q extends readonly Query[]>(queries: Q, by: Deadline): Promise<Answers<Q>> {
    await this.beforeRead(queries);
    this.#reach();
    this.reads++;
    return this.#inner.read(queries, by);
  }

  async commit<const Q extends readonly Query[]>(change: Change<Q>, by: Deadline): Promise<Outcome<Q>> {
    await this.beforeCommit(change);
    this.#reach();
    const doubt = this.#doubt;
    this.#doubt = undefined;
    if (doubt) return (await doubt(change, by)) as Outcome<Q>;
    this.commits++;
    const outcome = await this.#inner.commit(change, by);
    if (!outcome.done) this.lost++;
    return outcome;
  }

  /** Before the next commit of this process is sent, `first` happens; once. */
  beforeNext(first: () => Promise<unknown>): void {
    this.beforeCommit = async () => {
      this.beforeCommit = () => undefined;
      await first();
    };
  }

  /**
   * The next commit is sent, but its answer never comes: a grant ends in doubt until `settle` is called with what the
   * store found out, another change is told what there is now. `meanwhile` happens before anybody looks.
   */
  loseAnswer(meanwhile: () => Promise<unknown> = async () => undefined): { settle(committed: boolean): void } {
    let settle: (committed: boolean) => void = () => undefined;
    const settled = new Promise<boolean>((resolve) => {
      settle = resolve;
    });
    this.#doubt = async (change, by) => {
      await this.#inner.commit(change, by);
      await meanwhile();
      if (change.witness) throw new InDoubtError('the answer was lost', settled);
      return { done: false, seen: await this.#inner.read(change.otherwise, by) };
    };
    return { settle };
  }

  /** The next commit, which must not be a grant, is stuck on its way: not done as far as its sender knows, until it lands. */
  stick(): { land(): Promise<boolean> } {
    let stuck: AnyChange | undefined;
    this.#doubt = async (change, by) => {
      if (change.witness) throw new Error('a stuck grant is fenced by the store itself');
      stuck = change;
      return { done: false, seen: await this.#inner.read(change.otherwise, by) };
    };
    return {
      land: async () => {
        if (!stuck) throw new Error('nothing got stuck');
        return (await this.#inner.commit(stuck, performance.now() + 5_000)).done;
      },
    };
  }

  #reach(): void {
    if (this.away) throw new IpamError('unavailable', 'the store is away');
  }
}
