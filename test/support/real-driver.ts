// The driver as an operator runs it: the process `etcd-ipam serve`, on a machine of the test; it refuses to know engines.
import type { EtcdFixture } from './etcd.js';
import type { Machine } from './machine.js';
import { Program } from './process.js';
import { PROGRAM } from './program.js';

export interface RealDriverOptions {
  readonly etcd: Pick<EtcdFixture, 'url'>;
  /** Whose identity, boot and plugin sockets it has; the test's own without. */
  readonly machine?: Machine;
  /** Whose network: the test's unless given, since most tests have their etcd there. */
  readonly network?: 'machine';
  readonly env?: Readonly<Record<string, string>>;
}

/** One line of its log. */
export type Line = Readonly<Record<string, unknown>>;

/** One driver, through any number of stops, kills and starts. */
export class RealDriver implements AsyncDisposable {
  #program: Program | undefined;
  #earlier = '';

  private constructor(private readonly options: RealDriverOptions) {}

  /** Resolves once the node's session is in etcd. */
  static async start(options: RealDriverOptions): Promise<RealDriver> {
    const driver = RealDriver.on(options);
    await driver.start();
    return driver;
  }

  /** One that has not been started. */
  static on(options: RealDriverOptions): RealDriver {
    return new RealDriver(options);
  }

  /** The lines of all its starts, of which the oldest may be missing. */
  get log(): Line[] {
    return (this.#earlier + (this.#program?.output ?? ''))
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Line);
  }

  /** The decisions among them. */
  get decisions(): Line[] {
    return this.log.filter(({ outcome }) => outcome !== undefined);
  }

  /** Starts it; with `ready` 'listening' resolves when engines are answered, etcd or not. */
  async start(ready: 'session alive' | 'listening' = 'session alive'): Promise<void> {
    this.#earlier += this.#program?.output ?? '';
    const { etcd, machine, network, env } = this.options;
    const serve = [...PROGRAM, 'serve'];
    // Released addresses are to be gone at once, and drivers of several machines share one loopback here.
    const settings = { ETCD_ENDPOINTS: etcd.url, IPAM_COOLDOWN: '0s', IPAM_HISTORY: '0s', IPAM_OPS_LISTEN: '', ...env };
    const program = [process.execPath, serve] as const;
    const enter =
      network === 'machine' ? machine?.enter.bind(machine) : machine && enterAllButNet.bind(undefined, machine);
    const command = enter?.(...program) ?? program;
    this.#program = await Program.start(...command, { env: settings, ready: new RegExp(`"msg":"${ready}"`) });
  }

  /** SIGTERM; resolves with the exit code. */
  async stop(): Promise<number | undefined> {
    return this.#program?.stop();
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#program?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program?.[Symbol.asyncDispose]();
  }
}

function enterAllButNet({ pid }: Machine, command: string, args: readonly string[]): [string, string[]] {
  const where = ['--target', String(pid), '--mount', '--uts', '--root', `--wdns=${process.cwd()}`];
  return ['nsenter', [...where, '--', command, ...args]];
}
