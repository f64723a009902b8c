// At most one search at a time, shared by all who want what it finds. Knows nothing of what is looked for, nor where.

export class SharedSearch {
  #running: Promise<void> | undefined;

  /** Resolves once a search is done that was under way, or else this one. Rejects only if this one was begun, and did. */
  async run(search: () => Promise<void>): Promise<void> {
    while (this.#running) {
      try {
        return await this.#running;
      } catch {
        // Whoever began it may have had less time than we have.
      }
    }
    this.#running = search().finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }
}
