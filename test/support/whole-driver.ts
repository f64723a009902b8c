// Everything of a driver but its command and log, in the test's own process over a real etcd, with a socket engines could
// dial. What the process is called, and how long a call may take, is the test's to say.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Driver, type Told } from '../../src/docker/driver.js';
import { type CallEvent, type Listening, serve } from '../../src/docker/index.js';
import { type EtcdClient, openClient, type TxnRequest } from '../../src/etcd/client.js';
import { type SessionEvent, SessionKeeper } from '../../src/etcd/session.js';
import { EtcdStore } from '../../src/etcd/store.js';
import { Allocator } from '../../src/ipam/allocator.js';
import { parsePredefined } from '../../src/ipam/predefined.js';
import type { Surroundings } from '../../src/ipam/surroundings.js';
import { type Answer, type CallOptions, PluginClient } from './plugin-client.js';
import { sleep } from './process.js';

export const PREFIX = '/etcd-ipam/';

export interface WholeOptions {
  /** Where its etcd is, or seems to be. */
  readonly etcd: string | readonly string[];
  readonly node?: string;
  readonly boot?: string;
  readonly deadlineMs?: number;
  /** How long one attempt at etcd may take. */
  readonly attemptMs?: number;
  /** Seconds. */
  readonly ttl?: number;
  readonly pools?: string;
  /** How long a released address rests. */
  readonly restMs?: number;
  /** Called before the process has sent anything. */
  readonly begun?: (whole: WholeDriver) => void;
}

export class WholeDriver implements AsyncDisposable {
  readonly node: string;
  readonly told: Told[] = [];
  readonly events: CallEvent[] = [];
  readonly sessions: SessionEvent[] = [];
  /** What failed for good, and faults of the server. */
  readonly faults: unknown[] = [];
  readonly session: SessionKeeper;
  readonly store: EtcdStore;
  readonly allocator: Allocator;
  readonly driver: Driver;
  /** Called before each transaction is sent, those of the session included; reads that change nothing go by. */
  beforeWrite: (request: TxnRequest) => void | Promise<void> = () => undefined;
  /** Of each call that begins from now on. */
  deadlineMs: number;
  /** Of 30 s, that it has lived through; none pass by themselves. */
  rounds = 0;
  readonly #etcd: EtcdClient;
  #listening: Listening | undefined;
  #directory = '';
  #client: PluginClient | undefined;

