// One call of Docker's plugin API from its first byte to its last: read, ask the driver, answer or take back. Refuses to
// know what is asked for and how the connection came to be.
import type { IncomingMessage, ServerResponse } from 'node:http';
import Koa from 'koa';
import type { AddressReply, AddressSpaces, Call, Capabilities, Ipam, PoolReply } from './ipam.js';
import { afterAllDecided, afterPoll, asError, Lent, refusal, Undos, WayBack } from './reply.js';
import {
  BadRequest,
  BODY_LIMIT,
  encodeAddress,
  encodeCapabilities,
  encodePool,
  encodeSpaces,
  parse,
  type Requests,
  type StateCall,
} from './wire.js';

export type CallName = 'Activate' | 'GetCapabilities' | 'GetDefaultAddressSpaces' | StateCall;

/**
 * answered: the kernel took the whole reply. refused: the caller got an error. late: the deadline passed first, the
 * caller got an error. undelivered: the caller had gone. After the last three everything granted is taken back.
 */
export type Outcome = 'answered' | 'refused' | 'undelivered' | 'late';

/** What became of one call, told once. */
export interface CallEvent {
  readonly call: CallName;
  readonly outcome: Outcome;
  /** From the arrival of the request's head to the decision. */
  readonly ms: number;
  /** Undefined for the calls without one, and where it could not be read. */
  readonly request: Requests[StateCall] | undefined;
  /** What the driver granted, delivered or not. */
  readonly reply: Capabilities | AddressSpaces | PoolReply | AddressReply | undefined;
  /** What the driver threw, or why there was no answer. */
  readonly error: Error | undefined;
}

export interface AppOptions {
  /** Milliseconds within which a state call is answered; a function is asked at each call's arrival. Default 5000. */
  readonly deadlineMs?: number | (() => number);
  readonly onCall?: (event: CallEvent) => void;
  /** Undos that failed and faults of the server itself. Default: a process warning. */
  readonly onError?: (error: Error) => void;
}

export interface PluginApp {
  /** Resolves when the call is over, with all that it had to take back. */
  listener(req: IncomingMessage, res: ServerResponse): Promise<unknown>;
  /** From now on every reply asks the caller to close its connection. */
  startClosing(): void;
  /** Resolves when no call, and no undo of one, is in hand. */
  idle(): Promise<void>;
}

const DEFAULT_DEADLINE_MS = 5000;
const LATE = Symbol('late');
const STATE_CALLS = ['RequestPool', 'ReleasePool', 'RequestAddress', 'ReleaseAddress'] as const;

type Answer = (way: WayBack, req: IncomingMessage) => Promise<void>;

interface Granted {
  readonly reply: PoolReply | AddressReply | undefined;
  readonly body: object;
}
type Settled = Granted | { readonly error: Error };

interface Replies {
  RequestPool: PoolReply;
  ReleasePool: unknown;
  RequestAddress: AddressReply;
  ReleaseAddress: unknown;
}

interface Asking<C extends StateCall> {
  readonly ask: (ipam: Ipam, request: Requests[C], call: Call) => Promise<Replies[C]>;
  readonly encode: (reply: Replies[C]) => Granted;
}

const NOTHING: Granted = { reply: undefined, body: {} };
const ASKING: { readonly [C in StateCall]: Asking<C> } = {
  RequestPool: {
    ask: (ipam, request, call) => ipam.requestPool(request, call),
    encode: (reply) => ({ reply, body: encodePool(reply) }),
  },
  ReleasePool: { ask: (ipam, request, call) => ipam.releasePool(request, call), encode: () => NOTHING },
  RequestAddress: {
    ask: (ipam, request, call) => ipam.requestAddress(request, call),
    encode: (reply) => ({ reply, body: encodeAddress(reply) }),
  },
  ReleaseAddress: { ask: (ipam, request, call) => ipam.releaseAddress(request, call), encode: () => NOTHING },
};

