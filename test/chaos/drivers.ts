// One driver process that can be killed, stopped, cut off from etcd and given a wrong clock, at one socket for all its lives.
// Refuses to know what it is asked.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { EtcdMembers } from '../support/etcd-members.js';
import type { Way } from '../support/etcd-way.js';
import { PluginClient } from '../support/plugin-client.js';
import { eventually, Program, tail } from '../support/process.js';

/** How long a call may take, but for those in the first 15 s of a process. */
export const DEADLINE_MS = 3_000;
const START_WINDOW_MS = 15_000;
/** A process that starts on a busy machine takes so long until it counts its window; and so late is a reply read here. */
const SLACK_MS = 4_000;
/** So long a call may lie in a busy process's socket. */
const UNREAD_MS = 500;

export interface DriverOptions {
  /** The built program; another one has a flaw planted. */
  readonly program: string;
  readonly node: string;
  readonly etcd: EtcdMembers;
  readonly env: Readonly<Record<string, string>>;
  /** Hears of its end, if nobody has ended it; with its last words. */
  readonly died: (words: string) => void;
}

export class ChaosDriver implements AsyncDisposable {
  #program: Program | undefined;
  #ending = false;
  #closed = false;
  #serving = false;
  #client: PluginClient;
  #started = 0;
  #printed = '';
  readonly #stops: { readonly from: number; until: number }[] = [];

  private constructor(
    private readonly options: DriverOptions,
    private readonly directory: string,
    /** Its own way to etcd. */
    readonly way: Way,
  ) {
    this.#client = this.#dial();
  }

  static async start(options: DriverOptions): Promise<ChaosDriver> {
    const directory = await mkdtemp(join(tmpdir(), `chaos-${options.node}-`));
    const driver = new ChaosDriver(options, directory, await options.etcd.way());
    await driver.start();
    return driver;
  }

  get client(): PluginClient {
    return this.#client;
  }

  get node(): string {
    return this.options.node;
  }

  /**
   * By when a call that was asked then had to be granted. Its deadline begins when its body is read, and a process that is stopped
   * reads nothing; one that was stopped soon after the call had maybe not read it either.
   */
  limitOf(asked: number): number {
    const stopped = this.#stops.filter(({ from, until }) => from < asked + UNREAD_MS && until > asked);
    const read = Math.max(asked, ...stopped.map(({ until }) => until));
    return Math.max(read + DEADLINE_MS, this.#started + START_WINDOW_MS) + SLACK_MS;
  }

  /** What it said lately, for a report. */
  get log(): string {
    return this.#printed + (this.#program?.output ?? '');
  }

  /** Resolves once its socket is there, etcd or not. */
  async start(): Promise<void> {
    const { program, node, env } = this.options;
    if (this.#closed) throw new Error(`${node} is not to be started any more`);
    await writeFile(join(this.directory, 'clock'), '0');
    const settings = {
      ...{ ETCD_ENDPOINTS: this.way.url, IPAM_NODE: node, IPAM_MACHINE_ID: `machine-${node}`, IPAM_OPS_LISTEN: '' },
      ...{ IPAM_SOCKET: join(this.directory, 'ipam.sock'), IPAM_DEADLINE: `${DEADLINE_MS}ms`, LOG_LEVEL: 'warn' },
      ...{ CHAOS_CLOCK: join(this.directory, 'clock'), ...env },
    };
    this.#printed += this.#program?.output ?? '';
    this.#started = performance.now();
    const clock = resolve(import.meta.dirname, 'clock.mjs');
    const started = await Program.start(process.execPath, ['--import', clock, program, 'serve'], { env: settings });
    [this.#program, this.#ending, this.#serving] = [started, false, false];
    void started.exited.then((code) => {
      if (!this.#ending) this.options.died(`the driver of ${node} ended with ${code}: ${tail(this.log, 20)}`);
    });
    await eventually(`${node} listens`, () => this.#answers(), 60_000, 25).catch((cause) => {
      throw new Error(`${cause.message}: ${tail(this.log, 20)}`);
    });
    this.#serving = true;
  }

  /** kill -9: whoever waits for it is cut off. */
  async kill(): Promise<void> {
    [this.#ending, this.#serving] = [true, false];
    await this.#program?.kill();
  }

  /** SIGSTOP and SIGCONT. */
  freeze(frozen: boolean): void {
    this.#program?.signal(frozen ? 'SIGSTOP' : 'SIGCONT');
    if (frozen) this.#stops.push({ from: performance.now(), until: Number.POSITIVE_INFINITY });
    else for (const stop of this.#stops.slice(-1)) stop.until = Math.min(stop.until, performance.now());
  }

  /** Its wall clock leaps; the monotonic one goes on. A process that only starts knows no such signal yet, and would end of it. */
  async stepClock(ms: number): Promise<void> {
    await eventually(`${this.node} serves`, () => this.#serving, 60_000, 25);
    await writeFile(join(this.directory, 'clock'), String(ms));
    this.#program?.signal('SIGUSR2');
  }

  /** Its engine's process ended: so did every connection. */
  hangUp(): void {
    this.#client.close();
    this.#client = this.#dial();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    this.#ending = this.#closed = true;
    this.freeze(false);
    await this.#program?.stop(5_000);
    await rm(this.directory, { recursive: true, force: true });
  }

  #dial(): PluginClient {
    return new PluginClient({ socketPath: join(this.directory, 'ipam.sock') });
  }

  async #answers(): Promise<boolean> {
    if (!this.#program?.running) throw new Error(`${this.node} has ended`);
    return this.#client.call('/Plugin.Activate').then(
      ({ status }) => status === 200,
      () => false,
    );
  }
}
