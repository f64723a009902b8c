// What was started and must be stopped, last started first. Refuses to know what any of it is.

export interface Failure {
  readonly name: string;
  readonly error: unknown;
}

interface Releaser {
  readonly name: string;
  readonly release: () => unknown;
}

/** Each start pushes how it is undone; one stop undoes all. */
export class Releasers {
  readonly #stack: Releaser[] = [];
  #stopping: Promise<Failure[]> | undefined;

  /** `name` reads well after "stop": "the session". Once stopping, what is pushed is released at once. */
  push(name: string, release: () => unknown): void {
    if (this.#stopping) void call({ name, release });
    else this.#stack.push({ name, release });
  }

  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  /**
   * Runs every releaser, each after the one before has settled, and resolves with those that failed. `withinMs` is for
   * all together: when it has passed, the one that hangs counts as failed and the rest are still called, one after the
   * other, but no longer waited for. A second call gets the first one's answer.
   */
  release(withinMs = 10_000): Promise<Failure[]> {
    this.#stopping ??= this.#release(withinMs);
    return this.#stopping;
  }

  async #release(withinMs: number): Promise<Failure[]> {
    const failures: Failure[] = [];
    let late = false;
    let timer: NodeJS.Timeout | undefined;
    const timeUp = new Promise<'time up'>((resolve) => {
      timer = setTimeout(resolve, withinMs, 'time up');
    });
    for (let next = this.#stack.pop(); next; next = this.#stack.pop()) {
      const called = call(next);
      if (late) continue;
      const result = await Promise.race([called, timeUp]);
      late = result === 'time up';
      if (late) failures.push({ name: next.name, error: new Error(`not stopped within ${withinMs} ms`) });
      else if (typeof result === 'object') failures.push(result);
    }
    clearTimeout(timer);
    return failures;
  }
}

/** Never rejects. */
async function call({ name, release }: Releaser): Promise<Failure | undefined> {
  try {
    await release();
    return undefined;
  } catch (error) {
    return { name, error };
  }
}
