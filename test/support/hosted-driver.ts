// A driver with all that `etcd-ipam serve` puts together, settings included, in the test's own process: its log is kept in
// memory. It refuses to know what it is asked.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings, type Settings } from '../../src/config.js';
import { type Predefined, parsePredefined } from '../../src/ipam/predefined.js';
import { openLog } from '../../src/log.js';
import { Releasers } from '../../src/process/releasers.js';
import { startDriver } from '../../src/serve.js';
import { readStatus, type Status } from '../../src/status.js';
import { PluginClient } from './plugin-client.js';
import { eventually } from './process.js';

export type Line = Readonly<Record<string, unknown>> & { readonly msg: string };

export class HostedDriver implements AsyncDisposable {
  readonly client: PluginClient;
  readonly #lines: string[];

  private constructor(
    readonly settings: Settings<readonly Predefined[]>,
    lines: string[],
    private readonly releasers: Releasers,
    private readonly directory: string,
  ) {
    this.#lines = lines;
    this.client = new PluginClient({ socketPath: settings.socket! });
  }

  /** Resolves once engines are answered. Rounds are paced by `roundMs`. */
  static async start(env: Record<string, string>, roundMs?: number): Promise<HostedDriver> {
    const directory = await mkdtemp(join(tmpdir(), 'hosted-'));
    const node = env.IPAM_NODE ?? 'web';
    const settings = loadSettings(
      {
        ...{ IPAM_NODE: node, IPAM_MACHINE_ID: `machine-${node}`, IPAM_SOCKET: join(directory, 'ipam.sock') },
        ...{ IPAM_OPS_LISTEN: '', IPAM_COOLDOWN: '0s', IPAM_HISTORY: '0s', LOG_LEVEL: 'trace', ...env },
      },
      parsePredefined,
    );
    const lines: string[] = [];
    const log = openLog({ level: settings.logLevel, node, to: { write: (line: string) => void lines.push(line) } });
    const releasers = new Releasers();
    await startDriver(settings, log, releasers, undefined, roundMs);
    return new HostedDriver(settings, lines, releasers, directory);
  }

  /** The log as it would be written. */
  get text(): string {
    return this.#lines.join('');
  }

  get log(): Line[] {
    return this.#lines.map((line) => JSON.parse(line) as Line);
  }

  /** The first line from `from` on whose text, reason or error matches. */
  says(pattern: RegExp, from = 0, timeoutMs = 30_000): Promise<Line> {
    const matches = (line: string) => pattern.test(line);
    return eventually(
      `the log says ${pattern}`,
      () => {
        const found = this.#lines.slice(from).find(matches);
        return found === undefined ? undefined : (JSON.parse(found) as Line);
      },
      timeoutMs,
    ).catch((cause) => {
      throw new Error(`${cause.message}; it said ${this.#lines.slice(-10).join('')}`);
    });
  }

  /** For `says`: from now on. */
  get said(): number {
    return this.#lines.length;
  }

  status(): Promise<Status> {
    return readStatus(this.settings);
  }

  /** The reply's body; rejects with the `Err` of a refusal. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  async must(name: string, body: object): Promise<any> {
    const { status, json, text } = await this.client.call(`/IpamDriver.${name}`, body);
    if (status !== 200) throw new Error(json?.Err ?? text);
    return json;
  }

  /** What Docker's user would read, or undefined. */
  async refusal(name: string, body: object): Promise<string | undefined> {
    return (await this.client.call(`/IpamDriver.${name}`, body)).json?.Err;
  }

  async pool(subnet: string, space = 'local', options: Record<string, string> | null = {}): Promise<string> {
    const ask = { AddressSpace: space, Pool: subnet, SubPool: '', Options: options, V6: false };
    return (await this.must('RequestPool', ask)).PoolID;
  }

  async address(PoolID: string, Address = '', Options: Record<string, string> | null = null): Promise<string> {
    return (await this.must('RequestAddress', { PoolID, Address, Options })).Address.split('/')[0];
  }

  async release(PoolID: string, Address: string): Promise<void> {
    await this.must('ReleaseAddress', { PoolID, Address });
  }

  async stop(): Promise<void> {
    this.client.close();
    await this.releasers.release();
    await rm(this.directory, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
