// Puts a server on a Unix path and takes it away again. Knows files, modes and groups; refuses to know what is served.
import type { BigIntStats } from 'node:fs';
import { chmod, lchown, lstat, mkdir, mkdtemp, readFile, rename, rm, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** `sun_path` of Linux holds 108 bytes, the last of them NUL. Older libuv cuts longer paths without a word. */
const PATH_LIMIT = 107;
/** What the staging name `/.XXXXXX/s` adds to the directory. */
const STAGING_BYTES = 10;
/** Of processes that start at once, each has looked and renamed within this time after the first. */
const SETTLE_MS = 50;

export interface SocketOptions {
  /** Permission bits of the file: 0600, or 0660 when a group is given. */
  readonly mode?: number;
  /** A group id, or a name from /etc/group. */
  readonly group?: number | string;
}

export interface SocketFile {
  readonly path: string;
  /** Removes the file if it is still the one that was made here; a successor's is left alone. */
  remove(): Promise<void>;
}

/**
 * Listens on `path`, whose directories are made if missing: 0700, or 0755 if the socket is for others too. A file that
 * a dead process left is replaced; a socket that somebody answers on, or a file that is no socket, is an error and stays.
 *
 * The socket is bound in a private directory (0700) beside `path`, gets its owner and mode there, and is renamed into
 * place when it is ready. So at no instant can it be opened by more than `mode` says, whoever finds it finds it
 * listening, and closing the server (libuv then unlinks the name it bound) never removes a successor's file. A umask
 * would do for the mode alone, but it is one for the whole process: other files made meanwhile would get it too.
 *
 * Two that start at once may both find the file stale: the later rename wins, and the other sees it after 50 ms and
 * gives up. One that is stopped for longer just between look and rename takes the path from a living successor.
 */
export async function listenOnPath(server: Server, path: string, options: SocketOptions = {}): Promise<SocketFile> {
  const directory = dirname(path);
  checkLength(path, directory);
  const gid = options.group === undefined ? undefined : await groupId(options.group);
  const mode = options.mode ?? (gid === undefined ? 0o600 : 0o660);
  const staging = await stagingIn(directory, mode);
  try {
    const staged = join(staging, 's');
    await listen(server, staged);
    if (gid !== undefined) await lchown(staged, -1, gid);
    await chmod(staged, mode);
    const made = await lstat(staged, { bigint: true });
    await refuseUnlessStale(path);
    await rename(staged, path);
    await pause(SETTLE_MS);
    if (!isSame(await existing(path), made)) throw new Error(`${path} was taken by another process`);
    return { path, remove: () => removeIfSame(path, made) };
  } catch (error) {
    server.close();
    throw error;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** The id of a group given by number (also as text) or by its name in /etc/group. */
export async function groupId(group: number | string, file = '/etc/group'): Promise<number> {
  if (typeof group === 'number' || /^\d+$/.test(group)) return Number(group);
  for (const line of (await readFile(file, 'utf8')).split('\n')) {
    const [name, , id] = line.split(':');
    if (name === group && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  throw new Error(`group "${group}" is not in ${file}`);
}

/** What dockerd makes with 0700, if it comes first, is made so: it leaves the mode of what is there. */
async function stagingIn(directory: string, mode: number): Promise<string> {
  try {
    await mkdir(directory, { recursive: true, mode: mode & 0o077 ? 0o755 : 0o700 });
    return await mkdtemp(`${directory}/.`);
  } catch (cause) {
    throw new Error(`no socket can be made in ${directory}: ${(cause as Error).message}`, { cause });
  }
}

function checkLength(path: string, directory: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > PATH_LIMIT) throw new Error(`socket path ${path} has ${bytes} bytes, the limit is ${PATH_LIMIT}`);
  const room = PATH_LIMIT - STAGING_BYTES;
  const folder = Buffer.byteLength(directory);
  if (folder > room) throw new Error(`the directory of socket path ${path} has ${folder} bytes, the limit is ${room}`);
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function refuseUnlessStale(path: string): Promise<void> {
  const found = await existing(path);
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`${path} exists and is not a socket`);
  if (await answers(path)) throw new Error(`${path} is served by another process`);
}

/** Whether a process listens there: one that is frozen, or whose queue is full (EAGAIN), still does. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error) => {
      const code = codeOf(error);
      if (code === 'EAGAIN') resolve(true);
      else if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve(false);
      else reject(error);
    });
  });
}

async function removeIfSame(path: string, known: BigIntStats): Promise<void> {
  if (isSame(await existing(path), known)) await unlink(path).catch(ignoreMissing);
}

function isSame(found: BigIntStats | undefined, known: BigIntStats): boolean {
  return found?.ino === known.ino && found.dev === known.dev;
}

async function existing(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    ignoreMissing(error);
    return undefined;
  }
}

function ignoreMissing(error: unknown): void {
  if (codeOf(error) !== 'ENOENT') throw error;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
