// Where the quickstart keeps its own etcd and puts the socket, for root and for others. Touches nothing.
import { accessSync, constants } from 'node:fs';
import { dirname, join } from 'node:path';
import { DEFAULT_SOCKET, type Environment } from '../config.js';

export interface Person {
  readonly uid: number;
  readonly home: string;
  /** The working directory. */
  readonly folder: string;
}

/** Survives restarts. XDG_STATE_HOME comes first, for root too; then /var/lib for root and ~/.local/state for others. */
export function stateFolder(environment: Environment, { uid, home }: Person): string {
  const named = environment.XDG_STATE_HOME;
  if (named?.startsWith('/')) return join(named, 'etcd-ipam');
  return uid === 0 ? '/var/lib/etcd-ipam' : join(home, '.local/state/etcd-ipam');
}

/**
 * Where the engine looks, or, without the right to write there, a place of one's own where it does not: the runtime
 * folder, the working directory, or beside the state.
 */
export function socketPlace(environment: Environment, person: Person, mayWrite = writable): string {
  const runtime = environment.XDG_RUNTIME_DIR;
  const candidates = [
    DEFAULT_SOCKET,
    ...(runtime?.startsWith('/') ? [join(runtime, 'etcd-ipam.sock')] : []),
    join(person.folder, '.etcd-ipam', 'etcd-ipam.sock'),
  ];
  const beside = join(stateFolder(environment, person), 'etcd-ipam.sock');
  return candidates.find((path) => mayWrite(dirname(path))) ?? beside;
}

/** Whether files can be made in it, or it can be made itself. */
export function writable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return missing && folder !== '/' && writable(dirname(folder));
  }
}
