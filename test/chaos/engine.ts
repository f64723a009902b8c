// A host's engine as its driver sees it: networks, containers, the order of its calls, what it loses when it is killed, and what
// its own API shows. Refuses to know how an address is chosen.
import { FakeEngine } from '../support/fake-engine.js';
import { sleep } from '../support/process.js';
import { Caller } from './caller.js';
import type { Draw } from './chance.js';
import type { ChaosDriver } from './drivers.js';
import type { Call, History, Use } from './history.js';

/** What takes longer is given up and taken back, so that whatever lives is shown sooner than the drivers' grace. */
const WITHIN_MS = 12_000;
const TYPE = { RequestAddressType: 'com.docker.network.gateway' };

export interface Container {
  readonly who: string;
  readonly address: string;
  readonly use: Use;
}

export interface Network {
  readonly name: string;
  readonly poolId: string;
  readonly join: string;
  readonly place: string;
  readonly shared: Use[];
  readonly auxiliary: readonly string[];
  readonly swarm: boolean;
  readonly containers: Set<Container>;
  /** Containers that are being started or stopped. */
  busy: number;
  going: boolean;
}

/** How a network is made. */
export interface Wish {
  readonly subnet: string;
  readonly range?: string;
  readonly gateway?: string;
  readonly auxiliary?: string;
  readonly swarm?: boolean;
}

export class Engine implements AsyncDisposable {
  readonly networks = new Set<Network>();
  /** PoolIDs of networks whose end nobody has confirmed. */
  readonly orphans = new Set<string>();
  readonly caller: Caller;
  down = false;
  /** While it is set, networks are neither made nor removed. */
  held: Promise<void> | undefined;
  /** Networks that are being made or removed. */
  changing = 0;
  #named = 0;
  readonly #apis: FakeEngine[] = [];

  constructor(
    readonly node: string,
    readonly drivers: readonly ChaosDriver[],
    private readonly history: History,
    private readonly draw: Draw,
    /** From 29 on it names every endpoint. */
    private readonly names: boolean,
  ) {
    this.caller = new Caller(node, drivers, history, () => draw.below(drivers.length));
  }

  /** A socket of its API, for one driver. */
  async listen(): Promise<string> {
    const api = await FakeEngine.start((req, res) => {
      const shown = this.#shown(req.url ?? '');
      res.writeHead(shown === undefined ? 404 : 200, { 'content-type': 'application/json' });
      res.end(JSON.stringify(shown ?? { message: 'not found' }));
    });
    this.#apis.push(api);
    return api.socket;
  }

  /** How often each of the drivers has begun to look at it. */
  get looks(): number[] {
    return this.#apis.map(({ asked }) => asked.filter((path) => path === '/version').length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#apis.map((api) => api[Symbol.asyncDispose]()));
  }

  /** `docker network create`: pool, gateway, auxiliary address; whatever fails takes the pool back, as engines do. */
  async create(wish: Wish): Promise<Network | undefined> {
    await this.held;
    this.changing++;
    return this.#create(wish).finally(() => this.changing--);
  }

  async #create({ subnet, range = '', gateway = '', auxiliary, swarm = false }: Wish): Promise<Network | undefined> {
    const Options = swarm ? null : auxiliary ? { aux: auxiliary } : {};
    const place = subnet ? { place: `local ${subnet}` } : {};
    const until = performance.now() + WITHIN_MS;
    const body = { AddressSpace: 'local', Pool: subnet, SubPool: range, Options, V6: false };
    const pool = await this.caller.call('RequestPool', body, place);
    if (pool.outcome !== 'granted') return undefined;
    const network: Network = {
      ...{ name: `${swarm ? 'overlay' : 'net'}-${++this.#named}`, poolId: pool.given!, join: pool.join! },
      ...{ place: pool.place!, shared: [], auxiliary: auxiliary ? [auxiliary] : [], swarm },
      ...{ containers: new Set<Container>(), busy: 0, going: false },
    };
    const asked = [[gateway, TYPE] as const, ...(auxiliary ? [[auxiliary, null] as const] : [])];
    const given: Call[] = [];
    for (const [address, options] of asked) {
      const call = await this.#address(network, address, options);
      if (call.outcome !== 'granted' || performance.now() > until) {
        await this.#end(network);
        return undefined;
      }
      given.push(call);
    }
    for (const call of given) network.shared.push(this.#use(network, call, `the networks of ${network.place}`, true));
    this.networks.add(network);
    return network;
  }

