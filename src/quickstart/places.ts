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

/** Where the engine looks, or, without the right to write there, a place of one's own where it does not. */
export function socketPlace(environment: Environment, { folder }: Person, mayWrite = writable): string {
  if (mayWrite(dirname(DEFAULT_SOCKET))) return DEFAULT_SOCKET;
  const runtime = environment.XDG_RUNTIME_DIR;
  if (runtime?.startsWith('/') && mayWrite(runtime)) return join(runtime, 'etcd-ipam.sock');
  return join(folder, '.etcd-ipam', 'etcd-ipam.sock');
}

/** Whether files can be made in it, or it can be made itself. */
function writable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return missing && folder !== '/' && writable(dirname(folder));
  }
}
