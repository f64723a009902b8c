// A way from a place without network to the package registry, for image builds; it refuses to know who uses it.
import type { Place } from './machine.js';
import { run } from './process.js';
import { relayFrom } from './relay.js';

export interface Outside extends AsyncDisposable {
  /** For `docker build`: host network, and the proxy as build arguments that every RUN sees. */
  readonly buildArgs: readonly string[];
  /** The proxy, for the environment of a program at the place. */
  readonly variables: Readonly<Record<string, string>>;
  /** Whether npm's registry answers; a test that installs from it skips when the machine itself is offline. */
  registryAnswers(): Promise<boolean>;
}

/** Opens the way for builds of an engine at `place`, or of whoever reaches that address of the place. */
export async function openOutside(place: Place, address = '127.0.0.1'): Promise<Outside> {
  const door = process.env.ETCD_IPAM_TEST_DOOR;
  if (door === undefined) throw new Error('only a private host has a door: npm test');
  const { program, port } = await relayFrom(place, door, 0, address);
  const url = `http://${address}:${port}`;
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
