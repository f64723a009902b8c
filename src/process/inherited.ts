// The listening socket that systemd, or whoever acts as it, made and passes on: sd_listen_fds(3). Knows descriptors and
// their paths; refuses to know what is served there.
import { readFileSync, readlinkSync } from 'node:fs';

/** Passed sockets begin behind the three standard streams. */
const FIRST_FD = 3;
/** `__SO_ACCEPTCON` and SOCK_STREAM, as /proc/net/unix prints them. */
const LISTENING_STREAM = ['00010000', '0001'] as const;

export interface Inherited {
  readonly fd: number;
  /** Where whoever made it bound it. */
  readonly path: string;
}

/**
 * Undefined where nothing is passed to this very process. The variables leave `environment` in any case, so that no
 * child takes the socket for its own.
 * @throws Error naming the variable or the descriptor, for anything but one Unix socket that listens at a path: callers
 * of a second one would wait for ever
 */
export function takeInherited(
  environment: Record<string, string | undefined>,
  pid: number = process.pid,
  fd: number = FIRST_FD,
): Inherited | undefined {
  const { LISTEN_PID: meant, LISTEN_FDS: count } = environment;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  if (meant === undefined) return undefined;
  if (!/^[1-9]\d*$/.test(meant)) throw new Error(`LISTEN_PID is "${meant}": a process id`);
  if (Number(meant) !== pid) return undefined;
  if (count !== '1') throw new Error(`LISTEN_FDS is "${count ?? ''}": 1, since one socket is served`);
  return { fd, path: pathOf(fd) };
}

function pathOf(fd: number): string {
  const inode = /^socket:\[(\d+)\]$/.exec(linkOf(fd) ?? '')?.[1];
  // Num RefCount Protocol Flags Type St Inode Path; the path ends the line and may hold spaces.
  for (const line of readFileSync('/proc/self/net/unix', 'utf8').split('\n')) {
    const [, flags, type, found, path] = /^\S+ \S+ \S+ (\S+) (\S+) \S+ +(\d+) (\/.*)$/.exec(line) ?? [];
    if (found !== undefined && found === inode && flags === LISTENING_STREAM[0] && type === LISTENING_STREAM[1])
      return path!;
  }
  throw new Error(`descriptor ${fd} was passed on (LISTEN_FDS) and is not a Unix socket that listens at a path`);
}

function linkOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}