  /** `docker network rm`: false while somebody is on it. */
  async remove(network: Network): Promise<boolean> {
    await this.held;
    if (network.containers.size > 0 || network.busy > 0 || network.going) return false;
    network.going = true;
    this.changing++;
    try {
      this.networks.delete(network);
      for (const use of network.shared) this.history.letGo(use);
      for (const { address } of network.shared) await this.#release(network, address);
      await this.#end(network);
    } finally {
      this.changing--;
    }
    return true;
  }

  /** A container starts; undefined when it gets no address. */
  async run(network: Network, who: string, number = ''): Promise<Container | undefined> {
    if (network.going) return undefined;
    network.busy++;
    try {
      const until = performance.now() + WITHIN_MS;
      const call = await this.#address(network, number, this.#endpoint(who));
      if (call.outcome !== 'granted') return undefined;
      if (performance.now() > until) {
        await this.#release(network, call.given!);
        return undefined;
      }
      const container = { who, address: call.given!, use: this.#use(network, call, who, false) };
      network.containers.add(container);
      return container;
    } finally {
      network.busy--;
    }
  }

  async stop(network: Network, container: Container): Promise<void> {
    if (!network.containers.delete(container)) return;
    network.busy++;
    try {
      this.history.letGo(container.use);
      await this.#release(network, container.address);
    } finally {
      network.busy--;
    }
  }

  /** A release that is none of this engine's to send, or no more: it may free nothing. */
  async stray(poolId: string, join: string, address: string): Promise<void> {
    await this.caller.call('ReleaseAddress', { PoolID: poolId, Address: address }, { join, address });
  }

  /** kill -9, and its next start: containers are gone, and those that it knew of are given back one after the other. */
  async crash(): Promise<void> {
    this.down = true;
    const stale: (() => Promise<unknown>)[] = [];
    for (const network of this.networks) {
      if (network.swarm) continue;
      for (const container of network.containers) {
        this.history.letGo(container.use);
        stale.push(() => this.#release(network, container.address));
      }
      network.containers.clear();
    }
    this.caller.die();
    await sleep(this.draw.between(50, 500));
    await this.caller.call('GetCapabilities', undefined);
    for (const release of stale) await release();
    this.down = false;
  }

  /** Ends a join of its node that no network is behind. */
  async endJoin(poolId: string): Promise<boolean> {
    const ended = await this.caller.call('ReleasePool', { PoolID: poolId });
    if (ended.outcome === 'released') this.orphans.delete(poolId);
    return ended.outcome === 'released';
  }

  #address({ poolId, join, place }: Network, address: string, options: object | null): Promise<Call> {
    const about = { place, join, ...(address && { address }) };
    return this.caller.call('RequestAddress', { PoolID: poolId, Address: address, Options: options }, about);
  }

  async #release({ poolId, join, place }: Network, address: string): Promise<void> {
    await this.caller.call('ReleaseAddress', { PoolID: poolId, Address: address }, { place, join, address });
  }

  async #end({ poolId }: Network): Promise<void> {
    this.orphans.add(poolId);
    await this.endJoin(poolId);
  }

  #use({ place, join }: Network, grant: Call, who: string, shared: boolean): Use {
    return this.history.use({ place, address: grant.given!, who, node: this.node, join, shared, grant });
  }

  #endpoint(who: string): object | null {
    return this.names ? { 'com.docker.network.endpoint.name': who } : null;
  }

  #shown(path: string): unknown {
    if (path === '/version') return { Version: this.names ? '29.0.0' : '28.5.2' };
    const ipam = { Driver: 'ipam', Options: null };
    const all = [...this.networks].map((network) => ({ network, Scope: network.swarm ? 'swarm' : 'local' }));
    if (path === '/networks')
      return all.map(({ network, Scope }) => ({ Id: network.name, Name: network.name, Scope, IPAM: ipam }));
    const found = all.find(({ network }) => path === `/networks/${network.name}`);
    if (!found) return undefined;
    const { place, name, auxiliary, containers } = found.network;
    const [, subnet = ''] = place.split(' ');
    const aux = auxiliary.length > 0 ? Object.fromEntries(auxiliary.map((address) => [address, address])) : null;
    const shown = [...containers].map(({ who, address }) => {
      const IPv4Address = `${address}/${subnet.split('/')[1]}`;
      return [who, { Name: who, MacAddress: '', IPv4Address, IPv6Address: '' }];
    });
    const config = { Subnet: subnet, AuxiliaryAddresses: aux };
    // A real overlay has its load balancer on it for as long as it is there. These have none, so they are shown as what may
    // be without.
    const without = found.network.swarm ? { ConfigFrom: { Network: 'settings' } } : {};
    return {
      ...{ Id: name, Name: name, Scope: found.Scope, IPAM: { ...ipam, Config: [config] }, ...without },
      Containers: Object.fromEntries(shown),
    };
  }
}
