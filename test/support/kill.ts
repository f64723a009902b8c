// Finding and ending groups of processes by pid, the way a crash does; it refuses to know what they were.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { sleep } from './process.js';

/** Freezes the processes first, so that none reacts to the end of another, then kills them; resolves when all are gone. */
export async function killAtOnce(list: () => number[]): Promise<void> {
  for (const pid of list()) send(pid, 'SIGSTOP');
  const doomed = list();
  for (const pid of doomed) send(pid, 'SIGKILL');
  for (let waited = 0; doomed.some(isAlive); waited += 10) {
    if (waited > 60_000) throw new Error(`still alive 60 s after SIGKILL: ${doomed.filter(isAlive).join(' ')}`);
    await sleep(10);
  }
}

/** Processes whose command line holds `text`, and all that descend from them. */
export function processesNaming(text: string): number[] {
  return withDescendants((pid) => commandLine(pid).includes(text));
}

/** Processes that live in the mount namespace of `holder`, itself among them, and all that descend from them. */
export function processesOfMounts(holder: number): number[] {
  const mounts = mountsOf(holder);
  return mounts === undefined ? [] : withDescendants((pid) => mountsOf(pid) === mounts);
}

function withDescendants(isRoot: (pid: number) => boolean): number[] {
  const all = allProcesses();
  const found = new Set(all.filter(({ pid }) => isRoot(pid)).map(({ pid }) => pid));
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid);
  }
  if (found.has(process.pid)) throw new Error('refusing to kill the test itself');
  return [...found];
}

interface Process {
  readonly pid: number;
  readonly parent: number;
}

function allProcesses(): Process[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    const parent = read(`/proc/${pid}/status`).match(/^PPid:\s+(\d+)/m)?.[1];
    return parent === undefined ? [] : [{ pid: Number(pid), parent: Number(parent) }];
  });
}

function isAlive(pid: number): boolean {
  return /^State:\s+[^ZX]/m.test(read(`/proc/${pid}/status`));
}

function commandLine(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
}

function mountsOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    return undefined;
  }
}

// A process may end between being listed and being read.
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ESRCH') throw cause;
  }
}
