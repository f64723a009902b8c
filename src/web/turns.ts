// Keeps readers of the operators' port from crowding out engines: few read etcd at once, the others wait or are sent away,
// and each gives way between two reads. Knows no request.
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { IpamError } from '../ipam/errors.js';
import type { Store } from '../ipam/store.js';

const AT_ONCE = 2;
const MOST_WAITING = 64;

export class Turns {
  #under = 0;
  readonly #waiting: (() => void)[] = [];

  /** Rejects with `unavailable` where too many wait. Waits for nobody who has gone by then: `signal`. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#under >= AT_ONCE) {
      if (this.#waiting.length >= MOST_WAITING) throw new IpamError('unavailable', 'too many ask at once; try again');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#under++;
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#under--;
    }
  }
}

/** For so long at most is one step put off while engines wait: who looks on is to see something in the end. */
const LONGEST_MS = 100;
const STEP_MS = 2;

/** What came in meanwhile goes first, and so do engines that wait for an answer (`busy`). */
export async function giveWay(busy: () => boolean): Promise<void> {
  await nextTurn();
  const until = performance.now() + LONGEST_MS;
  while (busy() && performance.now() < until) await sleep(STEP_MS);
}

/** Gives way before each read. Nothing is read for whoever has gone, and nothing is ever written. */
export function politely(store: Pick<Store, 'read' | 'seen'>, busy: () => boolean, signal: AbortSignal): Store {
  return {
    seen: () => store.seen(),
    read: async (queries, by) => {
      await giveWay(busy);
      signal.throwIfAborted();
      return store.read(queries, by);
    },
    commit: () => Promise.reject(new IpamError('internal', 'the page and its API change nothing')),
  };
}
