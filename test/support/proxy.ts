// Tests' own network: a TCP proxy in front of one server that delays, swallows, cuts and refuses. Refuses to
// understand the bytes, except that HTTP/2 frames of the client are counted.

import { once } from 'node:events';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

interface Pipe {
  readonly client: Socket;
  readonly server: Socket;
  toServer: Buffer[];
  toClient: Buffer[];
  readonly headers: HeaderCounter;
}

export class TcpProxy {
  /** Connections accepted so far. */
  connections = 0;
  bytesToServer = 0;
  bytesToClient = 0;
  readonly #pipes = new Set<Pipe>();
  readonly #target: { readonly host: string; readonly port: number };
  #listener: Server | undefined;
  #host = '127.0.0.1';
  #port = 0;
  #holdRequests = false;
  #holdReplies = false;

  private constructor(target: string) {
    const url = new URL(target);
    this.#target = { host: url.hostname, port: Number(url.port) };
  }

  /** `target`: `http://host:port` of the server. `at`: where it listens, on any free port of 127.0.0.1 without. */
  static async to(target: string, at?: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    if (at) {
      proxy.#host = at.host;
      proxy.#port = at.port;
    }
    await proxy.accept();
    return proxy;
  }

  get url(): string {
    return `http://${this.#host}:${this.#port}`;
  }

  /** Requests (HTTP/2 streams) the clients have opened so far, on all connections. */
  get requests(): number {
    return this.#ended + [...this.#pipes].reduce((sum, pipe) => sum + pipe.headers.count, 0);
  }
  #ended = 0;

  /** A black hole: connections stay, nothing passes either way until `resume`. */
  pause(): void {
    this.#holdRequests = true;
    this.#holdReplies = true;
  }

  /** Requests pass, replies are held until `resume`, or for ever once the connection is cut. */
  swallowReplies(): void {
    this.#holdReplies = true;
  }

  /** Lets everything pass again, what was held first. */
  resume(): void {
    this.#holdRequests = false;
    this.#holdReplies = false;
    for (const pipe of this.#pipes) {
      for (const chunk of pipe.toServer.splice(0)) pipe.server.write(chunk);
      for (const chunk of pipe.toClient.splice(0)) pipe.client.write(chunk);
    }
  }

  /** Ends every connection, with what was held. New ones are accepted. */
  cut(): void {
    for (const { client, server } of this.#pipes) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Closes the door: connecting is refused until `accept`. Open connections stay. */
  async refuse(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener === undefined) return;
    listener.close();
    await sleep(0);
  }

  async accept(): Promise<void> {
    if (this.#listener !== undefined) return;
    const listener = createServer({ allowHalfOpen: true }, (client) => this.#connect(client));
    listener.listen(this.#port, this.#host);
    await once(listener, 'listening');
    this.#port = (listener.address() as { port: number }).port;
    this.#listener = listener;
  }

  /**
   * From now on no reply passes; as soon as `committed` says so (asked of the server directly, every few ms), all
   * connections are cut and everything passes again: the client's transaction has happened and it does not know.
   * Rejects after `withinMs`.
   */
  async cutAfterCommit(committed: () => Promise<boolean>, withinMs = 5000): Promise<void> {
    this.swallowReplies();
    const end = performance.now() + withinMs;
    try {
      while (!(await committed())) {
        if (performance.now() > end) throw new Error(`nothing was committed within ${withinMs} ms`);
        await sleep(5);
      }
    } finally {
      this.cut();
      this.resume();
    }
  }

  async close(): Promise<void> {
    await this.refuse();
    this.cut();
  }

  #connect(client: Socket): void {
    this.connections++;
    const server = dial(this.#target);
    const pipe: Pipe = { client, server, toServer: [], toClient: [], headers: new HeaderCounter() };
    this.#pipes.add(pipe);
    client.setNoDelay();
    server.setNoDelay();
    client.on('data', (chunk) => {
      this.bytesToServer += chunk.length;
      pipe.headers.feed(chunk);
      if (this.#holdRequests) pipe.toServer.push(chunk);
      else server.write(chunk);
    });
    server.on('data', (chunk) => {
      this.bytesToClient += chunk.length;
      if (this.#holdReplies) pipe.toClient.push(chunk);
      else client.write(chunk);
    });
    const end = () => {
      if (!this.#pipes.delete(pipe)) return;
      this.#ended += pipe.headers.count;
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.on('error', end);
      socket.on('close', end);
      socket.on('end', end);
    }
  }
}

/** Counts HEADERS frames (RFC 9113 §6.2) in a client's plain-text byte stream, one per request. */
class HeaderCounter {
  count = 0;
  #left = 24; // the connection preface
  #head: number[] = [];

  feed(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
        continue;
      }
      this.#head.push(chunk[at++] as number);
      if (this.#head.length < 9) continue;
      const [a, b, c, type] = this.#head as [number, number, number, number];
      if (type === 1) this.count++;
      this.#left = (a << 16) | (b << 8) | c;
      this.#head = [];
    }
  }
}
