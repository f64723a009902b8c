// One at a time per key, in the order of arrival. Knows nothing of what waits.

export class KeyedQueue {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs the task once all earlier ones of that key have ended, well or badly. */
  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const result = before.then(task, task);
    const tail = result.then(
      () => undefined,
      () => undefined,
    );
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return result;
  }
}
