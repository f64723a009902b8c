// How many connections the plugin's server keeps, and which one ends when there are too many. Refuses to know calls.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';

/**
 * Beyond `most` the one that has been idle for the longest ends, so that whoever opens many and says nothing locks nobody
 * out; where each has a call in hand, the newest.
 */
export function keepAtMost(most: number, server: Server): void {
  let open = 0;
  /** Without a call in hand, the longest idle first. */
  const idle = new Set<Socket>();
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    open++;
    idle.add(socket);
    socket.once('close', () => {
      open--;
      idle.delete(socket);
    });
    const [first] = idle;
    if (open > most) first?.destroy();
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket);
    response.on('close', () => {
      if (!socket.destroyed) idle.add(socket);
    });
  });
  // Those that have not shown a certificate yet.
  server.maxConnections = 2 * most;
}
