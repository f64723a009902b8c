// Callers that ask several drivers for addresses and give them back, over and over, and remember when they were granted
// one. Refuses to know what happens to etcd meanwhile.
import { DriverProcess } from './driver-process.js';
import { eventually, sleep } from './process.js';

const SUBNET = '10.66.0.0/22';
/** A caller rests so long after a grant, so that a small machine has time for what is tested. */
const REST_MS = 20;
const REFUSED_REST_MS = 100;
const TIMER_MS = 20;

interface Grant {
  readonly at: number;
  readonly driver: DriverProcess;
}

export interface LoadOptions {
  readonly drivers: number;
  /** Callers in all, each with one call under way. */
  readonly callers: number;
  /** What the nth driver takes for its etcd. */
  readonly etcd: (nth: number) => string | Promise<string>;
  /** Further settings of the nth driver, or of each. */
  readonly env?: Record<string, string> | ((nth: number) => Record<string, string>);
}

export class Load implements AsyncDisposable {
  readonly drivers: readonly DriverProcess[];
  /** `10.66.0.9 was granted to node-1 while node-0 had it`; empty if all is well. */
  readonly twice: string[] = [];
  /** What calls were refused with. */
  readonly errors: { readonly at: number; readonly text: string }[] = [];
  /** How long the longest call took, in ms. */
  longestCall = 0;
  released = 0;
  readonly #late: { readonly at: number; readonly ms: number }[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #pools: readonly string[];
  readonly #grants: Grant[] = [];
  readonly #held = new Map<string, string>();
  readonly #callers: Promise<void>[] = [];
  #stopping = false;

  private constructor(drivers: readonly DriverProcess[], pools: readonly string[]) {
    this.drivers = drivers;
    this.#pools = pools;
    let due = performance.now() + TIMER_MS;
    this.#timer = setInterval(() => {
      const at = performance.now();
      this.#late.push({ at, ms: at - due });
      due = at + TIMER_MS;
    }, TIMER_MS);
  }

  /** Resolves once each driver has granted an address. */
  static async start({ drivers, callers, etcd, env = {} }: LoadOptions): Promise<Load> {
    const started: DriverProcess[] = [];
    const envOf = typeof env === 'function' ? env : () => env;
    const begin = async (nth: number) =>
      void started.push(await DriverProcess.start(await etcd(nth), `node-${nth}`, callers, envOf(nth)));
    try {
      await Promise.all(Array.from({ length: drivers }, (_, nth) => begin(nth)));
      const ask = { AddressSpace: 'local', Pool: SUBNET, SubPool: '', Options: {}, V6: false };
      const join = async ({ client, node }: DriverProcess) => {
        const { json, text } = await client.call('/IpamDriver.RequestPool', ask);
        if (!json?.PoolID) throw new Error(`${node}: ${text}`);
        return json.PoolID as string;
      };
      const load = new Load(started, await Promise.all(started.map(join)));
      for (let nth = 0; nth < callers; nth++) load.#callers.push(load.#keepCalling(nth % drivers));
      await load.everyoneGrants();
      return load;
    } catch (cause) {
      await Promise.all(started.map((driver) => driver.stop()));
      throw cause;
    }
  }

  get granted(): number {
    return this.#grants.length;
  }

  /** Resolves once each driver has granted an address that was asked for before it or after. */
  async everyoneGrants(withinMs = 60_000): Promise<void> {
    const from = performance.now();
    const granting = () => new Set(this.#grants.filter(({ at }) => at > from).map(({ driver }) => driver)).size;
    await eventually('every driver grants an address', () => granting() === this.drivers.length, withinMs, 20);
  }

  /** The longest time after `from` in which any one driver granted nothing, in ms. */
  longestGap(from: number): number {
    const now = performance.now();
    return Math.max(...this.drivers.map((driver) => this.#gap(driver, from, now)));
  }

  /** How late the machine woke this process up at worst after `from`, in ms: whatever has several steps is later by more. */
  lateness(from: number): number {
    return Math.max(0, ...this.#late.filter(({ at }) => at > from).map(({ ms }) => ms));
  }

  /** The callers finish their calls and give back what they have. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#callers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    await Promise.all(this.drivers.map((driver) => driver.stop()));
    await Promise.allSettled(this.#callers);
  }

  #gap(driver: DriverProcess, from: number, to: number): number {
    const times = this.#grants.filter((grant) => grant.driver === driver && grant.at > from).map(({ at }) => at);
    return Math.max(...[...times, to].map((at, nth) => at - (times[nth - 1] ?? from)));
  }

  async #keepCalling(nth: number): Promise<void> {
    const [driver, PoolID] = [this.drivers[nth] as DriverProcess, this.#pools[nth] as string];
    while (!this.#stopping) {
      const address = await this.#take(driver, PoolID);
      await sleep(address === undefined ? REFUSED_REST_MS : REST_MS);
      if (address === undefined) continue;
      this.#held.delete(address);
      const { status, text } = await this.#call(driver, 'ReleaseAddress', { PoolID, Address: address });
      if (status === 200) this.released++;
      else this.errors.push({ at: performance.now(), text });
    }
  }

  async #take(driver: DriverProcess, PoolID: string): Promise<string | undefined> {
    const { json, text } = await this.#call(driver, 'RequestAddress', { PoolID, Address: '', Options: null });
    const at = performance.now();
    const address = json?.Address?.split('/')[0] as string | undefined;
    if (address === undefined) {
      this.errors.push({ at, text });
      return undefined;
    }
    const other = this.#held.get(address);
    if (other !== undefined) this.twice.push(`${address} was granted to ${driver.node} while ${other} had it`);
    this.#held.set(address, driver.node);
    this.#grants.push({ at, driver });
    return address;
  }

  async #call(driver: DriverProcess, name: string, body: object) {
    const asked = performance.now();
    try {
      return await driver.client.call(`/IpamDriver.${name}`, body);
    } catch (cause) {
      return { status: 0, text: String(cause), json: undefined };
    } finally {
      this.longestCall = Math.max(this.longestCall, performance.now() - asked);
    }
  }
}
