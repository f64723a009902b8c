// A driver in the test's own process whose rounds last 2 s and whose hold is two of them, so that a node is gone within
// seconds. Refuses to know what becomes of it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings } from '../../src/config.js';
import { parsePredefined } from '../../src/ipam/predefined.js';
import { openLog } from '../../src/log.js';
import { Releasers } from '../../src/process/releasers.js';
import { startDriver } from '../../src/serve.js';
import { type Answer, PluginClient } from './plugin-client.js';

/** etcd has no shorter lease. */
export const ROUND_MS = 2_000;

export class QuickNode implements AsyncDisposable {
  readonly #client: PluginClient;
  readonly #stop: () => Promise<unknown>;

  private constructor(
    readonly name: string,
    /** The PoolID it asks through. */
    readonly pool: string,
    readonly log: readonly string[],
    client: PluginClient,
    stop: () => Promise<unknown>,
  ) {
    this.#client = client;
    this.#stop = stop;
  }

  /** Resolves once it is alive and has joined `subnet`, or goes on with the PoolID `pool` that it had before. */
  static async start(
    etcd: string,
    name: string,
    { subnet, pool, env = {} }: { subnet: string; pool?: string; env?: Record<string, string> },
  ): Promise<QuickNode> {
    const directory = await mkdtemp(join(tmpdir(), `quick-${name}-`));
    const socketPath = join(directory, 'ipam.sock');
    const own = { IPAM_NODE: name, IPAM_MACHINE_ID: `machine-${name}`, IPAM_SOCKET: socketPath };
    const plain = { IPAM_COOLDOWN: '0s', IPAM_HISTORY: '0s', IPAM_OPS_LISTEN: '' };
    const settings = loadSettings({ ETCD_ENDPOINTS: etcd, ...own, ...plain, ...env }, parsePredefined);
    const lines: string[] = [];
    const log = openLog({ level: 'info', node: name, to: { write: (line: string) => void lines.push(line) } });
    const releasers = new Releasers();
    const client = new PluginClient({ socketPath });
    const stop = async () => {
      client.close();
      await releasers.release();
      await rm(directory, { recursive: true, force: true });
    };
    try {
      const quick = { ...settings, hold: 2 * ROUND_MS };
      const running = await startDriver(quick, log, releasers, undefined, ROUND_MS);
      await running.alive(performance.now() + 60_000);
      const ask = { AddressSpace: 'local', Pool: subnet, SubPool: '', Options: {}, V6: false };
      const joined = pool ?? (await client.call('/IpamDriver.RequestPool', ask)).json.PoolID;
      return new QuickNode(name, joined, lines, client, stop);
    } catch (cause) {
      await stop();
      throw cause;
    }
  }

  call(method: string, body: object): Promise<Answer> {
    return this.#client.call(`/IpamDriver.${method}`, body);
  }

  /** An address for the container `name`, as engines from 29 on ask. */
  address(wanted = '', name = 'web'): Promise<Answer> {
    const Options = { 'com.docker.network.endpoint.name': name };
    return this.call('RequestAddress', { PoolID: this.pool, Address: wanted, Options });
  }

  release(address: string): Promise<Answer> {
    return this.call('ReleaseAddress', { PoolID: this.pool, Address: address });
  }

  /** The lines of the log that hold `text`, decoded. */
  said(text: string): Record<string, unknown>[] {
    return this.log.filter((line) => line.includes(text)).map((line) => JSON.parse(line));
  }

  stop(): Promise<unknown> {
    return this.#stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
