// Ways from a place without network to servers of the test's own network; it refuses to know what passes.
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Place } from './machine.js';
import { Program } from './process.js';

const relay = `
const { connect, createServer } = require('node:net');
const relay = createServer((client) => {
  const door = connect(process.argv[1]);
  client.pipe(door).pipe(client);
  client.on('error', () => door.destroy());
  door.on('error', () => client.destroy());
});
relay.listen(Number(process.argv[2]), process.argv[3], () => console.log('port ' + relay.address().port));
`;

/** Pipes a port of the place, a free one for 0, to a Unix socket, which every place can reach. */
export async function relayFrom(
  place: Place,
  socket: string,
  port = 0,
  address = '127.0.0.1',
): Promise<{ program: Program; port: number }> {
  const args = ['-e', relay, socket, String(port), address];
  const program = await Program.start(...place.enter(process.execPath, args), { ready: /^port \d+$/m });
  return { program, port: Number(program.output.match(/^port (\d+)$/m)?.[1]) };
}

/** Makes a server on the test's own loopback answer under the same URL on the place's; when it ends, connecting is refused. */
export async function lendTo(place: Place, url: string): Promise<AsyncDisposable> {
  const port = Number(new URL(url).port);
  const folder = await mkdtemp(join(tmpdir(), 'lent-'));
  const open = new Set<Socket>();
  const door = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    client.pipe(server).pipe(client);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => open.delete(one));
    }
  });
  await once(door.listen(join(folder, 's')), 'listening');
  const { program } = await relayFrom(place, join(folder, 's'), port);
  return {
    async [Symbol.asyncDispose]() {
      await program[Symbol.asyncDispose]();
      door.close();
      for (const socket of open) socket.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
