// Managers of one swarm on one switch, each with an engine, the managed plugin and a member of one etcd; it refuses to know
// what is tested.
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Engine, startEngine } from './engine.js';
import { EtcdCluster } from './etcd-cluster.js';
import { makeImage } from './image.js';
import { Lan, type LanMachine } from './lan.js';
import { addressesOf } from './live-addresses.js';
import { makePlugin } from './managed-plugin.js';
import { PluginClient } from './plugin-client.js';
import { eventually } from './process.js';

export interface Manager {
  readonly name: string;
  readonly machine: LanMachine;
  readonly engine: Engine;
}

/** A container that has the address that its engine says, by its kernel too. */
export interface Member {
  readonly id: string;
  readonly started: string;
  readonly node: string;
  /** Of its first process. */
  readonly pid: number;
  readonly address: string;
}

/** An election takes 10 to 20 s after the last word of a leader, and machines may be slow. */
const ELECTED_MS = 120_000;

export class Swarm implements AsyncDisposable {
  private constructor(
    readonly etcd: EtcdCluster,
    readonly all: readonly Manager[],
    private readonly parts: readonly AsyncDisposable[],
  ) {}

  /** The plugins are enabled, with these settings; the engines are no swarm yet. */
  static async start(names: readonly string[], settings: readonly string[]): Promise<Swarm> {
    const parts: AsyncDisposable[] = [];
    const keep = <T extends AsyncDisposable>(part: T): T => {
      parts.unshift(part);
      return part;
    };
    try {
      const lan = keep(await Lan.start());
      const machines: LanMachine[] = [];
      for (const name of names) machines.push(keep(await lan.machine(name)));
      const etcd = keep(await EtcdCluster.start(machines));
      const all: Manager[] = [];
      for (const machine of machines)
        all.push({ name: machine.name, machine, engine: keep(await startEngine({ place: machine })) });
      await makePlugin(...all.map(({ engine }) => engine));
      await Promise.all(all.map(({ engine }) => makeImage(engine)));
      // An engine gives a plugin 9.5 s to listen, in which a small machine may not start three.
      for (const { engine, machine } of all) {
        await engine.must('plugin', 'set', 'etcd-ipam', `ETCD_ENDPOINTS=${etcd.urlOn(machine)}`, ...settings);
        await engine.must('plugin', 'enable', 'etcd-ipam');
      }
      return new Swarm(etcd, all, parts);
    } catch (cause) {
      for (const part of parts) await part[Symbol.asyncDispose]();
      throw cause;
    }
  }

  /** Makes all of them managers; the first one leads. */
  async form(): Promise<void> {
    const [first, ...others] = this.all as [Manager, ...Manager[]];
    await first.engine.must('swarm', 'init', '--advertise-addr', first.machine.address);
    const token = await first.engine.must('swarm', 'join-token', '--quiet', 'manager');
    for (const { engine, machine } of others) {
      const at = ['--advertise-addr', machine.address, `${first.machine.address}:2377`];
      await engine.must('swarm', 'join', '--token', token, ...at);
    }
    await this.ready(...this.all);
  }

  /** Those whose engine runs. */
  get up(): Manager[] {
    return this.all.filter(({ engine }) => engine.pid !== undefined);
  }

  named(name: string): Manager {
    return this.all.find((one) => one.name === name)!;
  }

  /** Resolves with the manager that leads once one that is up does. */
  leader(): Promise<Manager> {
    return eventually(
      'a manager that is up leads',
      async () => {
        const name = [...(await this.nodes())].find(([, { leads }]) => leads)?.[0];
        return this.up.find((one) => one.name === name);
      },
      ELECTED_MS,
      500,
    );
  }

  /** Resolves once these nodes are ready and their managers are in reach. */
  async ready(...managers: readonly Manager[]): Promise<void> {
    await eventually(
      'all managers are ready',
      async () => {
        const nodes = await this.nodes();
        return managers.every(({ name }) => nodes.get(name)?.ready);
      },
      ELECTED_MS,
      500,
    );
  }

  /** What the swarm's leader says, from the first engine that can ask it: `GET /tasks` and the like. */
  // biome-ignore lint/suspicious/noExplicitAny: the engine's API
  async ask(path: string): Promise<any> {
    for (const { engine } of this.up) {
      const client = new PluginClient({ socketPath: engine.host.slice('unix://'.length) });
      try {
        const { status, json } = await client.call(path, undefined, { method: 'GET' });
        if (status === 200) return json;
      } finally {
        client.close();
      }
    }
    return undefined;
  }

  /** Asks a manager's plugin as its engine does. */
  async askPlugin({ engine, machine }: Manager, ask: (plugin: PluginClient) => Promise<void>): Promise<void> {
    const id = await engine.must('plugin', 'inspect', '--format', '{{.Id}}', 'etcd-ipam');
    // The socket's own path is longer than an address may be.
    const folder = await mkdtemp(join(tmpdir(), 'ask-'));
    await symlink(join(machine.pluginSockets, id), join(folder, 'plugin'));
    const client = new PluginClient({ socketPath: join(folder, 'plugin', 'etcd-ipam.sock') });
    try {
      await ask(client);
    } finally {
      client.close();
      await rm(folder, { recursive: true });
    }
  }

  /** The containers of a network that run on these engines. */
  async members(network: string, on: readonly Manager[] = this.up): Promise<Member[]> {
    const all = await Promise.all(on.map((manager) => membersOf(manager, network)));
    return all.flat();
  }

  /** The load balancers of a network by their nodes: each engine that has the network has one. */
  async balancers(network: string, on: readonly Manager[] = this.up): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for (const { name, engine } of on) {
      const { code, stdout } = await engine.docker('network', 'inspect', '--format', '{{json .Containers}}', network);
      if (code !== 0) continue;
      const endpoints = (JSON.parse(stdout) ?? {}) as Record<string, { IPv4Address: string }>;
      const address = endpoints[`lb-${network}`]?.IPv4Address.split('/')[0];
      if (address) found.set(name, address);
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const part of this.parts) await part[Symbol.asyncDispose]();
  }

  private async nodes(): Promise<Map<string, { leads: boolean; ready: boolean }>> {
    const nodes = ((await this.ask('/nodes')) ?? []) as {
      Description: { Hostname: string };
      Status: { State: string };
      ManagerStatus?: { Leader?: boolean; Reachability: string };
    }[];
    return new Map(
      nodes.map(({ Description, Status, ManagerStatus }) => [
        Description.Hostname,
        {
          leads: ManagerStatus?.Leader === true,
          ready: Status.State === 'ready' && ManagerStatus?.Reachability === 'reachable',
        },
      ]),
    );
  }
}

async function membersOf({ name, engine }: Manager, network: string): Promise<Member[]> {
  const ids = await engine.must('ps', '--quiet', '--no-trunc', '--filter', `network=${network}`);
  if (ids === '') return [];
  const format = `{{.Id}} {{.State.StartedAt}} {{.State.Pid}} {{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
  // Those that have ended meanwhile are no longer shown, or have no address.
  const { stdout } = await engine.docker('inspect', '--format', format, ...ids.split('\n'));
  const members = stdout.split('\n').map((line) => {
    const [id = '', started = '', pid, address = ''] = line.split(' ');
    return { id, started, node: name, pid: Number(pid), address };
  });
  return members.filter(({ pid, address }) => pid > 0 && addressesOf(pid).includes(address));
}
