// Speaks Docker's plugin API as an engine does: same headers, same body bytes, kept connections. Knows no driver.
import { Agent, type ClientRequest, request as httpRequest, type RequestOptions } from 'node:http';
import { type AgentOptions, Agent as HttpsAgent, request as httpsRequest } from 'node:https';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** Undefined where the text is no JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  readonly json: any;
  /** Whether the connection had carried a call before. */
  readonly reused: boolean;
}

export interface CallOptions {
  /** Aborting it closes the connection, as an engine's client timeout does. */
  readonly signal?: AbortSignal;
  readonly method?: string;
  /** Replaces or, with undefined, removes one of the engine's headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

export type Target =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number; readonly tls?: AgentOptions };

export class PluginClient {
  readonly #target: Target;
  readonly #agent: Agent;
  readonly #known = new WeakSet<object>();

  /** `connections` is how many calls may be under way at once; 1 shows whether a connection is kept. */
  constructor(target: Target, connections = Number.POSITIVE_INFINITY) {
    this.#target = target;
    const kept = { keepAlive: true, maxSockets: connections };
    this.#agent = 'tls' in target && target.tls ? new HttpsAgent({ ...kept, ...target.tls }) : new Agent(kept);
  }

  /** An object goes as Go's encoder writes it, with a newline; a string goes as it is; undefined is an empty body. */
  call(path: string, body?: object | string, options: CallOptions = {}): Promise<Answer> {
    const text = body === undefined ? '' : typeof body === 'string' ? body : `${JSON.stringify(body)}\n`;
    return new Promise((resolve, reject) => {
      const sent = this.#open(path, Buffer.byteLength(text), options);
      sent.once('error', reject);
      sent.once('response', (reply) => {
        const reused = this.#known.has(reply.socket);
        this.#known.add(reply.socket);
        const chunks: Buffer[] = [];
        reply.on('data', (chunk: Buffer) => chunks.push(chunk));
        reply.once('error', reject);
        reply.once('end', () => {
          const answer = Buffer.concat(chunks).toString('utf8');
          const { statusCode = 0, headers } = reply;
          resolve({ status: statusCode, headers, text: answer, json: parsed(answer), reused });
        });
      });
      sent.end(text);
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  #open(path: string, length: number, { signal, method = 'POST', headers }: CallOptions): ClientRequest {
    const options: RequestOptions = {
      ...('socketPath' in this.#target
        ? { socketPath: this.#target.socketPath }
        : { host: this.#target.host, port: this.#target.port }),
      path,
      method,
      agent: this.#agent,
      setHost: false,
      headers: {
        Host: 'socketPath' in this.#target ? '' : `${this.#target.host}:${this.#target.port}`,
        'User-Agent': 'Go-http-client/1.1',
        'Content-Length': length,
        Accept: 'application/vnd.docker.plugins.v1.2+json',
        ...headers,
      },
      ...(signal && { signal }),
    };
    return this.#agent instanceof HttpsAgent ? httpsRequest(options) : httpRequest(options);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
