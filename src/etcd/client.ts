// etcd's room, the pinned client: goes from one member to the next, and sends each transaction once all the same. With endpoint.ts
// and channel.ts the only file that imports etcd3; refuses to know keys, records and what a transaction is for.

import { setTimeout as sleep } from 'node:timers/promises';
import type {
  Etcd3,
  ICompare,
  IKeyValue,
  IRangeRequest,
  IRequestOp,
  IResponseOp,
  ITxnRequest,
  ITxnResponse,
  IWatchCreateRequest,
  IWatchResponse,
} from 'etcd3';
import type { Deadline } from '../ipam/store.js';
import { type CallOptions, Endpoint, keepAliveOnce } from './endpoint.js';
import { EtcdFault, type FaultKind } from './fault.js';
import { History } from './history.js';
import { deniedAccess, probesOf } from './permission.js';
import type { Tls } from './tls.js';

export type Compare = ICompare;
export type KeyValue = IKeyValue;
export type RequestOp = IRequestOp;
export type ResponseOp = IResponseOp;
export type TxnRequest = ITxnRequest;
export type TxnResponse = ITxnResponse;
export type WatchRequest = IWatchCreateRequest;
export type WatchResponse = IWatchResponse;
/** A transaction that changes nothing, and may therefore be repeated. */
export interface ReadRequest {
  readonly compare?: ICompare[];
  readonly success?: { request_range: IRangeRequest }[];
  readonly failure?: { request_range: IRangeRequest }[];
}

export interface EtcdSettings {
  /** With scheme: `http://10.0.0.1:2379` or `https://…`; port 2379 when none is given. */
  readonly endpoints: readonly string[];
  /** A function is asked at each call, and returns another object exactly when there are other certificates. */
  readonly tls?: Tls | (() => Tls);
  readonly username?: string;
  /** A function is asked at each log-in. */
  readonly password?: string | (() => string);
  /** How long one attempt at one endpoint may take, in ms. Default 1000. */
  readonly attemptMs?: number;
  /** For how long nothing must have answered before etcd is known to be away, in ms. Default 3000. */
  readonly outageMs?: number;
  /** Called when an attempt begins, and what it returns when that ends. */
  readonly attempted?: (what: Operation) => (fault?: FaultKind) => void;
}

/** What is asked of etcd, as operators' tools name it. */
export type Operation = 'txn' | 'read' | 'lease_grant' | 'lease_keepalive' | 'lease_revoke' | 'status';

/** Every method rejects with an EtcdFault, and has done so by `by`. Numbers of 64 bits are decimal strings. */
export interface EtcdClient {
  /** Told of every answer to a transaction that has operations. */
  readonly history: History;
  /**
   * At most one executed attempt, never longer than `attemptMs` once it was sent. Goes on to another endpoint (or
   * another token) only when the attempt before was provably not executed.
   */
  txn(request: TxnRequest, by: Deadline): Promise<TxnResponse>;
  /**
   * Linearizable unless nothing is asked. Tried at one endpoint after the other until `by`; with `hasty` at most until etcd
   * is known to be away.
   */
  read(request: ReadRequest, by: Deadline, hasty?: boolean): Promise<TxnResponse>;
  /** May leave a lease behind, without keys, when an answer is lost. The TTL returned is the one etcd granted. */
  grant(ttlSeconds: number, by: Deadline): Promise<{ readonly id: string; readonly ttl: number }>;
  /** The seconds the lease has from now; 0 when it is gone. */
  keepAlive(leaseId: string, by: Deadline): Promise<number>;
  /** Resolves also when the lease was gone already. */
  revoke(leaseId: string, by: Deadline): Promise<void>;
  /** The server version of the endpoint that answers, "3.4.23". */
  version(by: Deadline): Promise<string>;
  /**
   * One stream at one endpoint, read as fast as `on` is done with each response. Never resumed: rejects with what ended it, and
   * resolves when the signal, or etcd, did.
   */
  watch(request: WatchRequest, on: (reply: WatchResponse) => void | Promise<void>, signal: AbortSignal): Promise<void>;
  /**
   * Why etcd is known to be away: no endpoint has answered anything for `outageMs`, or for one attempt's time where none ever
   * has. It is asked on, in the background, and this is undefined again with the first answer. Before that, calls need not
   * wait for what is not coming.
   */
  outage(): EtcdFault | undefined;
  /** "etcd at 10.0.0.1:2379, 10.0.0.2:2379": no secrets. */
  describe(): string;
  close(): void;
}

