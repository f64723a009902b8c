// etcd's room, the versions of a session's key: which of them was handed out last, and up to which nothing that compares one can
// commit any more. Refuses to ask etcd anything.

export class Versions {
  #newest = 0n;
  #dead = 0n;
  /** Tokens under which the key may stand in etcd as our own doing. */
  #ours = new Set<string>();

  /** The newest ever adopted; none newer was handed out. */
  get newest(): bigint {
    return this.#newest;
  }

  /** Whether it, and all before it, have been seen overwritten or deleted. */
  isDead(version: bigint): boolean {
    return version <= this.#dead;
  }

  /** Whether the key may have been written by this process. */
  isOurs(token: string): boolean {
    return this.#ours.has(token);
  }

  /** The key is being put with that token. */
  writing(token: string): void {
    this.#ours.add(token);
  }

  /** The key stands at that version, as our own doing. False, and nothing is changed, where a newer one was seen. */
  adopt(version: bigint, token: string): boolean {
    if (version <= this.#newest) return false;
    this.#newest = version;
    this.bury(version - 1n);
    // Whatever other attempts are still under way, they compare an older version of the key or of the node record.
    this.#ours = new Set([token]);
    return true;
  }

  /** The key was seen at a later version, or not at all, at that revision. False where that was known. */
  bury(revision: bigint): boolean {
    if (revision <= this.#dead) return false;
    this.#dead = revision;
    return true;
  }

  /** Of an etcd that is gone: none of them stands in the one that answers now. */
  forget(): void {
    this.#newest = 0n;
    this.#dead = 0n;
  }
}
