// etcd's room, waiting: for a promise or for a change, never beyond a deadline. Refuses to know what is waited for.

import type { Deadline } from '../ipam/store.js';

/** Until the promise is settled, whose rejection passes on, or `by`. Leaves no timer behind. */
export async function until(promise: Promise<unknown>, by: Deadline): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, by - performance.now()));
  });
  await Promise.race([promise, end]).finally(() => clearTimeout(timer));
}

/** Something changed: everybody who waits looks again. */
export class Signal {
  #waiting: Promise<void>;
  #release = () => {};

  constructor() {
    this.#waiting = this.#renewed();
  }

  raise(): void {
    const release = this.#release;
    this.#waiting = this.#renewed();
    release();
  }

  wait(by: Deadline): Promise<void> {
    return until(this.#waiting, by);
  }

  #renewed(): Promise<void> {
    return new Promise((resolve) => {
      this.#release = resolve;
    });
  }
}
