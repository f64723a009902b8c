// A scripted Ipam behind a real socket in a directory of its own, with everything ended after each test.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CallEvent, Ipam, Listening, ServeOptions, UnixOptions } from '../../../src/docker/index.js';
import { serve } from '../../../src/docker/index.js';
import { PluginClient, type Target } from '../../support/plugin-client.js';

/** Methods that a test does not script count as not expected. */
export function scripted(methods: Partial<Ipam> = {}): Ipam {
  const unexpected = async () => {
    throw new Error('this call was not expected');
  };
  return {
    getCapabilities: () => ({ requiresMacAddress: false, requiresRequestReplay: false }),
    getDefaultAddressSpaces: () => ({ local: 'here', global: 'everywhere' }),
    requestPool: unexpected,
    releasePool: unexpected,
    requestAddress: unexpected,
    releaseAddress: unexpected,
    ...methods,
  };
}

export interface Served {
  readonly path: string;
  readonly directory: string;
  readonly plugin: Listening;
  readonly client: PluginClient;
  readonly events: CallEvent[];
  readonly errors: Error[];
}

const endings: (() => Promise<unknown> | unknown)[] = [];
export function atEnd(ending: () => Promise<unknown> | unknown): void {
  endings.push(ending);
}
export async function endAll(): Promise<void> {
  for (let ending = endings.pop(); ending !== undefined; ending = endings.pop()) await ending();
}

export async function tempDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ipam-'));
  atEnd(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export function clientOf(target: Target, connections?: number): PluginClient {
  const client = new PluginClient(target, connections);
  atEnd(() => client.close());
  return client;
}

export async function served(ipam: Ipam, options: ServeOptions = {}, unix: UnixOptions = {}): Promise<Served> {
  const directory = await tempDirectory();
  const path = join(directory, 'ipam.sock');
  const events: CallEvent[] = [];
  const errors: Error[] = [];
  const plugin = await serve(ipam, {
    onCall: (event) => events.push(event),
    onError: (error) => errors.push(error),
    ...options,
  }).serveUnix(path, unix);
  atEnd(() => plugin.close(0));
  return { path, directory, plugin, client: clientOf({ socketPath: path }), events, errors };
}

/** A promise with its ends in hand. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((...ends) => {
    [resolve, reject] = ends;
  });
  return { promise, resolve, reject };
}

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function eventually(holds: () => boolean, withinMs = 2000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`${holds} did not come true within ${withinMs} ms`);
    await pause(5);
  }
}
