// A real Docker engine for tests, with a data root of its own; it refuses to know drivers and networks.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killAtOnce, processesNaming } from './kill.js';
import { Machine, type Place } from './machine.js';
import { eventually, type Outcome, Program, type RunOptions, run, runOrFail, tail } from './process.js';

export interface EngineOptions {
  /** Where it runs; a machine of its own, which ends with the engine, unless given. */
  readonly place?: Place;
  /** Flags for dockerd beside those that keep it to itself. */
  readonly args?: readonly string[];
}

/** With a plugin that is a container of its own it asks for 15 s for the network and for each endpoint that a crash left. */
const readyMs = 180_000;
let versionShown = false;

/** Starts an engine and resolves when it answers (about one second). `await using` crashes it and leaves nothing behind. */
export async function startEngine(options: EngineOptions = {}): Promise<Engine> {
  if (process.env.ETCD_IPAM_TEST_HOST !== 'private') throw new Error('engines start in a private host only: npm test');
  const place = options.place ?? (await Machine.start('engine'));
  const root = await mkdtemp(join(tmpdir(), 'dockerd-'));
  const engine = new Engine(place, root, options.args ?? [], options.place === undefined ? place : undefined);
  try {
    await engine.start();
  } catch (cause) {
    await engine[Symbol.asyncDispose]();
    throw cause;
  }
  return engine;
}

/** One engine over one data root, through any number of stops, crashes and starts. */
export class Engine implements AsyncDisposable {
  #daemon: Program | undefined;
  #earlierOutput = '';
  #refusal = '';
  #boot: number | undefined;

  constructor(
    readonly place: Place,
    private readonly root: string,
    private readonly args: readonly string[],
    private readonly ownMachine: Place | undefined,
  ) {}

  /** The engine's API, for DOCKER_HOST; reachable from every machine of the run. */
  get host(): string {
    return `unix://${this.socket}`;
  }

  /** The same, as the path of a file. */
  get socket(): string {
    return join(this.root, 'docker.sock');
  }

  /** The pid of dockerd; undefined while it is down. */
  get pid(): number | undefined {
    return this.#daemon?.running ? this.#daemon.pid : undefined;
  }

  /** All that dockerd wrote, over all its starts. */
  get log(): string {
    return this.#earlierOutput + (this.#daemon?.output ?? '');
  }

  /** Where a v1 plugin called `name` listens for this engine, as a path of the test's own process. */
  pluginSocket(name: string): string {
    return join(this.place.pluginSockets, `${name}.sock`);
  }

  /** The docker command line against this engine. A refusal is a value. */
  docker(...args: string[]): Promise<Outcome> {
    return this.dockerWith({}, ...args);
  }

  /** As `docker`, with an environment, a working directory, an input or a time limit of its own. */
  dockerWith(options: RunOptions, ...args: string[]): Promise<Outcome> {
    return run('docker', args, { timeoutMs: 120_000, ...options, env: { ...options.env, DOCKER_HOST: this.host } });
  }

  /** As `docker`, rejecting with the engine's words; resolves with the trimmed standard output. */
  async must(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.docker(...args);
    if (code === 0) return stdout.trim();
    throw new Error(`docker ${args.join(' ')} ended with ${code}: ${tail(stderr + stdout, 20)}\n${this.lastWords()}`);
  }

  /** `docker inspect` of any object, parsed. */
  async inspect(...args: string[]): Promise<unknown> {
    const [found] = JSON.parse(await this.must('inspect', ...args)) as unknown[];
    return found;
  }

  /** Starts dockerd over the same data root. */
  async start(): Promise<void> {
    // The power of its machine was cut, which its end was not told of yet.
    if (this.place instanceof Machine && this.#boot !== this.place.pid) await this.#daemon?.exited;
    if (this.pid !== undefined) throw new Error('the engine is running already');
    if (this.place instanceof Machine) {
      if (this.#boot !== undefined && this.#boot !== this.place.pid) await this.clearRuntime();
      this.#boot = this.place.pid;
    }
    this.#earlierOutput = this.log;
    this.#daemon = undefined;
    const flags = [
      ...['--data-root', join(this.root, 'data'), '--exec-root', this.execRoot, '--pidfile', join(this.root, 'pid')],
      ...['--host', this.host, '--exec-opt', 'native.cgroupdriver=cgroupfs'],
      ...['--cgroup-parent', `/${process.env.ETCD_IPAM_TEST_CGROUP ?? 'etcd-ipam-test'}`],
    ];
    const daemon = await Program.start(...this.place.enter('dockerd', [...flags, ...this.args]));
    this.#daemon = daemon;
    try {
      const version = await eventually('docker info shows a server version', () => this.serverVersion(daemon), readyMs);
      if (!versionShown) console.log(`engine: Docker ${version}`);
      versionShown = true;
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : cause;
      throw new Error(`${message}\n${tail(this.#refusal, 5)}\n${this.lastWords()}`);
    }
  }

  /** SIGTERM as an operator does it: containers are stopped, which takes their grace (10 s unless told), then dockerd ends. */
  async stop(graceMs = 40_000): Promise<void> {
    await this.#daemon?.stop(graceMs);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** The end of an engine without a word: dockerd, containerd, shims, containers and plugins die at once; `start` works again. */
  async crash(): Promise<void> {
    await killAtOnce(() => [...(this.pid === undefined ? [] : [this.pid]), ...processesNaming(this.root)]);
    await this.#daemon?.exited;
    await this.clearRuntime();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crash();
    if (this.ownMachine instanceof Machine) await this.ownMachine[Symbol.asyncDispose]();
    await rm(this.root, { recursive: true, force: true });
  }

  // What a reboot takes with it: without that, dockerd waits in vain for the containerd that the leftovers name.
  private async clearRuntime(): Promise<void> {
    // A machine without power has no mounts.
    const off = this.place instanceof Machine && !this.place.isOn;
    const unmount = `awk '{print $5}' /proc/self/mountinfo | grep "^$1/" | sort -r | xargs -r -n1 umount -l`;
    if (!off) await runOrFail(...this.place.enter('sh', ['-c', unmount, 'sh', this.root]));
    await rm(this.execRoot, { recursive: true, force: true });
    await rm(join(this.root, 'pid'), { force: true });
  }

  private get execRoot(): string {
    return join(this.root, 'exec');
  }

  private async serverVersion(daemon: Program): Promise<string | undefined> {
    if (!daemon.running) throw new Error(`dockerd ended with ${await daemon.exited}`);
    const { stdout, stderr } = await this.docker('info');
    this.#refusal = stderr;
    return stdout.match(/^\s*Server Version: (.*)$/m)?.[1];
  }

  private lastWords(): string {
    return `the engine's last words:\n${tail(this.log, 15)}`;
  }
}
