// etcd's room, one member: its connection, its token, and one attempt at it at a time. Refuses to know that there are others.

import type { CallOptionsFactory, Etcd3 } from 'etcd3';
import type { Deadline } from '../ipam/store.js';
import { Channel } from './channel.js';
import type { EtcdSettings, WatchRequest, WatchResponse } from './client.js';
import { EtcdFault, faultOf, type Status } from './fault.js';
import { LogIn } from './log-in.js';
import { withFile } from './tls.js';

export type CallOptions = Exclude<CallOptionsFactory, (...args: never[]) => unknown>;
type Interceptor = NonNullable<CallOptions['interceptors']>[number];

export class Endpoint {
  readonly label: string;
  readonly #channel: Channel;
  readonly #logIn: LogIn | undefined;

  constructor(url: string, { tls, username, password = '' }: EtcdSettings) {
    const [, scheme, rest] = /^(https?):\/\/([^/@]+)\/?$/.exec(url) ?? [];
    if (scheme === undefined || rest === undefined)
      throw new Error(`etcd endpoint ${url.replace(/\/\/.*@/, '//…@')} is not http(s)://host:port`);
    this.label = /:\d+$/.test(rest) ? rest : `${rest}:2379`;
    const certificates = scheme === 'http' ? undefined : tls;
    this.#channel = new Channel(
      `${scheme}://${this.label}`,
      typeof certificates === 'function' ? certificates : () => certificates,
    );
    const user = { name: username ?? '', password: typeof password === 'function' ? password : () => password };
    const ask = async (whom: { name: string; password: string }, until: Deadline) =>
      (await this.#once(until, '', (etcd, options) => etcd.auth.authenticate(whom, options))).token;
    this.#logIn = username ? new LogIn(user, ask) : undefined;
  }

  close(): void {
    this.#channel.close();
  }

  /** Executed at most once: a second try is made only after etcd refused the token. */
  async call<T>(until: Deadline, send: (etcd: Etcd3, options: CallOptions) => Promise<T>): Promise<T> {
    if (!this.#logIn) return this.#once(until, '', send);
    for (let fresh = false; ; fresh = true) {
      const token = await within(this.#logIn.token(), until, () => this.#noTime(true));
      try {
        return await this.#once(until, token, send);
      } catch (error) {
        if (!(error instanceof EtcdFault && error.traits.token)) throw error;
        this.#logIn.refuse(token);
        if (fresh) throw error;
      }
    }
  }

  /** A member that has lost its cluster would say nothing for ever; so asked, it ends the stream. */
  async watch(
    request: WatchRequest,
    on: (reply: WatchResponse) => void | Promise<void>,
    signal: AbortSignal,
    loggedInBy: Deadline,
  ): Promise<void> {
    const token = this.#logIn ? await within(this.#logIn.token(), loggedInBy, () => this.#noTime(true)) : '';
    const probe = new Probe(token, { hasleader: 'true' });
    let refused = false;
    const hear = async (reply: WatchResponse) => {
      refused = true;
      await on(reply);
      refused = false;
    };
    try {
      await this.#channel.use((etcd) => readWatch(etcd, request, hear, signal, { interceptors: [probe.interceptor] }));
    } catch (error) {
      if (signal.aborted) return;
      if (refused || !probe.status) throw error;
      const fault = faultOf(probe.status, this.label, 0, error);
      if (fault.traits.token) this.#logIn?.refuse(token);
      throw fault;
    }
  }

  #noTime(loggingIn = false): EtcdFault {
    const reason = loggingIn ? 'the log-in was not answered in time' : 'no time left';
    return new EtcdFault('not_sent', reason, this.label, { final: true, elsewhere: loggingIn });
  }

  async #once<T>(until: Deadline, token: string, send: (etcd: Etcd3, options: CallOptions) => Promise<T>): Promise<T> {
    const budget = Math.ceil(until - performance.now());
    if (budget <= 0) throw this.#noTime();
    const probe = new Probe(token);
    try {
      const options = { deadline: Date.now() + budget, interceptors: [probe.interceptor] };
      return await this.#channel.use((etcd) => send(etcd, options));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      const closed = { code: 14, details: 'Channel closed before call started' };
      const status = probe.status ?? (probe.started ? { code: 2, details: text } : closed);
      const fault = faultOf(status, this.label, budget, error);
      const reason = withFile(fault.reason, this.#channel.tls);
      throw reason === fault.reason
        ? fault
        : new EtcdFault(fault.kind, reason, this.label, fault.traits, { cause: error });
    }
  }
}

/** The promise's outcome, or at `until` the error made by `late`; leaves no timer behind. */
async function within<T>(promise: Promise<T>, until: Deadline, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), Math.max(0, until - performance.now()));
  });
  return Promise.race([promise, end]).finally(() => clearTimeout(timer));
}

/**
 * Stands in the way of one call: adds the token, keeps the status as gRPC gave it (etcd3 rewords it and drops the
 * code), and lets nothing through a second time, whatever the library above decides to do.
 */
class Probe {
  started = false;
  status: Status | undefined;

  constructor(
    readonly token: string,
    readonly also: Readonly<Record<string, string>> = {},
  ) {}

  readonly interceptor: Interceptor = (options, nextCall) => {
    if (this.started) throw new Error('a request is sent only once');
    this.started = true;
    const call = nextCall(options);
    const start = call.start.bind(call);
    call.start = (metadata, listener) => {
      if (this.token !== '') metadata.set('token', this.token);
      for (const [name, value] of Object.entries(this.also)) metadata.set(name, value);
      start(metadata, {
        onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
        onReceiveMessage: (message) => listener?.onReceiveMessage?.(message),
        onReceiveStatus: (status) => {
          this.status ??= status;
          listener?.onReceiveStatus?.(status);
        },
      });
    };
    return call as ReturnType<Interceptor>; // its type asks for gRPC's own class, its code for this shape
  };
}

/** A stream of its own for one keepalive: half-closed after the answer, so that etcd ends it and nothing is cancelled. */
export async function keepAliveOnce(etcd: Etcd3, leaseId: string, options: CallOptions): Promise<number> {
  const stream = await etcd.leaseClient.leaseKeepAlive(options);
  return new Promise((resolve, reject) => {
    stream.on('error', reject);
    stream.on('end', () => reject(new Error('the keepalive stream ended without an answer')));
    stream.on('data', (reply) => {
      resolve(Number(reply.TTL));
      stream.end();
    });
    stream.write({ ID: leaseId });
  });
}

async function readWatch(
  etcd: Etcd3,
  request: WatchRequest,
  on: (reply: WatchResponse) => Promise<void>,
  signal: AbortSignal,
  options: CallOptions,
): Promise<void> {
  const stream = await etcd.watchClient.watch(options);
  const cancel = () => stream.cancel();
  stream.on('error', () => undefined); // what comes after its end
  signal.addEventListener('abort', cancel, { once: true });
  try {
    if (signal.aborted) return;
    stream.write({ create_request: request });
    for await (const reply of stream as unknown as AsyncIterable<WatchResponse>) await on(reply);
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}
