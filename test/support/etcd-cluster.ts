// An etcd of one member on each machine of a switch, as hosts that trust no single one of them run it; it refuses to know
// what is kept there.
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LanMachine } from './lan.js';
import type { Machine } from './machine.js';
import { eventually, Program, run, runOrFail } from './process.js';

const API = { ETCDCTL_API: '3' };

/** Members are processes of their machine, and end with its power. */
export class EtcdCluster implements AsyncDisposable {
  private constructor(
    private readonly machines: readonly LanMachine[],
    private readonly members: Map<LanMachine, Program>,
    private readonly directory: string,
  ) {}

  /** Resolves once a majority answers. */
  static async start(machines: readonly LanMachine[]): Promise<EtcdCluster> {
    const directory = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'etcd-ipam-'));
    const cluster = new EtcdCluster(machines, new Map(), directory);
    try {
      await Promise.all(machines.map((machine) => cluster.begin(machine)));
      await eventually('etcd answers', () => cluster.answers(), 30_000, 200);
      return cluster;
    } catch (cause) {
      await cluster[Symbol.asyncDispose]();
      throw cause;
    }
  }

  get url(): string {
    return this.machines.map(clientUrl).join(',');
  }

  /** All members for ETCD_ENDPOINTS, that of `machine` first. */
  urlOn(machine: LanMachine): string {
    return [machine, ...this.machines.filter((other) => other !== machine)].map(clientUrl).join(',');
  }

  /** Starts the member of a machine whose power was cut, over the data that it had. */
  async restart(machine: Machine): Promise<void> {
    await this.begin(this.machines.find((one) => one === machine)!);
  }

  /** Runs etcdctl and returns what it printed. */
  ctl(...args: string[]): Promise<string> {
    return runOrFail('etcdctl', this.ctlArgs(args), { env: API });
  }

  /** Keeps etcdctl running with its output in a file. */
  startCtl(file: string, ...args: string[]): Promise<Program> {
    const command = ['-c', 'exec etcdctl "$@" > "$0"', file, ...this.ctlArgs(args)];
    return Program.start('sh', command, { env: API });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.members.values()].map((member) => member.kill()));
    await rm(this.directory, { recursive: true, force: true });
  }

  private async begin(machine: LanMachine): Promise<void> {
    const peers = this.machines.map(({ name, address }) => `${name}=http://${address}:2380`).join(',');
    const [client, peer] = [clientUrl(machine), `http://${machine.address}:2380`];
    const member = await machine.start('etcd', [
      ...['--name', machine.name, '--data-dir', join(this.directory, machine.name), '--unsafe-no-fsync'],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', peers],
      // Starting engines leave little of a small machine: a late heartbeat is not the end of a leader.
      ...['--heartbeat-interval', '250', '--election-timeout', '2500', '--log-level', 'warn'],
    ]);
    this.members.set(machine, member);
  }

  private async answers(): Promise<boolean> {
    const args = ['--command-timeout=2s', ...this.ctlArgs(['get', 'x'])];
    return (await run('etcdctl', args, { env: API })).code === 0;
  }

  private ctlArgs(args: readonly string[]): string[] {
    // It waits long for a machine that is off.
    const up = this.machines.filter((machine) => this.members.get(machine)?.running);
    return [`--endpoints=${up.map(clientUrl).join(',')}`, ...args];
  }
}

function clientUrl({ address }: LanMachine): string {
  return `http://${address}:2379`;
}
