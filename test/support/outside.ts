// A way from a place without network to the package registry, for image builds; it refuses to know who uses it.
import type { Place } from './machine.js';
import { Program, run } from './process.js';

// Pipes a loopback port of the place to the runner's door, whose socket every place can reach.
const relay = `
const { connect, createServer } = require('node:net');
const relay = createServer((client) => {
  const door = connect(process.argv[1]);
  client.pipe(door).pipe(client);
  client.on('error', () => door.destroy());
  door.on('error', () => client.destroy());
});
relay.listen(0, '127.0.0.1', () => console.log('port ' + relay.address().port));
`;

export interface Outside extends AsyncDisposable {
  /** For `docker build`: host network, and the proxy as build arguments that every RUN sees. */
  readonly buildArgs: readonly string[];
  /** The proxy, for the environment of a program at the place. */
  readonly variables: Readonly<Record<string, string>>;
  /** Whether npm's registry answers; a test that installs from it skips when the machine itself is offline. */
  registryAnswers(): Promise<boolean>;
}

/** Opens the way for builds of an engine at `place`. */
export async function openOutside(place: Place): Promise<Outside> {
  const door = process.env.ETCD_IPAM_TEST_DOOR;
  if (door === undefined) throw new Error('only a private host has a door: npm test');
  const program = await Program.start(...place.enter(process.execPath, ['-e', relay, door]), { ready: /^port \d+$/m });
  const url = `http://127.0.0.1:${program.output.match(/^port (\d+)$/m)?.[1]}`;
  const variables = { HTTP_PROXY: url, HTTPS_PROXY: url };
  return {
    buildArgs: ['--network', 'host', ...Object.keys(variables).flatMap((name) => ['--build-arg', `${name}=${url}`])],
    variables,
    async registryAnswers() {
      const { code } = await run(...place.enter('npm', ['ping', '--fetch-retries=0']), { env: { HTTPS_PROXY: url } });
      return code === 0;
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}