export function openClient(settings: EtcdSettings): EtcdClient {
  return new FailOver(settings);
}

const PROBE_PAUSE = 250;

class FailOver implements EtcdClient {
  readonly history = new History();
  readonly #endpoints: readonly Endpoint[];
  /** Who is denied what, in words. */
  readonly #who: string;
  readonly #attemptMs: number;
  readonly #outageMs: number;
  readonly #attempted: NonNullable<EtcdSettings['attempted']>;
  #current: number;
  #closed = false;
  /** The latest fault, and since when there has been nothing but faults. */
  #away: { readonly since: number; fault: EtcdFault } | undefined;
  #probing = false;
  #answered = false;

  constructor(settings: EtcdSettings) {
    if (settings.endpoints.length === 0) throw new Error('no etcd endpoint is configured');
    this.#endpoints = settings.endpoints.map((url) => new Endpoint(url, settings));
    this.#who = settings.username ? `user ${settings.username}` : 'the user of the client certificate';
    this.#attemptMs = settings.attemptMs ?? 1000;
    this.#outageMs = settings.outageMs ?? 3000;
    this.#attempted = settings.attempted ?? (() => () => undefined);
    this.#current = Math.floor(Math.random() * this.#endpoints.length);
  }

  async txn(request: TxnRequest, by: Deadline): Promise<TxnResponse> {
    for (let left = this.#endpoints.length; ; left--) {
      try {
        return await this.#attempt('txn', by, this.#sending(request));
      } catch (error) {
        const proven = error instanceof EtcdFault && error.kind === 'not_sent' && error.traits.elsewhere;
        if (!proven || left <= 1 || performance.now() >= by || this.#closed)
          throw await this.#withKey(error, request, by);
      }
    }
  }

  async read(request: ReadRequest, by: Deadline, hasty = false): Promise<TxnResponse> {
    try {
      return await this.#insist('read', by, this.#sending(request), hasty);
    } catch (error) {
      throw await this.#withKey(error, request, by);
    }
  }

  async grant(ttlSeconds: number, by: Deadline): Promise<{ id: string; ttl: number }> {
    const { ID, TTL } = await this.#insist('lease_grant', by, (etcd, options) =>
      etcd.leaseClient.leaseGrant({ TTL: ttlSeconds }, options),
    );
    return { id: ID, ttl: Number(TTL) };
  }

