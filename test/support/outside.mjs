// The one door of a private host to the outside: a CONNECT proxy on a socket in the run's temporary directory.
//
// Only tests that build an image as its users do go through it, for their package registry (outside.ts).
import { createServer } from 'node:http';
import { connect } from 'node:net';

/** Listens at `socket` in the runner's own network. */
export function openDoor(socket) {
  const door = createServer((_, response) => response.writeHead(405).end('this proxy tunnels only\n'));
  door.on('connect', (request, client, head) => {
    const [, host, port] = request.url.match(/^\[?(.*?)\]?:(\d+)$/) ?? [];
    const server = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      server.write(head);
      server.pipe(client).pipe(server);
    });
    // Either end may break off at any time; the other then has nobody left to talk to.
    server.on('error', () => client.destroy());
    client.on('error', () => server.destroy());
  });
  door.listen(socket).unref();
}
