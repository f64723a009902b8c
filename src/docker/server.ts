// Serves an Ipam to engines over a Unix socket or TCP, as go-plugins-helpers' sdk handler does for Go. Knows
// connections, their files and their end; refuses to know calls.
import { createServer as createHttpServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { type AddressInfo, isIP, type ListenOptions, Server as NetServer, type Socket } from 'node:net';
import { isAbsolute, join } from 'node:path';
import { listenOnPath, type SocketOptions } from '../process/socket.js';
import { type AppOptions, type PluginApp, pluginApp } from './app.js';
import { type Connections, keepAtMost } from './connections.js';
import { announce, checkName, type EngineTls, SOCKET_DIR } from './discovery.js';
import type { Ipam } from './ipam.js';

export type UnixOptions = SocketOptions;

export interface ServeOptions extends AppOptions {
  /** Milliseconds a caller may take to send one request; connections between requests are never closed. Default 30000. */
  readonly requestTimeoutMs?: number;
  /**
   * One more than this ends the one that has been idle for the longest. With TLS as many again may be without a
   * certificate. Default 1024.
   */
  readonly maxConnections?: number;
}

/** PEM texts. */
export interface Certificates {
  readonly ca: string | Buffer;
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

/** Mutual TLS: only a client whose certificate `ca` signed is served. */
export interface TlsOptions extends Certificates {
  /** Asked at each connection; another object than before is used from that one on. */
  readonly renewed?: () => Certificates;
  /** What the discovery file tells the engine to use on its side. */
  readonly engine: EngineTls;
}

export interface TcpOptions {
  readonly tls?: TlsOptions;
  /** Where the discovery file goes. Default /etc/docker/plugins. */
  readonly specDir?: string;
  /**
   * `host:port` for the discovery file. A certificate must name its host. Default: the name or address listened on, and
   * loopback for every interface.
   */
  readonly advertise?: string;
}

/** A plugin that engines can reach. */
export interface Listening {
  /** The socket's path, or `host:port`. */
  readonly address: string;
  /** The discovery file of a TCP plugin. */
  readonly specFile: string | undefined;
  /**
   * Takes the socket or discovery file away, if it was made here, answers what is in hand for at most `byMs` milliseconds (default 10000),
   * then closes every connection. Calls that are cut off so are undone. A file that cannot be removed is an error
   * after all that.
   */
  close(byMs?: number): Promise<void>;
}

export interface PluginServer {
  /** A plain name means /run/docker/plugins/NAME.sock. Mode 0600, or 0660 with a group. */
  serveUnix(nameOrPath: string, options?: UnixOptions): Promise<Listening>;
  /** A descriptor that listens already, as systemd passes one; `path` is where. Whoever made that file removes it. */
  serveInherited(fd: number, path: string): Promise<Listening>;
  /** `address` is `host:port`, `[ipv6]:port` or `:port` for every interface; port 0 takes a free one. */
  serveTcp(name: string, address: string, options?: TcpOptions): Promise<Listening>;
}

const REQUEST_TIMEOUT_MS = 30_000;
const DRAIN_MS = 10_000;
const MAX_CONNECTIONS = 1024;
/** An engine sends some hundred. */
const HEADER_BYTES = 16 * 1024;

export function serve(ipam: Ipam, options: ServeOptions = {}): PluginServer {
  return {
    async serveUnix(nameOrPath, unix = {}) {
      const path = isAbsolute(nameOrPath) ? nameOrPath : join(SOCKET_DIR, `${checkName(nameOrPath)}.sock`);
      const app = pluginApp(ipam, options, true);
      const serving = httpServer(app, options);
      const file = await listenOnPath(serving.server, path, unix);
      return { address: path, specFile: undefined, close: closer(serving, app, () => file.remove()) };
    },
    async serveInherited(fd, path) {
      const app = pluginApp(ipam, options, true);
      const serving = httpServer(app, options);
      await listen(serving.server, { fd });
      return { address: path, specFile: undefined, close: closer(serving, app, async () => {}) };
    },
    async serveTcp(name, address, tcp = {}) {
      checkName(name);
      const app = pluginApp(ipam, options, false);
      const serving = httpServer(app, options, tcp.tls);
      const { server } = serving;
      const at = hostAndPort(address);
      await listen(server, at);
      const bound = server.address() as AddressInfo;
      try {
        const told = tcp.advertise ?? reachable(at.host, bound);
        const file = await announce(name, told, { specDir: tcp.specDir, tls: tcp.tls?.engine });
        const close = closer(serving, app, () => file.remove());
        return { address: joined(bound.address, bound.port), specFile: file.path, close };
      } catch (error) {
        server.close();
        throw error;
      }
    },
  };
}

interface Serving {
  readonly server: Server;
  readonly connections: Connections;
}

function httpServer(app: PluginApp, options: ServeOptions, tls?: TlsOptions): Serving {
  const timeout = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
  const settings: ServerOptions = {
    // An engine that writes on a connection just being closed repeats the call with an empty body: never be that close.
    keepAliveTimeout: 0,
    requestTimeout: timeout,
    headersTimeout: timeout,
    connectionsCheckingInterval: timeout,
    requireHostHeader: false,
    maxHeaderSize: HEADER_BYTES,
  };
  const server = tls === undefined ? createHttpServer(settings) : httpsServer(settings, tls);
  const connections = keepAtMost(options.maxConnections ?? MAX_CONNECTIONS, server);
  server.on('request', (req, res) => void app.listener(req, res).then(connections.begun(req.socket)));
  server.on('clientError', onClientError);
  return { server, connections };
}

function httpsServer(settings: ServerOptions, tls: TlsOptions): HttpsServer {
  const strict = { requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const;
  let { ca, cert, key }: Certificates = tls;
  const server = createHttpsServer({ ...settings, ca, cert, key, ...strict, handshakeTimeout: REQUEST_TIMEOUT_MS });
  // Before node's own listener, which takes the certificates that there are.
  server.prependListener('connection', () => {
    const now = tls.renewed?.() ?? tls;
    if (now.ca === ca && now.cert === cert && now.key === key) return;
    ({ ca, cert, key } = now);
    server.setSecureContext({ ca, cert, key, minVersion: strict.minVersion });
  });
  return server;
}

const STATUS: ReadonlyMap<string | undefined, string> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', '408 Request Timeout'],
  ['HPE_HEADER_OVERFLOW', '431 Request Header Fields Too Large'],
]);

/**
 * Node counts a connection's age from its opening, so one that sent nothing yet would be closed as a slow sender. Go
 * keeps such connections for later (two dials raced, one was not needed): they stay. Node watches them again from their
 * first byte on.
 */
function onClientError(error: NodeJS.ErrnoException, connection: unknown): void {
  const socket = connection as Socket;
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesRead === 0) return;
  if (socket.writable) {
    socket.write(`HTTP/1.1 ${STATUS.get(error.code) ?? '400 Bad Request'}\r\nConnection: close\r\n\r\n`);
  }
  socket.destroy(error);
}

