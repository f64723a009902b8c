// The operators' HTTP port: whether the process lives, whether it can do its work, and its metrics. Read only; refuses to
// know what it shows.
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import Router from '@koa/router';
import Koa, { type Middleware } from 'koa';
import { shared } from './shared.js';

export interface Shown {
  /** What keeps the process from granting addresses, if anything does. */
  problem(): string | undefined;
  metrics(): Promise<{ readonly type: string; readonly text: string }>;
}

export interface OpsServer {
  /** host:port */
  readonly address: string;
  close(): Promise<void>;
}

const MOST_CONNECTIONS = 128;

/** Rejects when the port cannot be had. `before`: what a request meets first, and what else is served there. */
export async function serveOps(
  shown: Shown,
  at: { readonly host: string; readonly port: number },
  before: readonly Middleware[] = [],
): Promise<OpsServer> {
  const metrics = shared(() => shown.metrics());
  const router = new Router();
  router.get('/healthz', (context) => {
    context.body = { status: 'ok' };
  });
  router.get('/readyz', (context) => {
    const problem = shown.problem();
    context.status = problem === undefined ? 200 : 503;
    context.body = problem === undefined ? { status: 'ok' } : { status: 'not ready', problem };
  });
  router.get('/metrics', async (context) => {
    const { type, text } = await metrics();
    context.set('Content-Type', type);
    context.body = text;
  });
  const app = new Koa();
  app.silent = true;
  for (const one of before) app.use(one);
  app.use(router.routes()).use(router.allowedMethods());
  const server = createServer();
  const answer = app.callback();
  server.on('request', (request, response) => {
    // One at a time of each connection: what it sends before it has its answer (pipelining) node hands out in any number.
    if (response.socket === null) request.socket.destroy();
    else void answer(request, response);
  });
  keepNewest(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, resolve);
  });
  server.unref();
  const { address, port, family } = server.address() as AddressInfo;
  return {
    address: family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** One more ends the oldest, instead of being refused: else whoever opens many keeps out those who ask for health. */
function keepNewest(server: Server): void {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    const [oldest] = open;
    if (open.size <= MOST_CONNECTIONS || !oldest) return;
    open.delete(oldest);
    oldest.destroy();
  });
}
