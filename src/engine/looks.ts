// When the engine is looked at: at the start, at an interval, and soon after it has begun anew. Never while a call waits,
// and one look at a time.
import { setTimeout as sleep } from 'node:timers/promises';

const INTERVAL_MS = 30_000;
/** After an engine asked who we are, it restores its networks before its API answers. */
const SOON_MS = 3_000;
/** A look reads every claim of the subnets it compares: so the more there are, the rarer, some 100 claims a second. */
const PAUSE_PER_CLAIM_MS = 10;

export interface LooksOptions {
  /** IPAM_RECONCILE_GRACE: two looks at least fit into it. */
  readonly graceMs: number;
  /** One look; resolves with how many claims it read. */
  readonly look: () => Promise<number>;
  /** Of the first of looks that fail in a row, and of the first that does not after them. */
  readonly report: (failed: unknown) => void;
}

export class Looks {
  readonly #options: LooksOptions;
  readonly #stopped = new AbortController();
  #wake = new AbortController();
  #soon = false;
  #running = false;

  constructor(options: LooksOptions) {
    this.#options = options;
  }

  start(): void {
    if (!this.#running) void this.#run();
    this.#running = true;
  }

  /** The engine has begun anew. */
  soon(): void {
    this.#soon = true;
    this.#wake.abort();
  }

  /** Waits for nothing: an engine that stops beside us hangs, and a change that lands late compares what it changes. */
  stop(): void {
    this.#stopped.abort();
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    let failing = false;
    while (!this.#stopped.signal.aborted) {
      let claims = 0;
      try {
        claims = await this.#options.look();
        if (failing) this.#options.report(undefined);
        failing = false;
      } catch (error) {
        if (!failing && !this.#stopped.signal.aborted) this.#options.report(error);
        failing = true;
      }
      await this.#pause(Math.max(Math.min(INTERVAL_MS, this.#options.graceMs / 3), claims * PAUSE_PER_CLAIM_MS));
    }
  }

  /** Ends early when the engine has begun anew, and then waits for it to be done with its beginning. */
  async #pause(ms: number): Promise<void> {
    if (!this.#soon) await until(ms, this.#wake.signal);
    this.#wake = new AbortController();
    if (!this.#soon) return;
    this.#soon = false;
    await until(Math.min(SOON_MS, ms), this.#stopped.signal);
  }
}

async function until(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
