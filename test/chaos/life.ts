// What goes on on the hosts while things fail: containers that come and go, networks, tasks of the swarm, and releases that are
// late, repeated or sent to the wrong host. Refuses to know what fails.
import { sleep } from '../support/process.js';
import { Draw } from './chance.js';
import type { Container, Engine, Network, Wish } from './engine.js';
import type { History } from './history.js';
import type { Swarm } from './swarm.js';

export const OVERLAY = '10.80.0.0/26';
export const LAN = '10.66.0.0/24';
/** So small that it is full. */
const CROWDED = '10.66.0.0/25';
const AT_ONCE = 32;

export class Life {
  #over = false;
  #broken: unknown;
  readonly #actors: Promise<unknown>[] = [];
  readonly #named = { container: 0 };
  /** Addresses that were given back, with the PoolID that had them. */
  readonly #released: { poolId: string; join: string; address: string; at: number }[] = [];
  readonly #lan: string;

  constructor(
    private readonly engines: readonly Engine[],
    private readonly swarm: Swarm,
    private readonly history: History,
    private readonly seed: number,
    full: boolean,
  ) {
    this.#lan = full ? CROWDED : LAN;
  }

  start(): void {
    this.engines.forEach((engine, at) => {
      for (let i = 0; i < AT_ONCE; i++)
        this.#forever(`container ${at} ${i}`, (draw) => this.#container(engine, at, draw));
      this.#forever(`networks ${at}`, (draw) => this.#networks(engine, draw));
      this.#forever(`mischief ${at}`, (draw) => this.#mischief(engine, at, draw));
      this.#forever(`tasks ${at}`, async (draw) => {
        await this.swarm.task(at, draw.between(50, 1_500));
        await sleep(draw.between(20, 200));
      });
    });
    this.#forever('the overlay', async (draw) => {
      await sleep(draw.between(2_000, 8_000));
      await this.swarm.remove();
    });
  }

  /** Nothing new begins; resolves when all that is under way has ended, while networks and some containers stay. */
  async settle(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#actors);
    if (this.#broken) throw this.#broken;
    for (const engine of this.engines) {
      const network = await this.#network(engine, new Draw(`stay ${this.seed}`));
      for (let i = 0; network && i < 3; i++) await engine.run(network, this.#name());
    }
  }

  /** All of it ends. */
  async end(): Promise<void> {
    for (const engine of this.engines)
      for (const network of [...engine.networks]) {
        for (const container of [...network.containers]) await engine.stop(network, container);
        await engine.remove(network);
      }
    await this.swarm.remove();
  }

  #forever(name: string, act: (draw: Draw) => Promise<unknown>): void {
    const draw = new Draw(`${name} ${this.seed}`);
    const live = async () => {
      while (!this.#over && !this.history.over) await act(draw);
    };
    this.#actors.push(
      live().catch((error) => {
        this.#broken ??= error;
      }),
    );
  }

  /** One container's life: mostly short, some longer than any fault. */
  async #container(engine: Engine, at: number, draw: Draw): Promise<void> {
    const network = await this.#network(engine, draw);
    if (!network || engine.down) return void (await sleep(50));
    const again = draw.percent(15) ? draw.of(this.#released.slice(-20)) : undefined;
    const number = again && network.place.includes('10.66.') && again.poolId.includes('10.66.') ? again.address : '';
    const container = await engine.run(network, this.#name(), number);
    // Nothing is given while etcd is being set back.
    if (!container) return void (await sleep(draw.between(100, 600) * (engine.held ? 4 : 1)));
    await this.#lives(draw);
    // Sometimes another container is to have its address at once, while it is still being given back.
    const next = draw.percent(10) ? engine.run(network, this.#name(), container.address) : undefined;
    await this.#ends(engine, at, network, container);
    const heir = await next;
    if (heir) {
      await this.#lives(draw);
      await this.#ends(engine, at, network, heir);
    }
    await sleep(draw.between(0, 10));
  }

  async #lives(draw: Draw): Promise<void> {
    const ms = draw.percent(4)
      ? draw.between(3_000, 12_000)
      : draw.percent(15)
        ? draw.between(200, 1_500)
        : draw.between(2, 40);
    for (const end = performance.now() + ms; performance.now() < end && !this.#over && !this.history.over; )
      await sleep(Math.min(200, end - performance.now()));
  }

  async #ends(engine: Engine, at: number, network: Network, container: Container): Promise<void> {
    await engine.stop(network, container);
    this.#released.push({ poolId: network.poolId, join: network.join, address: container.address, at });
    if (this.#released.length > 200) this.#released.shift();
  }

  async #network(engine: Engine, draw: Draw): Promise<Network | undefined> {
    const own = [...engine.networks].filter(({ swarm, going }) => !swarm && !going);
    return draw.of(own);
  }

  /** The node's part of the shared subnet, a second network of it, bridges with a subnet of their own. */
  async #networks(engine: Engine, draw: Draw): Promise<void> {
    await sleep(draw.between(10, 400));
    if (engine.down) return;
    const lans = [...engine.networks].filter(({ place }) => place.endsWith(this.#lan));
    const lan: Wish = { subnet: this.#lan, auxiliary: '10.66.0.5' };
    if (lans.length === 0) await engine.create(lan);
    else if (lans.length === 1 && draw.percent(25))
      await engine.create({ ...lan, range: draw.percent(50) ? '10.66.0.64/26' : '' });
    else if (engine.networks.size < 4 && draw.percent(40))
      await engine.create({ subnet: draw.percent(50) ? '' : OVERLAY });
    else {
      const network = draw.of([...engine.networks].filter(({ swarm, containers }) => !swarm && containers.size === 0));
      if (network) await engine.remove(network);
    }
  }

  /** Releases that can only be somebody else's: by the wrong host, or by a PoolID that has ended. */
  async #mischief(engine: Engine, at: number, draw: Draw): Promise<void> {
    await sleep(draw.between(30, 300));
    const others = this.engines.filter((one) => one !== engine).flatMap((one) => [...one.networks]);
    const network = draw.of(others);
    const container = network && draw.of([...network.containers]);
    if (network && container) await engine.stray(network.poolId, network.join, container.address);
    const open = new Set(this.engines.flatMap((one) => [...one.networks]).map(({ poolId }) => poolId));
    const old = draw.of(this.#released.filter(({ poolId, at: whose }) => !open.has(poolId) && whose === at));
    if (old) await engine.stray(old.poolId, old.join, old.address);
  }

  #name(): string {
    return `container-${++this.#named.container}`;
  }
}
