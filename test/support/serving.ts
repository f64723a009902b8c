// Drivers put together as the command `serve` does, in the test's own process, with their log in memory.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings } from '../../src/config.js';
import { parsePredefined } from '../../src/ipam/predefined.js';
import { openLog } from '../../src/log.js';
import { Releasers } from '../../src/process/releasers.js';
import { startDriver } from '../../src/serve.js';
import { PluginClient } from './plugin-client.js';

export class Serving implements AsyncDisposable {
  /** Messages, oldest first. */
  readonly log: string[] = [];
  readonly #releasers = new Releasers();
  readonly #directory: string;
  readonly #client: PluginClient;

  private constructor(
    readonly node: string,
    directory: string,
  ) {
    this.#directory = directory;
    this.#client = new PluginClient({ socketPath: join(directory, 'ipam.sock') });
  }

  /** Resolves once its session is alive. */
  static async start(etcd: string, node: string, env: Readonly<Record<string, string>> = {}): Promise<Serving> {
    const serving = new Serving(node, await mkdtemp(join(tmpdir(), `serving-${node}-`)));
    const settings = loadSettings(
      {
        ...{ ETCD_ENDPOINTS: etcd, IPAM_NODE: node, IPAM_MACHINE_ID: `machine-${node}` },
        ...{
          IPAM_SOCKET: join(serving.#directory, 'ipam.sock'),
          IPAM_COOLDOWN: '0s',
          IPAM_HISTORY: '0s',
          IPAM_OPS_LISTEN: '',
          ...env,
        },
      },
      parsePredefined,
    );
    const to = { write: (line: string) => void serving.log.push((JSON.parse(line) as { msg: string }).msg) };
    try {
      const running = await startDriver(settings, openLog({ level: 'info', node, to }), serving.#releasers);
      await running.alive(performance.now() + 60_000);
    } catch (cause) {
      await serving[Symbol.asyncDispose]();
      throw cause;
    }
    return serving;
  }

  /** The reply's body; rejects with the `Err` of a refusal. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  async must(method: string, body: object): Promise<any> {
    const { status, json, text } = await this.#client.call(`/IpamDriver.${method}`, body);
    if (status !== 200) throw new Error(json?.Err ?? text);
    return json;
  }

  /** What the engine is refused with; undefined where it is not. */
  async refusal(method: string, body: object): Promise<string | undefined> {
    return (await this.#client.call(`/IpamDriver.${method}`, body)).json?.Err;
  }

  async pool(subnet: string): Promise<string> {
    const ask = { AddressSpace: 'local', Pool: subnet, SubPool: '', Options: {}, V6: false };
    return (await this.must('RequestPool', ask)).PoolID;
  }

  /** The bare address. */
  async address(pool: string, name: string, wanted = ''): Promise<string> {
    return (await this.must('RequestAddress', askOf(pool, name, wanted))).Address.split('/')[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await this.#releasers.release();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** The body of a RequestAddress for a container. */
export function askOf(pool: string, name: string, wanted = ''): object {
  return { PoolID: pool, Address: wanted, Options: { 'com.docker.network.endpoint.name': name } };
}