  keepAlive(leaseId: string, by: Deadline): Promise<number> {
    const send = (etcd: Etcd3, options: CallOptions) => keepAliveOnce(etcd, leaseId, options);
    return this.#insist('lease_keepalive', by, send).catch((error: unknown) => {
      if (error instanceof EtcdFault && error.traits.leaseGone) return 0;
      throw error;
    });
  }

  async revoke(leaseId: string, by: Deadline): Promise<void> {
    try {
      const send = (etcd: Etcd3, options: CallOptions) => etcd.leaseClient.leaseRevoke({ ID: leaseId }, options);
      await this.#insist('lease_revoke', by, send);
    } catch (error) {
      if (!(error instanceof EtcdFault && error.traits.leaseGone)) throw error;
    }
  }

  async version(by: Deadline): Promise<string> {
    return (await this.#insist('status', by, (etcd, options) => etcd.maintenance.status(options))).version;
  }

  async watch(
    request: WatchRequest,
    on: (reply: WatchResponse) => void | Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const at = this.#current;
    try {
      await (this.#endpoints[at] as Endpoint).watch(request, on, signal, performance.now() + this.#attemptMs);
    } catch (error) {
      if (error instanceof EtcdFault && error.traits.elsewhere && this.#current === at)
        this.#current = (at + 1) % this.#endpoints.length;
      throw error;
    }
  }

  outage(): EtcdFault | undefined {
    const least = this.#answered ? this.#outageMs : this.#attemptMs;
    return this.#away && performance.now() - this.#away.since >= least ? this.#away.fault : undefined;
  }

  describe(): string {
    return `etcd at ${this.#endpoints.map((e) => e.label).join(', ')}`;
  }

  close(): void {
    this.#closed = true;
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  /** Transactions alone are linearizable: what leases and members say of revisions is no sign of anything. */
  #sending(request: TxnRequest) {
    return async (etcd: Etcd3, options: CallOptions): Promise<TxnResponse> => {
      const sent = this.history.known;
      const reply = await etcd.kv.txn(request, options);
      if (operates(request)) this.history.answered(reply.header, sent, wrote(request, reply));
      return reply;
    };
  }

  /** One attempt at the current endpoint; a fault that another endpoint may not have moves the current one on. */
  async #attempt<T>(
    what: Operation,
    by: Deadline,
    send: (etcd: Etcd3, options: CallOptions) => Promise<T>,
  ): Promise<T> {
    const at = this.#current;
    const endpoint = this.#endpoints[at] as Endpoint;
    const ended = this.#attempted(what);
    try {
      const reply = await endpoint.call(Math.min(by, performance.now() + this.#attemptMs), send);
      this.#heard();
      ended();
      return reply;
    } catch (error) {
      ended(error instanceof EtcdFault ? error.kind : 'unknown');
      if (error instanceof EtcdFault) this.#noted(error);
      if (error instanceof EtcdFault && error.traits.elsewhere && this.#current === at)
        this.#current = (at + 1) % this.#endpoints.length;
      throw error;
    }
  }

  /** etcd says that something is denied and not what: asked for one by one, without effect. */
  async #withKey(error: unknown, request: TxnRequest, by: Deadline): Promise<unknown> {
    if (!(error instanceof EtcdFault && error.traits.forbidden)) return error;
    for (const { access, request: probe } of probesOf(request)) {
      const denied = await this.#attempt('read', by, (etcd, options) => etcd.kv.txn(probe, options)).then(
        () => false,
        (fault) => fault instanceof EtcdFault && fault.traits.forbidden === true,
      );
      if (denied) return deniedAccess(error, this.#who, access);
    }
    return error;
  }

  /** A refusal is an answer too. */
  #noted(fault: EtcdFault): void {
    if (fault.kind === 'refused') this.#heard();
    else if (!fault.traits.elsewhere) return;
    else if (this.#away) this.#away.fault = fault;
    else {
      this.#away = { since: performance.now(), fault };
      if (!this.#probing) void this.#probe();
    }
  }

  #heard(): void {
    this.#answered = true;
    this.#away = undefined;
  }

  /** Asks one endpoint after the other until one answers, for the calls that no longer do. */
  async #probe(): Promise<void> {
    this.#probing = true;
    const anything = { success: [{ request_range: { key: Buffer.from('\0'), keys_only: true } }] };
    while (this.#away && !this.#closed) {
      await sleep(PROBE_PAUSE, undefined, { ref: false });
      const by = performance.now() + this.#attemptMs;
      if (this.#away) await this.#attempt('read', by, this.#sending(anything)).catch(() => undefined);
    }
    this.#probing = false;
  }

  /** For calls that do no harm twice: again at the next endpoint until `by`, waiting only after a full round. */
  async #insist<T>(
    what: Operation,
    by: Deadline,
    send: (etcd: Etcd3, options: CallOptions) => Promise<T>,
    hasty = false,
  ): Promise<T> {
    let before: EtcdFault | undefined;
    for (let tries = 1; ; tries++) {
      const cutShort = performance.now() + this.#attemptMs > by;
      try {
        return await this.#attempt(what, by, send);
      } catch (error) {
        if (!(error instanceof EtcdFault) || this.#closed) throw error;
        // The pause may have taken what time was left: that says nothing.
        if (!error.traits.elsewhere) throw (error.kind === 'not_sent' && before) || error;
        // "no answer within 0.2 s" would be the caller's haste, not what is wrong.
        const telling = cutShort && before ? before : error;
        const round = Math.floor(tries / this.#endpoints.length);
        const pause = tries % this.#endpoints.length === 0 ? Math.min(20 * 2 ** round, 200) * (0.5 + Math.random()) : 0;
        if (performance.now() + pause >= by || (hasty && this.outage())) throw telling;
        before = telling;
        if (pause > 0) await sleep(pause);
      }
    }
  }
}

/**
 * Who asks for nothing is answered by any member as it is, cut off or behind: to etcd that is a serializable transaction
 * (isTxnSerializable in its v3_server.go).
 */
function operates({ success = [], failure = [] }: TxnRequest): boolean {
  return success.length > 0 || failure.length > 0;
}

/** Whether anything was put, by one of the nested transactions too. */
function wrote(
  { success = [] }: TxnRequest,
  { succeeded, responses }: Pick<TxnResponse, 'succeeded' | 'responses'>,
): boolean {
  if (!succeeded) return false;
  return success.some(({ request_put: put, request_txn: nested }, i) =>
    nested ? wrote(nested, responses[i]!.response_txn) : put !== undefined,
  );
}
