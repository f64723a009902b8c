// One host as users have it: a machine, its engine and its driver, over an etcd; it refuses to know what is tested.
import { expect } from 'chai';
import { type Engine, startEngine } from './engine.js';
import { type EtcdFixture, startEtcd } from './etcd.js';
import { lingering, makeImage } from './image.js';
import { type Keyspace, KeyspaceView, NodeRecords, wholeOf } from './keyspace-view.js';
import { Machine } from './machine.js';
import type { Outcome } from './process.js';
import { RealDriver } from './real-driver.js';

export interface HostOptions {
  /** The driver's settings. */
  readonly env?: Readonly<Record<string, string>>;
  /** dockerd's further arguments. */
  readonly args?: readonly string[];
  /** As RealDriver has it. */
  readonly network?: 'machine';
}

/** What every etcd of a test can be asked. */
type AnyEtcd = Pick<EtcdFixture, 'url' | 'ctl'>;

export class Host<Etcd extends AnyEtcd = EtcdFixture> implements AsyncDisposable {
  readonly view: KeyspaceView;
  readonly records: NodeRecords;
  private constructor(
    readonly etcd: Etcd,
    readonly machine: Machine,
    readonly driver: RealDriver,
    readonly engine: Engine,
    private readonly parts: readonly AsyncDisposable[],
  ) {
    this.view = new KeyspaceView(etcd);
    this.records = new NodeRecords(machine.name);
  }

  /** With an image `busybox` to run. `name` is the node's too; `env` is the driver's, `args` are dockerd's. */
  static async start(
    name: string,
    env: Readonly<Record<string, string>> = {},
    args: readonly string[] = [],
  ): Promise<Host> {
    const etcd = await startEtcd();
    const owned: AsyncDisposable[] = [{ [Symbol.asyncDispose]: () => etcd.stop() }];
    try {
      const machine = await Machine.start(name);
      owned.unshift(machine);
      return await Host.begin(machine, etcd, { env, args }, owned);
    } catch (cause) {
      await end(owned);
      throw cause;
    }
  }

  /** As `start`, on a machine and over an etcd that are somebody else's to end. */
  static on<Etcd extends AnyEtcd>(machine: Machine, etcd: Etcd, options: HostOptions = {}): Promise<Host<Etcd>> {
    return Host.begin(machine, etcd, options, []);
  }

  private static async begin<Etcd extends AnyEtcd>(
    machine: Machine,
    etcd: Etcd,
    { env = {}, args = [], network }: HostOptions,
    owned: readonly AsyncDisposable[],
  ): Promise<Host<Etcd>> {
    const driver = await RealDriver.start({ etcd, machine, env, ...(network && { network }) });
    try {
      const engine = await startEngine({ place: machine, args });
      try {
        await makeImage(engine);
        return new Host(etcd, machine, driver, engine, [engine, driver, ...owned]);
      } catch (cause) {
        await engine[Symbol.asyncDispose]();
        throw cause;
      }
    } catch (cause) {
      await driver[Symbol.asyncDispose]();
      throw cause;
    }
  }

  createNetwork(...args: string[]): Promise<string> {
    return this.engine.must('network', 'create', '--ipam-driver', 'etcd-ipam', ...args);
  }

  /** What a failed test left on the engine, so that the next one fails for its own reasons only. */
  async clear(): Promise<void> {
    const containers = await this.engine.must('ps', '--all', '--quiet');
    if (containers !== '') await this.engine.must('rm', '--force', ...containers.split('\n'));
    await this.engine.must('network', 'prune', '--force');
  }

  /** A container that lingers until it is told to end. */
  run(name: string, network: string, ...args: string[]): Promise<string> {
    return this.engine.must(...runArgs(name, network, args));
  }

  /** As `run`, for what is refused. */
  tryRun(name: string, network: string, ...args: string[]): Promise<Outcome> {
    return this.engine.docker(...runArgs(name, network, args));
  }

  /** All of etcd: the records of a node that serves, and these. */
  async expectKeys(...parts: readonly Keyspace[]): Promise<void> {
    expect(await this.view.now()).to.deep.equal(wholeOf(this.records.own(), ...parts));
  }

  /** The one address of the container that begins so, with the length of its prefix. */
  async addressOf(container: string, among = ''): Promise<string> {
    const addresses = (await this.addresses(container)).filter((address) => address.startsWith(among));
    expect(addresses, `addresses of ${container}`).to.have.length(1);
    return addresses[0]!;
  }

  /** The container's addresses with their prefix lengths, as the kernel inside it shows them; loopback and link-local left out. */
  async addresses(container: string): Promise<string[]> {
    const shown = await this.engine.must('exec', container, 'ip', 'address');
    return [...shown.matchAll(/^ +inet6? (\S+) .*scope global/gm)].map(([, address]) => address!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.parts);
  }
}

function runArgs(name: string, network: string, args: readonly string[]): string[] {
  return ['run', '--detach', '--name', name, '--network', network, ...args, 'busybox', ...lingering];
}

async function end(parts: readonly AsyncDisposable[]): Promise<void> {
  for (const part of parts) await part[Symbol.asyncDispose]();
}
