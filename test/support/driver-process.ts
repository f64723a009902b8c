// Many drivers on one machine, each the process that an operator runs, with its log in a file. Refuses to know what they
// are asked.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, open, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PluginClient } from './plugin-client.js';
import { eventually, tail } from './process.js';
import { PROGRAM } from './program.js';

/** Node’s own arguments, and what its libraries go by, in every installation. */
const AS_INSTALLED = ['--max-semi-space-size=16'];
const AROUND = { MALLOC_ARENA_MAX: '1' };

/** What one decision was, as the log has it. */
export interface Decision {
  readonly call: string;
  readonly outcome: string;
  readonly pool?: string;
  readonly attempts?: number;
  readonly ms: number;
}

export class DriverProcess implements AsyncDisposable {
  readonly client: PluginClient;

  private constructor(
    readonly node: string,
    private readonly child: ChildProcess,
    private readonly directory: string,
    connections: number,
  ) {
    this.client = new PluginClient({ socketPath: join(directory, 'ipam.sock') }, connections);
  }

  /** Resolves once its log says `ready`. `connections` is how many calls its client has under way at once. */
  static async start(
    etcd: string,
    node: string,
    connections: number,
    env: Record<string, string> = {},
    ready: 'session alive' | 'listening' = 'session alive',
  ): Promise<DriverProcess> {
    const directory = await mkdtemp(join(tmpdir(), `driver-${node}-`));
    const log = await open(join(directory, 'log'), 'w');
    const settings = {
      ...{ ETCD_ENDPOINTS: etcd, IPAM_NODE: node, IPAM_MACHINE_ID: `machine-${node}`, IPAM_OPS_LISTEN: '' },
      // Released addresses are to be gone at once.
      IPAM_COOLDOWN: '0s',
      IPAM_HISTORY: '0s',
      ...{ IPAM_SOCKET: join(directory, 'ipam.sock'), LOG_LEVEL: 'info', ...env },
    };
    const child = spawn(process.execPath, [...AS_INSTALLED, ...PROGRAM, 'serve'], {
      stdio: ['ignore', log.fd, log.fd],
      env: { ...process.env, ...AROUND, ...settings },
    });
    await log.close();
    const driver = new DriverProcess(node, child, directory, connections);
    try {
      await eventually(`${node}: ${ready}`, () => driver.#says(ready), 60_000, 100);
    } catch (cause) {
      await driver.stop();
      throw cause;
    }
    return driver;
  }

  /** Where its calls go. */
  get socket(): string {
    return join(this.directory, 'ipam.sock');
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Bytes of resident memory; see collect.mjs for what of it is garbage. */
  resident(): number {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))?.[1]) * 1_024;
  }

  /** How many files, sockets and the like it has open. */
  handles(): number {
    return readdirSync(`/proc/${this.child.pid}/fd`).length;
  }

  async decisions(): Promise<Decision[]> {
    const lines = (await this.log()).split('\n').filter((line) => line.includes('"outcome"'));
    return lines.map((line) => JSON.parse(line) as Decision);
  }

  log(): Promise<string> {
    return readFile(join(this.directory, 'log'), 'utf8');
  }

  /** For runs so long that the log would fill the disk: what it has said so far is gone. */
  forgetLog(): Promise<void> {
    return truncate(join(this.directory, 'log'));
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** kill -9: without a word to etcd. */
  async kill(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }

  /** SIGTERM, and SIGKILL after 15 s; resolves with the exit code. */
  async stop(): Promise<number | null> {
    this.client.close();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, 'exit');
      // A stopped (SIGSTOP) process takes no SIGTERM until it goes on.
      this.child.kill('SIGCONT');
      this.child.kill('SIGTERM');
      const late = setTimeout(() => this.child.kill('SIGKILL'), 15_000);
      await ended;
      clearTimeout(late);
    }
    await rm(this.directory, { recursive: true, force: true });
    return this.child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #says(message: string): Promise<boolean> {
    const log = await this.log();
    if (this.child.exitCode !== null)
      throw new Error(`${this.node} ended with ${this.child.exitCode}: ${tail(log, 20)}`);
    return log.includes(`"msg":"${message}"`);
  }
}
