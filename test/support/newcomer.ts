// A person with a fresh clone and a plain shell, on a machine of its own; refuses to know what they type.
import { cpSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Machine } from './machine.js';
import { type Outside, openOutside } from './outside.js';
import { type Outcome, Program, run, runOrFail } from './process.js';

type Variables = Readonly<Record<string, string>>;

/** `await using` ends all that runs on the machine, and removes home, clones and state. */
export class Newcomer implements AsyncDisposable {
  private constructor(
    readonly machine: Machine,
    readonly outside: Outside,
    private readonly root: string,
    private readonly variables: Variables,
  ) {}

  static async arrive(): Promise<Newcomer> {
    const root = await mkdtemp(join(tmpdir(), 'newcomer-'));
    mkdirSync(join(root, 'home'));
    const machine = await Machine.start('newcomer');
    const outside = await openOutside(machine);
    return new Newcomer(machine, outside, root, {
      PATH: process.env.PATH ?? '',
      HOME: join(root, 'home'),
      TMPDIR: tmpdir(),
      LANG: 'C.UTF-8',
      // The home's default is the machine's own /var/lib, which is not the test's to write to.
      XDG_STATE_HOME: join(root, 'state'),
      // In both ways of writing, without no_proxy, as behind many a company's door.
      ...lowerCased(outside.variables),
      ...outside.variables,
      ...(await packagesAtHand()),
    });
  }

  /** A clone of this tree in a folder called `name`. */
  async clone(name: string): Promise<string> {
    const clone = join(this.root, name);
    await cloneTo(clone);
    return clone;
  }

  /** Where `npm start` keeps what outlives it. */
  get state(): string {
    return join(this.root, 'state', 'etcd-ipam');
  }

  /** Types a line into a new shell in `folder` and waits for its end; no variable of the test run is in sight. */
  shell(folder: string, line: string, variables: Variables = {}): Promise<Outcome> {
    return run(...this.typed(folder, line, variables), { timeoutMs: 300_000 });
  }

  /** As `shell`, kept running as the leader of a process group, as a job of a terminal is. */
  job(folder: string, line: string, variables: Variables = {}): Promise<Program> {
    return Program.start(...this.typed(folder, `exec ${line}`, variables));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
    await this.outside[Symbol.asyncDispose]();
    await rm(this.root, { recursive: true, force: true });
  }

  private typed(folder: string, line: string, variables: Variables): [string, string[]] {
    const all = Object.entries({ ...this.variables, ...variables }).map(([name, value]) => `${name}=${value}`);
    // A shell by its full path, since PATH may be one of the variables.
    return this.machine.enter('setsid', ['env', '--chdir', folder, '-i', ...all, '/bin/sh', '-c', line]);
  }
}

/** The files of this tree that git has or would add, as they are now. */
export async function cloneTo(folder: string): Promise<void> {
  const listing = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const listed = await runOrFail('git', ['-c', 'safe.directory=*', ...listing]);
  for (const file of listed.split('\0').filter((path) => path !== '' && existsSync(path))) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(file, join(folder, file));
  }
}

const lowerCased = (variables: Variables): Variables =>
  Object.fromEntries(Object.entries(variables).map(([name, value]) => [name.toLowerCase(), value]));

/** The number and the time of a file or folder: both stay as long as nobody lays it anew. */
export function identity(path: string): string {
  const { ino, mtimeNs } = statSync(path, { bigint: true });
  return `${ino} of ${mtimeNs}`;
}

// What this machine has downloaded once is not downloaded again, and its npm settings and certificates stay in force.
async function packagesAtHand(): Promise<Variables> {
  const setting = (key: string) => runOrFail('npm', ['config', 'get', key]);
  return {
    NPM_CONFIG_CACHE: await setting('cache'),
    NPM_CONFIG_USERCONFIG: await setting('userconfig'),
    NPM_CONFIG_PREFER_OFFLINE: 'true',
    ...(process.env.NODE_EXTRA_CA_CERTS && { NODE_EXTRA_CA_CERTS: process.env.NODE_EXTRA_CA_CERTS }),
  };
}