function closer(serving: Serving, app: PluginApp, takeAway: () => Promise<void>): (byMs?: number) => Promise<void> {
  let closing: Promise<void> | undefined;
  return (byMs = DRAIN_MS) => {
    closing ??= close(serving, app, takeAway, byMs);
    return closing;
  };
}

async function close(
  { server, connections }: Serving,
  app: PluginApp,
  takeAway: () => Promise<void>,
  byMs: number,
): Promise<void> {
  app.startClosing();
  const [taken] = await Promise.allSettled([takeAway()]);
  await turn(); // accepts who dialled before the file was gone
  // http.Server's own close() cuts idle connections first, where a call may be on its way: those come last here.
  const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(server, () => resolve()));
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, byMs);
  });
  await Promise.race([app.idle().then(turn).then(app.idle), bound]);
  clearTimeout(timer);
  server.close(); // ends node's own checking of connections
  server.closeAllConnections();
  connections.endAll();
  await closed;
  if (taken.status === 'rejected') throw taken.reason;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function listen(server: Server, at: ListenOptions | { readonly fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(at, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function hostAndPort(address: string): { host: string | undefined; port: number } {
  const [, host, port] = /^(.*):(\d{1,5})$/.exec(address) ?? [];
  const bare = host?.replace(/^\[(.*)\]$/, '$1');
  if (bare === undefined || Number(port) > 65535 || (bare.includes(':') && bare === host)) {
    throw new Error(
      `listen address "${address}" must be host:port, [ipv6]:port or :port, with a port of at most 65535`,
    );
  }
  return { host: bare === '' ? undefined : bare, port: Number(port) };
}

/** Engines are on this host unless `advertise` says otherwise. A name stays one, since a certificate may be for that alone. */
function reachable(host: string | undefined, { address, port }: AddressInfo): string {
  if (host !== undefined && isIP(host) === 0) return joined(host, port);
  if (address === '0.0.0.0') return joined('127.0.0.1', port);
  return joined(address === '::' ? '::1' : address, port);
}

function joined(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
