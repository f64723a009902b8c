// Speaks Docker's plugin API with as little work of its own as there can be, so that what is measured is the driver: node's
// own HTTP client takes longer than the driver's side of a call.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const LENGTH = /content-length: (\d+)/i;

/** One connection, one call at a time. */
export class Caller {
  readonly #socket: Socket;
  #read = '';
  #answered: ((text: string) => void) | undefined;
  #failed: ((error: Error) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', (error) => this.#failed?.(error));
    socket.on('close', () => this.#failed?.(new Error('the driver closed the connection')));
  }

  static async open(path: string): Promise<Caller> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new Caller(socket);
  }

  /** The reply's body; a refusal rejects with its text. */
  async ask(call: string, body: object): Promise<string> {
    const text = `${JSON.stringify(body)}\n`;
    const reply = await new Promise<string>((answered, failed) => {
      if (this.#socket.destroyed) throw new Error(`${call}: the connection was closed`);
      this.#answered = answered;
      this.#failed = failed;
      this.#socket.write(
        `POST /IpamDriver.${call} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: ${Buffer.byteLength(text)}\r\n` +
          `Accept: application/vnd.docker.plugins.v1.2+json\r\n\r\n${text}`,
      );
    });
    const answer = reply.slice(reply.indexOf('\r\n\r\n') + 4);
    if (!reply.startsWith('HTTP/1.1 200')) throw new Error(`${call}: ${answer}`);
    return answer;
  }

  close(): void {
    this.#failed = undefined;
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#read += text;
    const body = this.#read.indexOf('\r\n\r\n') + 4;
    if (body < 4 || this.#read.length < body + Number(LENGTH.exec(this.#read)?.[1])) return;
    const reply = this.#read;
    this.#read = '';
    this.#answered?.(reply);
  }
}

/** As many connections as calls are ever under way. */
export class Callers {
  readonly #path: string;
  readonly #idle: Caller[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  // biome-ignore lint/suspicious/noExplicitAny: who calls says what he expects of it
  async must(call: string, body: object): Promise<any> {
    const caller = this.#idle.pop() ?? (await Caller.open(this.#path));
    try {
      return JSON.parse(await caller.ask(call, body));
    } finally {
      this.#idle.push(caller);
    }
  }

  close(): void {
    for (const caller of this.#idle) caller.close();
  }
}
