// Tells what happened a moment later, in order: in time that a reply would otherwise wait for. Refuses to know what is told.

/** About as long as etcd takes: the next call of the same caller is then waiting for it. */
const LATER_MS = 1;

export class Afterwards<T> {
  readonly #tell: (one: T) => void;
  #untold: T[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: (one: T) => void) {
    this.#tell = tell;
  }

  add(one: T): void {
    this.#untold.push(one);
    this.#timer ??= setTimeout(() => this.flush(), LATER_MS);
  }

  /** All of it, now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const untold = this.#untold;
    this.#untold = [];
    for (const one of untold) this.#tell(one);
  }
}
