// A connection of bytes to a plugin's socket, which reads HTTP replies one by one. Refuses to know what was sent.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { sleep } from './process.js';

export interface RawReply {
  readonly status: number;
  readonly body: string;
}

export class RawConnection {
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #received: Buffer = Buffer.alloc(0);
  #news: () => void = () => undefined;
  open = true;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined); // how a connection ended is told by `open` and what was received
    socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#news();
    });
    this.#closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.open = false;
        this.#news();
        resolve();
      });
    });
  }

  /** As often as the queue of those who wait to be accepted is full (EAGAIN), it is tried again. */
  static async dial(path: string, tries = 300): Promise<RawConnection> {
    const socket = connect({ path });
    try {
      await once(socket, 'connect');
      return new RawConnection(socket);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN' || tries === 0) throw cause;
      await sleep(100);
      return RawConnection.dial(path, tries - 1);
    }
  }

  write(bytes: Buffer | string): void {
    if (this.open) this.#socket.write(bytes);
  }

  /** Writes, and closes this side of it. */
  end(bytes: Buffer): void {
    this.#socket.end(bytes);
  }

  /** The next reply that is no 1xx; undefined where the connection ended without one. `method`: what it answers. */
  async reply(method: string, timeoutMs = 30_000): Promise<RawReply | undefined> {
    const late = performance.now() + timeoutMs;
    for (;;) {
      const reply = this.#take(method);
      if (reply !== undefined && reply.status >= 200) return reply;
      if (reply !== undefined) continue;
      if (!this.open) return undefined;
      if (performance.now() > late) throw new Error(`no reply to ${method} within ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#news = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** All that was received and not read as a reply, once the other side has closed. */
  async rest(timeoutMs = 30_000): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`a connection was not closed within ${timeoutMs} ms`)), timeoutMs);
    });
    await Promise.race([this.#closed, late]).finally(() => clearTimeout(timer));
    return this.#received.toString('latin1');
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #take(method: string): RawReply | undefined {
    const head = this.#received.indexOf('\r\n\r\n');
    if (head < 0) return undefined;
    const text = this.#received.subarray(0, head).toString('latin1');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? Number.NaN);
    const bodiless = method === 'HEAD' || status < 200 || status === 204;
    const length = bodiless ? 0 : Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0);
    const end = head + 4 + length;
    if (this.#received.length < end) return undefined;
    const body = this.#received.subarray(head + 4, end).toString();
    this.#received = this.#received.subarray(end);
    return { status, body };
  }
}