  private constructor({
    etcd,
    node = 'web',
    boot = 'boot-1',
    deadlineMs = 5_000,
    attemptMs,
    ttl = 15,
    pools = '',
    restMs = 0,
  }: WholeOptions) {
    this.node = node;
    this.deadlineMs = deadlineMs;
    this.#etcd = this.#tapped(openClient({ endpoints: [etcd].flat(), ...(attemptMs && { attemptMs }) }));
    const instance = randomBytes(4).toString('hex');
    const identity = { prefix: PREFIX, node, boot, machine: `machine-${node}`, instance, ttl };
    this.session = new SessionKeeper(this.#etcd, { ...identity, report: (event) => this.sessions.push(event) });
    this.store = new EtcdStore(this.#etcd, this.session, PREFIX);
    const report = (what: string, error: unknown) => this.faults.push(new Error(what, { cause: error }));
    const around = { ...SURROUNDINGS, rounds: () => this.rounds };
    this.allocator = new Allocator(this.store, { node, boot, restMs }, around, parsePredefined(pools), report);
    this.driver = new Driver(this.allocator, false, (told) => this.told.push(told));
  }

  static async start(options: WholeOptions): Promise<WholeDriver> {
    const whole = new WholeDriver(options);
    options.begun?.(whole);
    const server = serve(whole.driver, {
      deadlineMs: () => whole.deadlineMs,
      onCall: (event) => whole.events.push(event),
      onError: (error) => whole.faults.push(error),
    });
    whole.#directory = await mkdtemp(join(tmpdir(), 'whole-'));
    whole.#listening = await server.serveUnix(join(whole.#directory, 'ipam.sock'));
    whole.#client = new PluginClient({ socketPath: whole.#listening.address });
    whole.session.start();
    return whole;
  }

  /** A connection of its own, as another engine would have. */
  dial(): PluginClient {
    return new PluginClient({ socketPath: this.#listening!.address });
  }

  /** One call, `RequestPool` for `/IpamDriver.RequestPool`. */
  call(name: string, body?: object | string, options?: CallOptions): Promise<Answer> {
    return this.#client!.call(name.startsWith('/') ? name : `/IpamDriver.${name}`, body, options);
  }

  /** The reply's body; rejects with the `Err` of a refusal. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  async must(name: string, body: object): Promise<any> {
    const { status, json, text } = await this.call(name, body);
    if (status !== 200) throw new Error(json?.Err ?? text);
    return json;
  }

  /** Without options, as a swarm's agent asks, null is sent. */
  async pool(
    subnet: string,
    options: Record<string, string> | null = {},
    range = '',
    space = 'local',
  ): Promise<string> {
    const ask = { AddressSpace: space, Pool: subnet, SubPool: range, Options: options, V6: subnet.includes(':') };
    return (await this.must('RequestPool', ask)).PoolID;
  }

  /** The bare address granted. Without options, null is sent. */
  async address(poolId: string, address = '', options: Record<string, string> | null = null): Promise<string> {
    const reply = await this.must('RequestAddress', { PoolID: poolId, Address: address, Options: options });
    return reply.Address.split('/')[0];
  }

  async release(poolId: string, address: string): Promise<void> {
    await this.must('ReleaseAddress', { PoolID: poolId, Address: address });
  }

  async drop(poolId: string): Promise<void> {
    await this.must('ReleasePool', { PoolID: poolId });
  }

  /** Ends in the order of a real stop, or at once and without a word to etcd when `abruptly`. */
  async stop(abruptly = false): Promise<void> {
    this.#client?.close();
    await this.#listening?.close(abruptly ? 0 : 2_000);
    await this.allocator.close(abruptly ? 0 : 2_000);
    this.store.close();
    await this.session.stop(performance.now() + (abruptly ? 0 : 1_000)).catch(() => undefined);
    this.#etcd.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  #tapped(etcd: EtcdClient): EtcdClient {
    const txn: EtcdClient['txn'] = async (request, by) => {
      const writes = request.success?.some((op) => op.request_put || op.request_delete_range);
      if (writes) await this.beforeWrite(request);
      return etcd.txn(request, by);
    };
    return new Proxy(etcd, {
      get: (_, name: keyof EtcdClient) => {
        if (name === 'txn') return txn;
        return name === 'history' ? etcd.history : etcd[name].bind(etcd);
      },
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** The option maps of an engine's requests. */
export const AS = {
  gateway: { RequestAddressType: 'com.docker.network.gateway' },
  named: (name: string) => ({ 'com.docker.network.endpoint.name': name }),
  mac: (mac: string) => ({ 'com.docker.network.endpoint.macaddress': mac }),
};

/** A look at etcd itself, beside whatever stands between it and the driver. */
export class Look {
  readonly #etcd: EtcdClient;
  readonly #prefix: string;

  constructor(url: string, prefix = PREFIX) {
    this.#etcd = openClient({ endpoints: [url], attemptMs: 5_000 });
    this.#prefix = prefix;
  }

  async revision(): Promise<string> {
    return (await this.#read('nothing')).revision;
  }

  /** Every record with its key relative to the prefix. */
  async keyspace(under = ''): Promise<Record<string, Record<string, unknown>>> {
    return (await this.#read(`${this.#prefix}${under}`)).records;
  }

  async keys(under = ''): Promise<string[]> {
    return Object.keys(await this.keyspace(under));
  }

  /** Only counted, for what is too much to be read at once. */
  async count(under = ''): Promise<number> {
    const key = Buffer.from(this.#prefix + under);
    const range = { key, range_end: after(key), count_only: true };
    const reply = await this.#etcd.read({ success: [{ request_range: range }] }, soon());
    return Number(reply.responses[0]!.response_range.count);
  }

  /** Sends somebody's transaction once more: a copy that was stuck somewhere. True if it had an effect. */
  async land(request: TxnRequest): Promise<boolean> {
    return (await this.#etcd.txn(request, soon())).succeeded;
  }

  async put(key: string, record: object): Promise<void> {
    const value = Buffer.from(JSON.stringify(record));
    await this.#etcd.txn({ success: [{ request_put: { key: Buffer.from(this.#prefix + key), value } }] }, soon());
  }

  async clear(under = ''): Promise<void> {
    const key = Buffer.from(this.#prefix + under);
    await this.#etcd.txn({ success: [{ request_delete_range: { key, range_end: after(key) } }] }, soon());
  }

  close(): void {
    this.#etcd.close();
  }

  async #read(prefix: string) {
    const key = Buffer.from(prefix);
    const reply = await this.#etcd.read({ success: [{ request_range: { key, range_end: after(key) } }] }, soon());
    const kvs = reply.responses[0]!.response_range.kvs;
    const records = kvs.map((kv) => [kv.key.toString().slice(this.#prefix.length), JSON.parse(kv.value.toString())]);
    return { revision: reply.header.revision, records: Object.fromEntries(records) };
  }
}

const soon = () => performance.now() + 10_000;

function after(key: Buffer): Buffer {
  const end = Buffer.from(key);
  end[end.length - 1]!++;
  return end;
}

const SURROUNDINGS: Omit<Surroundings, 'rounds'> = {
  now: () => new Date(),
  millis: () => performance.now(),
  token: () => randomBytes(8).toString('hex'),
  below: (bound) => BigInt(`0x${randomBytes(8).toString('hex')}`) % bound,
  pause: sleep,
};
