// An engine's API on a Unix socket, in the test's own process: answers by path as it is told. Knows no view.
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class FakeEngine implements AsyncDisposable {
  /** The paths asked for, in order. */
  readonly asked: string[] = [];
  /** What is answered next; a test changes it. */
  answer: RequestListener;

  private constructor(
    readonly socket: string,
    private readonly server: Server,
    answer: RequestListener,
  ) {
    this.answer = answer;
  }

  static async start(answer: RequestListener): Promise<FakeEngine> {
    const directory = await mkdtemp(join(tmpdir(), 'fake-engine-'));
    const server = createServer((req, res) => {
      engine.asked.push(req.url ?? '');
      engine.answer(req, res);
    });
    const engine = new FakeEngine(join(directory, 'docker.sock'), server, answer);
    server.listen(engine.socket);
    await once(server, 'listening');
    return engine;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await rm(join(this.socket, '..'), { recursive: true, force: true });
  }
}

/** Each path with what it shows; 404 for any other. */
export function showing(paths: Readonly<Record<string, unknown>>): RequestListener {
  return (req, res) => {
    const shown = paths[req.url ?? ''];
    res.writeHead(shown === undefined ? 404 : 200, { 'content-type': 'application/json' });
    res.end(JSON.stringify(shown ?? { message: `no such thing: ${req.url}` }));
  };
}
