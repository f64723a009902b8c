// What the interleavings share: one subnet, the words its records are told in, and a world made anew for each test.
import { expect } from 'chai';
import type { Call } from '../../../src/docker/ipam.js';
import { type Host, soon, World } from '../../support/allocator-fixture.js';
import type { Backend } from '../../support/stores.js';

export const S = '10.66.0.0/24';
export const POOL = 'pools/local/v4/010.066.000.000-24';
export const OPEN = [`${POOL} open`, 'spaces/local'];
/** Open, and with .1 as the gateway last chosen. */
export const LED = [`${POOL} open gateway=10.66.0.1`, 'spaces/local'];

export const joined = (join: string, rest = 'a boot-1') => `joins/local/v4/010.066.000.000-24/${join} ${rest}`;

export const claim = (last: number, rest: string) =>
  `claims/local/v4/010.066.000.000-24/010.066.000.${String(last).padStart(3, '0')} ${rest}`;

export const holder = (last: number, join: string, rest: string) =>
  `holders/local/v4/010.066.000.000-24/010.066.000.${String(last).padStart(3, '0')}/${join} ${rest}`;

export const had = (last: number, rest: string) =>
  `history/local/v4/010.066.000.${String(last).padStart(3, '0')} pool=10.66.0.0/24 ${rest}`;

/** The number of the last octet. */
export const last = (ip: string) => Number(ip.split('.').at(-1));

export class Scene {
  #world: World | undefined;

  get world(): World {
    if (!this.#world) throw new Error('no test has begun');
    return this.#world;
  }

  begin(backend: Backend): void {
    this.#world = new World(backend);
  }

  /** That the keyspace consists of these lines. */
  async all(...lines: readonly (string | readonly string[])[]): Promise<void> {
    expect(await this.world.records()).to.deep.equal(lines.flat().sort());
  }

  async pools(): Promise<string[]> {
    return (await this.world.records()).filter((line) => line.startsWith('pools/'));
  }

  /** The node boots anew: the processes of the boot before have ended. */
  async rebooted(old: Host): Promise<Host> {
    await old.loseSession();
    return this.world.host(old.self.node, { boot: 'boot-2' });
  }
}

export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** What the plugin server lends to a call that is delivered. */
export function call(): Call {
  return { deadline: soon(), signal: new AbortController().signal, onUndelivered: () => undefined };
}
