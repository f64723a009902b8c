// Engines' containers that come and go through several drivers for as long as a soak lasts, as many coming as going.
// Refuses to know what is measured meanwhile.
import type { DriverProcess } from '../support/driver-process.js';
import { chance } from '../support/sequences.js';
import { AS } from '../support/whole-driver.js';

const SUBNET = '10.66.0.0/16';
/** A caller has at most as many containers at a time. */
const MOST = 8;
/** Of a caller's containers one in so many is started with an --ip. */
const STATIC = 8;

interface Pool {
  readonly driver: DriverProcess;
  readonly id: string;
}

export class Callers {
  calls = 0;
  refused = 0;
  /** What must not happen: an address given twice, a call that failed. */
  readonly faults: string[] = [];
  readonly #holders = new Map<string, string>();
  readonly #pools: readonly Pool[];

  private constructor(pools: readonly Pool[]) {
    this.#pools = pools;
  }

  /** One network of the same subnet on each driver. */
  static async join(drivers: readonly DriverProcess[]): Promise<Callers> {
    const ask = { AddressSpace: 'local', Pool: SUBNET, SubPool: '', Options: {}, V6: false };
    const join = async (driver: DriverProcess) => {
      const { json, text } = await driver.client.call('/IpamDriver.RequestPool', ask);
      if (!json?.PoolID) throw new Error(`${driver.node}: ${text}`);
      return { driver, id: json.PoolID as string };
    };
    return new Callers(await Promise.all(drivers.map(join)));
  }

  /** `inFlight` calls at a time on each driver until `over`, and then everything is given back. */
  async run(seed: string, inFlight: number, over: () => boolean): Promise<void> {
    const callers = this.#pools.flatMap((pool, nth) =>
      Array.from({ length: inFlight }, (_, i) => this.#caller(pool, chance(`${seed} ${nth} ${i}`), over)),
    );
    await Promise.all(callers);
  }

  /** The networks end. */
  async leave(): Promise<void> {
    for (const { driver, id } of this.#pools) await this.#call(driver, 'ReleasePool', { PoolID: id });
  }

  async #caller({ driver, id }: Pool, next: () => number, over: () => boolean): Promise<void> {
    const held: string[] = [];
    while (!over()) {
      const comes = held.length === 0 || (held.length < MOST && next() % 2 === 0);
      if (comes) await this.#come(driver, id, held, next);
      else await this.#go(driver, id, held.splice(next() % held.length, 1)[0]!);
    }
    for (const address of held) await this.#go(driver, id, address);
  }

  async #come(driver: DriverProcess, PoolID: string, held: string[], next: () => number): Promise<void> {
    const named = next() % STATIC === 0;
    const Address = named ? `10.66.${128 + (next() % 128)}.${1 + (next() % 254)}` : '';
    const answer = await this.#call(driver, 'RequestAddress', { PoolID, Address, Options: AS.named(`c${next()}`) });
    const address = answer?.json?.Address?.split('/')[0] as string | undefined;
    if (address === undefined) {
      if (named && / is held by /.test(answer?.json?.Err)) this.refused++;
      else if (answer) this.faults.push(`${driver.node}: ${answer.text}`);
      return;
    }
    const other = this.#holders.get(address);
    if (other !== undefined) this.faults.push(`${address} was given to ${driver.node} while ${other} had it`);
    this.#holders.set(address, driver.node);
    held.push(address);
  }

  async #go(driver: DriverProcess, PoolID: string, Address: string): Promise<void> {
    this.#holders.delete(Address);
    const answer = await this.#call(driver, 'ReleaseAddress', { PoolID, Address });
    if (answer && answer.status !== 200) this.faults.push(`${driver.node}: ${answer.text}`);
  }

  async #call(driver: DriverProcess, name: string, body: object) {
    this.calls++;
    try {
      return await driver.client.call(`/IpamDriver.${name}`, body);
    } catch (cause) {
      this.faults.push(`${driver.node}: ${name}: ${cause}`);
      return undefined;
    }
  }
}