/** `unix`: whether its callers come through a Unix socket. */
export function pluginApp(ipam: Ipam, options: AppOptions, unix: boolean): PluginApp {
  const { deadlineMs = DEFAULT_DEADLINE_MS } = options;
  let inHand = 0;
  const whenIdle: (() => void)[] = [];
  const telling = unix ? afterAllDecided : afterPoll;
  let closing = false;

  // Seven paths without a pattern among them: a router's search was a tenth of what a call costs besides etcd.
  const answers = new Map<string, Answer>();
  const route = (path: string, answer: Answer) => answers.set(path, answer);
  route('/Plugin.Activate', (way) =>
    constant('Activate', way, () => ({ reply: undefined, body: { Implements: ['IpamDriver'] } })),
  );
  route('/IpamDriver.GetCapabilities', (way) =>
    constant('GetCapabilities', way, () => {
      const reply = ipam.getCapabilities();
      return { reply, body: encodeCapabilities(reply) };
    }),
  );
  route('/IpamDriver.GetDefaultAddressSpaces', (way) =>
    constant('GetDefaultAddressSpaces', way, () => {
      const reply = ipam.getDefaultAddressSpaces();
      return { reply, body: encodeSpaces(reply) };
    }),
  );
  for (const call of STATE_CALLS) route(`/IpamDriver.${call}`, (way, req) => stateCall(call, way, req));

  const app = new Koa();
  // A page in a browser of this host may be anybody's, and asks with text/plain unhindered. Engines send neither header.
  if (!unix)
    app.use((context, next) => {
      const { origin, 'sec-fetch-site': site } = context.req.headers;
      if (origin === undefined && site === undefined) return next();
      const header = origin === undefined ? `Sec-Fetch-Site ${site}` : `Origin ${origin}`;
      const problem = `a request with ${header} is a web page's, and only engines are answered`;
      return new WayBack(context.req, context.res).send(403, refusal(new Error(problem)), closing);
    });
  app.use((context) => {
    const path = pathOf(context);
    const answer = answers.get(path);
    const way = new WayBack(context.req, context.res);
    if (answer && context.method === 'POST') return carryOut(answer, way, context.req);
    const problem = answer ? 'is answered for POST only' : 'is not a call of an IPAM driver';
    if (answer) context.set('Allow', 'POST');
    return way.send(answer ? 405 : 404, refusal(new Error(`${context.method} ${path} ${problem}`)), closing);
  });
  // Koa's own writes what the middleware left and watches the socket for it. Here the decision to answer and the answer's first
  // byte must be one step, so each answer is written where it is decided.
  const handleRequest = (context: Koa.Context, middleware: (context: Koa.Context) => Promise<unknown>) =>
    middleware(context).catch(fault);
  Object.assign(app, { handleRequest });

  async function carryOut(answer: Answer, way: WayBack, req: IncomingMessage): Promise<void> {
    inHand++;
    try {
      await answer(way, req);
    } catch (thrown) {
      fault(thrown);
      if (!way.begun) void way.send(500, refusal(new Error('internal error')), closing);
    } finally {
      inHand--;
      if (inHand === 0) for (const idle of whenIdle.splice(0)) idle();
    }
  }

  async function constant(call: CallName, way: WayBack, ask: () => Pick<CallEvent, 'reply'> & { body: object }) {
    const started = performance.now();
    const settle = (outcome: Outcome, reply?: CallEvent['reply'], error?: Error) =>
      tell({ call, outcome, ms: performance.now() - started, request: undefined, reply, error });
    try {
      const { reply, body } = ask();
      const taken = way.send(200, body, closing);
      settle('answered', reply);
      await taken;
    } catch (thrown) {
      const error = asError(thrown);
      const taken = way.send(500, refusal(error), closing);
      settle('refused', undefined, error);
      await taken;
    }
  }

  async function stateCall<C extends StateCall>(call: C, way: WayBack, req: IncomingMessage): Promise<void> {
    const started = performance.now();
    const settle = (outcome: Outcome, request?: Requests[C], reply?: CallEvent['reply'], error?: Error) =>
      tell({ call, outcome, ms: performance.now() - started, request, reply, error });

    let request: Requests[C];
    try {
      request = parse(call, await bodyOf(call, req));
    } catch (thrown) {
      const error = asError(thrown);
      if (way.hasNobody) return settle('undelivered', undefined, undefined, error);
      const taken = way.send(500, refusal(error), closing);
      settle('refused', undefined, undefined, error);
      await taken;
      return;
    }
    if (way.hasNobody) return settle('undelivered', request);

    const ms = typeof deadlineMs === 'number' ? deadlineMs : deadlineMs();
    const deadline = performance.now() + ms;
    const undos = new Undos(fault);
    const lent = new Lent(deadline, undos);
    way.onGone = () => lent.abort(new Error(`the caller of ${call} has gone`));
    const settled = ask(call, request, lent);
    let timer: NodeJS.Timeout | undefined;
    const first = await new Promise<Settled | typeof LATE>((resolve) => {
      timer = setTimeout(resolve, ms, LATE);
      void settled.then((outcome) => telling(resolve, outcome));
    });

    // From here to send() nothing waits: what is decided is what is true when the first byte is written.
    clearTimeout(timer);
    const gone = way.hasNobody;
    if (first === LATE || performance.now() > deadline) {
      const tooLate = new Error(`${call} did not finish within ${Math.round(ms) / 1000} s`);
      lent.abort(tooLate);
      const taken = gone || way.send(500, refusal(tooLate), closing);
      settle('late', request, undefined, tooLate);
      await Promise.all([taken, settled.then(() => undos.run())]);
    } else if (gone) {
      if ('error' in first) settle('undelivered', request, undefined, first.error);
      else settle('undelivered', request, first.reply);
      await undos.run();
    } else if ('error' in first) {
      // A method that throws has nothing to deliver, so whatever it had registered by then is taken back here as well.
      // It may have cleaned up on its own: undos are asked to be idempotent.
      const taken = way.send(500, refusal(first.error), closing);
      settle('refused', request, undefined, first.error);
      await Promise.all([taken, undos.run()]);
    } else if (await way.send(200, first.body, closing)) {
      settle('answered', request, first.reply);
    } else {
      settle('undelivered', request, first.reply);
      await undos.run();
    }
  }

  async function ask<C extends StateCall>(call: C, request: Requests[C], lent: Call): Promise<Settled> {
    try {
      const { ask, encode } = ASKING[call];
      return encode(await ask(ipam, request, lent));
    } catch (thrown) {
      return { error: asError(thrown) };
    }
  }

  function tell(event: CallEvent): void {
    try {
      options.onCall?.(event);
    } catch (thrown) {
      fault(thrown);
    }
  }

  function fault(thrown: unknown): void {
    const error = asError(thrown);
    try {
      if (options.onError === undefined) process.emitWarning(error);
      else options.onError(error);
    } catch (second) {
      process.emitWarning(asError(second));
    }
  }

  return {
    listener: app.callback(),
    startClosing() {
      closing = true;
    },
    async idle() {
      while (inHand > 0) await new Promise<void>((idle) => whenIdle.push(idle));
    },
  };
}

