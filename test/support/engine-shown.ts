// What an engine shows, said in few words: for tests of what is concluded from it.
import type { Engine, EngineNetwork, EngineView, ForeignNetwork } from '../../src/ipam/engine-view.js';
import { parseAddress } from '../../src/net/address.js';
import { parsePrefix } from '../../src/net/prefix.js';

interface Words {
  readonly name?: string;
  readonly space?: string;
  readonly managed?: boolean;
  readonly aux?: readonly string[];
  /** Container to address; its MAC is made of the address. */
  readonly containers?: Readonly<Record<string, string>>;
}

export function network(subnet: string, { name = 'net', space = 'local', managed = false, ...words }: Words = {}) {
  const shown: EngineNetwork = {
    ...{ name, space, managed, subnets: [parsePrefix(subnet)] },
    auxiliary: (words.aux ?? []).map(parseAddress),
    endpoints: Object.entries(words.containers ?? {}).map(([container, ip]) => ({
      name: container,
      mac: `02:42:00:00:00:${ip.split('.').at(-1)!.padStart(2, '0')}`,
      addresses: [parseAddress(ip)],
    })),
  };
  return shown;
}

/** Of a swarm's node. */
export function shown(...networks: readonly EngineNetwork[]): EngineView {
  return { version: '20.10.24', swarm: true, networks, foreign: [] };
}

/** The view with networks of another IPAM driver, too. */
export function beside(view: EngineView, ...foreign: readonly ForeignNetwork[]): EngineView {
  return { ...view, foreign };
}

export function foreign(subnet: string, name = 'lan', driver = 'lan-ipam:latest'): ForeignNetwork {
  return { name, driver, subnets: [parsePrefix(subnet)] };
}

/** An engine whose word a test changes; undefined: it does not answer. */
export class SpokenEngine implements Engine {
  view: EngineView | undefined = shown();
  /** Runs while the engine is asked, when the records have been read. */
  meanwhile: () => Promise<unknown> = async () => undefined;

  async look(): Promise<EngineView> {
    await this.meanwhile();
    if (!this.view) throw new Error('the engine is away');
    return this.view;
  }
}
