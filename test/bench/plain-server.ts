// The floor of what is measured through a socket: node's own HTTP server in a process of its own, which decides nothing. Asked to
// Put it puts a key that is absent, asked to PutTogether it does so with all who ask meanwhile, asked for Nothing it answers at once.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openClient } from '../../src/etcd/client.js';
import { Program } from '../support/process.js';
import { bare, together } from './bare.js';
import { Callers } from './caller.js';

const LISTENING = 'listening';

export class PlainServer implements AsyncDisposable {
  readonly must: Callers['must'];

  private constructor(
    private readonly program: Program,
    private readonly callers: Callers,
    private readonly directory: string,
  ) {
    this.must = (call, body) => callers.must(call, body);
  }

  static async start(etcd: string): Promise<PlainServer> {
    const directory = await mkdtemp(join(tmpdir(), 'plain-'));
    const socket = join(directory, 'socket');
    const own = ['--import', 'tsx/esm', fileURLToPath(import.meta.url), socket, etcd];
    const program = await Program.start(process.execPath, own, { ready: new RegExp(LISTENING) });
    return new PlainServer(program, new Callers(socket), directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.callers.close();
    await this.program.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}

function serve(socket: string, etcd: string): void {
  const client = openClient({ endpoints: [etcd] });
  const asked: Record<string, () => Promise<void>> = {
    '/IpamDriver.Put': bare(client, '/plain'),
    '/IpamDriver.PutTogether': together(client, '/together'),
  };
  const server = createServer(async (req, res) => {
    let text = '';
    for await (const chunk of req) text += chunk;
    const { Address = '' } = JSON.parse(text);
    await asked[req.url!]?.();
    const body = JSON.stringify({ Address });
    res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
    res.end(body);
  });
  server.keepAliveTimeout = 0; // between two of its turns may be more than the 5 s after which Node.js ends a connection
  server.listen(socket, () => console.log(LISTENING));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(process.argv[2]!, process.argv[3]!);
