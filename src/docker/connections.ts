// How many connections the plugin's server keeps, and which one ends when there are too many. Refuses to know calls.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';

interface Connection {
  calls: number;
  /** When the last of its calls ended, or when it came, counted in such events. */
  idleSince: number;
}

export interface Connections {
  /** To be told of a call that begins; what it returns, of its end. */
  begun(socket: Socket): () => void;
  /** Also those that have not shown a certificate, which the server's own closeAllConnections does not know. */
  endAll(): void;
}

/**
 * Beyond `most` the one that has been idle for the longest ends, so that whoever opens many and says nothing locks nobody
 * out; where each has a call in hand, the newest. As many again may be without a certificate yet: of those the oldest ends.
 */
export function keepAtMost(most: number, server: Server): Connections {
  const open = new Map<Socket, Connection>();
  const unproven = new Map<string, Socket>();
  let events = 0;
  if (server instanceof TlsServer) {
    server.on('connection', (socket: Socket) => {
      const ends = endsOf(socket);
      unproven.set(ends, socket);
      socket.once('close', () => {
        if (unproven.get(ends) === socket) unproven.delete(ends);
      });
      const [oldest] = unproven;
      if (unproven.size <= most || !oldest) return;
      unproven.delete(oldest[0]);
      oldest[1].destroy();
    });
    server.on('secureConnection', (socket: Socket) => unproven.delete(endsOf(socket)));
  }
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    open.set(socket, { calls: 0, idleSince: ++events });
    socket.once('close', () => open.delete(socket));
    if (open.size > most) longestIdle(open)?.destroy();
  });
  return {
    begun(socket) {
      const connection = open.get(socket);
      if (connection) connection.calls++;
      return () => {
        if (!connection) return;
        connection.calls--;
        connection.idleSince = ++events;
      };
    },
    endAll() {
      for (const socket of [...open.keys(), ...unproven.values()]) socket.destroy();
    },
  };
}

/** Of a connection, by which node's socket with TLS is known to be that of the one without. */
function endsOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

function longestIdle(open: ReadonlyMap<Socket, Connection>): Socket | undefined {
  let found: [Socket, Connection] | undefined;
  for (const one of open) {
    const [socket, { calls, idleSince }] = one;
    if (calls === 0 && !socket.destroyed && !(found && found[1].idleSince < idleSince)) found = one;
  }
  return found?.[0];
}