/** Koa's own throws where the URL cannot be read. */
function pathOf(context: Koa.Context): string {
  try {
    return context.path;
  } catch {
    return context.url;
  }
}

/** As text. Of one that is too long the rest is read and dropped, or the caller would never come to reading the refusal. */
async function bodyOf(call: StateCall, req: IncomingMessage): Promise<string> {
  // Mostly it came together with the head, and is there once node has told of both. To hear of each piece and of the end costs more.
  await undefined;
  const declared = Number(req.headers['content-length'] ?? 0);
  if (declared === 0 || req.readableLength !== declared) return listened(call, req, declared);
  return (req.read() as Buffer).toString('utf8');
}

function listened(call: StateCall, req: IncomingMessage, declared: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    let whole = false;
    const tooLong = () => reject(new BadRequest(`${call}: the body has more than ${BODY_LIMIT} bytes, the limit`));
    if (declared > BODY_LIMIT) tooLong();
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= BODY_LIMIT) chunks.push(chunk);
      else tooLong();
    });
    req.on('end', () => {
      whole = true;
      resolve((chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString('utf8'));
    });
    req.on('close', () => {
      // It comes after each request, and an error with its stack costs more than all else here.
      if (!whole) reject(new Error('the caller has gone before its request was whole'));
    });
  });
}
