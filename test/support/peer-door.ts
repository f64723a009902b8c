// A door between the members of a test's etcd: it knows from etcd's own header who comes in, and holds what is of those
// that it is told to keep apart. Refuses to know anything else of what passes.
import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';

/** What rafthttp puts on every message and stream between members: the sender's id. */
const FROM = /^X-Server-From: ([0-9a-f]+)\r?$/im;

interface Pipe {
  readonly client: Socket;
  readonly server: Socket;
  /** The id of the member that dialled, once it has said so. */
  from: string | undefined;
  readonly held: (() => void)[];
}

export class PeerDoor {
  readonly #pipes = new Set<Pipe>();
  readonly #listener = createServer({ allowHalfOpen: true }, (client) => this.#open(client));
  #keptOut: (from: string | undefined) => boolean = () => false;

  private constructor(private readonly target: number) {}

  /** Stands before the port `target` of the loopback. */
  static async before(target: number): Promise<PeerDoor> {
    const door = new PeerDoor(target);
    await once(door.#listener.listen(0, '127.0.0.1'), 'listening');
    return door;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#listener.address() as { port: number }).port}`;
  }

  /** From now on what such members send and are sent here is held, and passes once they no longer are such. */
  keepOut(such: (from: string | undefined) => boolean): void {
    this.#keptOut = such;
    for (const pipe of this.#pipes) {
      if (!such(pipe.from)) for (const pass of pipe.held.splice(0)) pass();
    }
  }

  close(): void {
    this.#listener.close();
    for (const { client } of this.#pipes) client.destroy();
  }

  #open(client: Socket): void {
    const server = dial(this.target, '127.0.0.1');
    const pipe: Pipe = { client, server, from: undefined, held: [] };
    this.#pipes.add(pipe);
    client.on('data', (chunk) => {
      pipe.from ??= FROM.exec(chunk.toString('latin1'))?.[1];
      this.#pass(pipe, server, chunk);
    });
    server.on('data', (chunk) => this.#pass(pipe, client, chunk));
    const end = () => {
      this.#pipes.delete(pipe);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.setNoDelay();
      for (const event of ['error', 'close', 'end']) socket.on(event, end);
    }
  }

  #pass(pipe: Pipe, to: Socket, chunk: Buffer): void {
    if (this.#keptOut(pipe.from)) pipe.held.push(() => to.write(chunk));
    else to.write(chunk);
  }
}
