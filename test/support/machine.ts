// A test's computer: network, mounts, host name and plugin directories of its own; it refuses to know what runs on it.
//
// Machines are namespaces inside the run's private host. They share its file system (a socket in a temporary directory is
// reachable from all) and its process table (every pid can be signalled), but not /run, /etc/docker or any interface.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killAtOnce, processesOfMounts } from './kill.js';
import { type Outcome, Program, type RunOptions, run, runOrFail, type StartOptions } from './process.js';

/** Where an engine or a program of a test runs. */
export interface Place {
  readonly name: string;
  /** The place's /run/docker/plugins, as a path of the test's own process. */
  readonly pluginSockets: string;
  /** The place's /etc/docker/plugins, as a path of the test's own process. */
  readonly pluginSpecs: string;
  /** What to spawn so that the command runs in this place; the pid is then that of the command itself. */
  enter(command: string, args: readonly string[]): [string, string[]];
}

/** The private host itself: the test's own network, so that ports on loopback are shared with it. */
export const here: Place = {
  name: 'here',
  pluginSockets: '/run/docker/plugins',
  pluginSpecs: '/etc/docker/plugins',
  enter: (command, args) => [command, [...args]],
};

// Everything the holder does is undone by its end: namespaces go with the last process in them.
const hold = `
set -e
mount -t tmpfs -o mode=755 none /run
mkdir /run/docker /run/lock
mount --bind "$1/run-docker" /run/docker
mount --bind "$1/etc-docker" /etc/docker
if [ -e /etc/machine-id ]; then mount --bind "$1/machine-id" /etc/machine-id; fi
mount --bind "$1/boot-id" /proc/sys/kernel/random/boot_id
hostname "$2"
ip link set lo up
echo holding
exec sleep infinity
`;

/** One machine of its own, with loopback only until a `Lan` gives it an eth0. `await using` ends all that runs on it. */
export class Machine implements Place, AsyncDisposable {
  #holder: Program | undefined;
  #connect: (machine: Machine) => Promise<void> = async () => {};

  private constructor(
    readonly name: string,
    private readonly root: string,
  ) {}

  /** `original`: whose disk it has a copy of, machine id included. */
  static async start(name = 'machine', original?: Machine): Promise<Machine> {
    const root = await mkdtemp(join(tmpdir(), `${name}-`));
    const machine = new Machine(name, root);
    const id = original ? await readFile(join(original.root, 'machine-id')) : `${randomBytes(16).toString('hex')}\n`;
    await writeFile(join(root, 'machine-id'), id);
    await mkdir(join(root, 'etc-docker', 'plugins'), { recursive: true });
    await machine.boot();
    return machine;
  }

  get isOn(): boolean {
    return this.#holder !== undefined;
  }

  /** The process that holds the machine's namespaces open; another one after `cutPower`. */
  get pid(): number {
    if (this.#holder === undefined) throw new Error(`machine ${this.name} is not running`);
    return this.#holder.pid;
  }

  get pluginSockets(): string {
    return join(this.root, 'run-docker', 'plugins');
  }

  get pluginSpecs(): string {
    return join(this.root, 'etc-docker', 'plugins');
  }

  enter(command: string, args: readonly string[]): [string, string[]] {
    const where = ['--target', String(this.pid), '--net', '--mount', '--uts', '--root', `--wdns=${process.cwd()}`];
    return ['nsenter', [...where, '--', command, ...args]];
  }

  /** Runs a program on this machine to its end. */
  run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return run(...this.enter(command, args), options);
  }

  /** As `run`, rejecting on a non-zero end; resolves with the trimmed standard output. */
  must(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    return runOrFail(...this.enter(command, args), options);
  }

  /** Keeps a program running on this machine. */
  start(command: string, args: readonly string[], options: StartOptions = {}): Promise<Program> {
    return Program.start(...this.enter(command, args), options);
  }

  /** Brings the machine's network up, now and after each `cutPower`. */
  async connect(wire: (machine: Machine) => Promise<void>): Promise<void> {
    this.#connect = wire;
    await wire(this);
  }

  /**
   * A power cut and the next boot: no process, socket, interface, firewall rule or mount lives on; files on disk, the machine id
   * and the addresses of a `Lan` do; the boot id is another.
   */
  async cutPower(): Promise<void> {
    await this.powerOff();
    await this.powerOn();
  }

  /** The power cut alone. */
  async powerOff(): Promise<void> {
    if (!this.isOn) return;
    const { pid } = this;
    await killAtOnce(() => processesOfMounts(pid));
    await this.#holder?.exited;
    this.#holder = undefined;
  }

  /** The next boot. In the `same` one only processes died, as they do when a system container is killed. */
  async powerOn(boot?: 'same'): Promise<void> {
    await this.boot(boot);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerOff();
    await rm(this.root, { recursive: true, force: true });
  }

  private async boot(boot?: 'same'): Promise<void> {
    await rm(join(this.root, 'run-docker'), { recursive: true, force: true });
    await mkdir(this.pluginSockets, { recursive: true });
    if (boot !== 'same') await writeFile(join(this.root, 'boot-id'), `${randomUUID()}\n`);
    const namespaces = ['--net', '--mount', '--propagation', 'private', '--uts'];
    const args = [...namespaces, 'sh', '-c', hold, 'sh', this.root, this.name];
    this.#holder = await Program.start('unshare', args, { ready: /^holding$/m });
    await this.#connect(this);
  }
}
