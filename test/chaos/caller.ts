// An engine's way of calling its driver: what is repeated, what is given up, and what is written down of it. Knows no network.
import { setMaxListeners } from 'node:events';
import type { ChaosDriver } from './drivers.js';
import type { Call, History, Name } from './history.js';

const DIAL_FOR_MS = 15_000;
const FIRST_PAUSE_MS = 100;
/** What a dial ends with: the driver has seen nothing of the call. */
const NOT_SENT = new Set(['ENOENT', 'ECONNREFUSED']);

/** What is known of a call besides its body. */
export interface About {
  readonly place?: string;
  readonly join?: string;
  readonly address?: string;
}

export class Caller {
  /** Counts calls without body that were granted something. */
  emptyGranted = 0;
  /** While it is set, calls that wait for an answer are given up after so many milliseconds. */
  patience: (() => number) | undefined;
  #ended = lasting();

  constructor(
    private readonly node: string,
    private readonly drivers: readonly ChaosDriver[],
    private readonly history: History,
    private readonly pick: () => number,
  ) {}

  /** The engine's process ends: nobody hears what is still to be said. */
  die(): void {
    this.#ended.abort();
    this.#ended = lasting();
    for (const driver of this.drivers) driver.hangUp();
  }

  /** `at`: which of the node's drivers; any of them unless given. */
  async call(name: Name, body: object | undefined, about: About = {}, at = this.pick()): Promise<Call> {
    const driver = this.drivers[at % this.drivers.length]!;
    const asked = performance.now();
    const call = this.history.begin({ name, node: this.node, ...about, asked, limit: 0 });
    const ended = this.#ended.signal;
    let sentAt = asked;
    for (let pause = FIRST_PAUSE_MS; ; pause *= 2) {
      try {
        const answer = await driver.client.call(`/IpamDriver.${name}`, body, { signal: this.#impatient(ended) });
        call.limit = driver.limitOf(sentAt);
        this.#told(call, answer);
        return call;
      } catch (error) {
        const sent = !NOT_SENT.has((error as NodeJS.ErrnoException).code ?? '');
        if (!sent && !ended.aborted && !this.history.over && performance.now() - asked < DIAL_FOR_MS) {
          await new Promise((resolve) => setTimeout(resolve, pause));
          sentAt = performance.now();
          continue;
        }
        this.history.end(call, sent ? 'unknown' : 'failed', { said: String(error) });
        if (sent && !ended.aborted) await this.#repeatEmpty(driver, name);
        return call;
      }
    }
  }

  #impatient(ended: AbortSignal): AbortSignal {
    return this.patience ? AbortSignal.any([ended, AbortSignal.timeout(this.patience())]) : ended;
  }

  /** An engine's retry of a call whose body had been read (moby#35459). */
  async #repeatEmpty(driver: ChaosDriver, name: Name): Promise<void> {
    if (name === 'GetCapabilities') return;
    const answer = await driver.client.call(`/IpamDriver.${name}`).catch(() => undefined);
    if (answer?.status === 200) this.emptyGranted++;
  }

  // biome-ignore lint/suspicious/noExplicitAny: what a driver answers is looked at field by field
  #told(call: Call, { status, json, text }: { status: number; json: any; text: string }): void {
    if (status !== 200) this.history.end(call, 'failed', { said: json?.Err ?? text });
    else if (call.name === 'RequestPool') {
      const [, space, subnet, join] = /^([^/]+)\/([^?]+)\?.*join=([0-9a-f]{16})$/.exec(json.PoolID) ?? [];
      this.history.end(call, 'granted', { given: json.PoolID, place: `${space} ${subnet}`, ...(join && { join }) });
    } else if (call.name === 'RequestAddress') this.history.end(call, 'granted', { given: json.Address.split('/')[0] });
    else this.history.end(call, call.name === 'GetCapabilities' ? 'answered' : 'released');
  }
}

/** Every call under way listens to it. */
function lasting(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}
