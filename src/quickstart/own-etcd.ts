// An etcd of our own as a child process: started, watched, started again should it end, and stopped with us.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Releasers } from '../process/releasers.js';
import { answersHealthy, choosePort } from './ports.js';

export interface OwnEtcdOptions {
  /** The program. */
  readonly etcd: string;
  /** Holds `etcd` (the data), `etcd.log` and `etcd.pid`. */
  readonly folder: string;
  /** Sentences for the person who watches. */
  readonly say: (line: string) => void;
  readonly preferredPort?: number;
  /** Told how to stop it before it is started: a Ctrl-C may come while it does. */
  readonly releasers: Releasers;
}

const READY_MS = 30_000;
const STOP_MS = 8_000;
const RESTART_PAUSE_MS = 1_000;
const LOG_BYTES = 10 << 20;
/** Compaction is off unless asked for, and without it the store grows to its quota and then refuses to write. */
const HOUSEKEEPING = [
  '--auto-compaction-mode=periodic',
  '--auto-compaction-retention=1h',
  '--quota-backend-bytes=2147483648',
];

export class OwnEtcd {
  readonly url: string;
  readonly #options: OwnEtcdOptions;
  #child: ChildProcess | undefined;
  #stopping = false;

  private constructor(options: OwnEtcdOptions, url: string) {
    this.#options = options;
    this.url = url;
  }

  /**
   * Resolves once it answers. An etcd left over from a start that was killed is stopped first: its data directory is
   * locked, and one that is a child of ours can be watched. Rejects when another living start uses the folder.
   */
  static async start(options: OwnEtcdOptions): Promise<OwnEtcd> {
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    await endLeftOver(options.folder, options.say);
    const port = await choosePort(options.preferredPort ?? 2379, options.say);
    const own = new OwnEtcd(options, `http://127.0.0.1:${port}`);
    options.releasers.push('etcd', () => own.stop());
    try {
      own.#spawn();
      await own.#ready();
    } catch (error) {
      await own.stop();
      throw error;
    }
    return own;
  }

  /** SIGTERM, then SIGKILL after 8 s. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (child === undefined || ended(child)) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(killer);
    rmSync(pidFileOf(this.#options.folder), { force: true });
  }

  #spawn(): void {
    if (this.#stopping) return;
    const { etcd, folder } = this.#options;
    const log = openLog(logFileOf(folder));
    // A session of its own: a terminal's Ctrl-C must not end it before the driver has given its session back.
    const child = spawn(etcd, flags(dataOf(folder), this.url), {
      detached: true,
      stdio: ['ignore', log, log],
      env: environmentFor(process.env),
    });
    closeSync(log);
    this.#child = child;
    if (child.pid !== undefined) writeFileSync(pidFileOf(folder), `${child.pid} ${process.pid}\n`);
    child.on('error', (error) => this.#options.say(`etcd cannot be started: ${error.message}`));
    child.on('exit', () => void this.#exited());
  }

  async #exited(): Promise<void> {
    if (this.#stopping) return;
    await sleep(RESTART_PAUSE_MS);
    if (this.#stopping) return;
    this.#options.say(`etcd has ended and is started again (its log: ${logFileOf(this.#options.folder)})`);
    this.#spawn();
  }

  async #ready(): Promise<void> {
    const giveUp = performance.now() + READY_MS;
    while (!(await answersHealthy(this.url))) {
      if (this.#child === undefined || ended(this.#child)) throw this.#failure('ended at once');
      if (performance.now() > giveUp) throw this.#failure(`did not answer within ${READY_MS / 1_000} s`);
      await sleep(50);
    }
  }

  #failure(what: string): Error {
    this.#stopping = true;
    const file = logFileOf(this.#options.folder);
    const tail = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-5).join('\n  ');
    return new Error(`etcd ${what}; the end of ${file}:\n  ${tail}`);
  }
}

const dataOf = (folder: string) => join(folder, 'etcd');
const pidFileOf = (folder: string) => join(folder, 'etcd.pid');
const logFileOf = (folder: string) => join(folder, 'etcd.log');
const ended = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null || child.pid === undefined;

function flags(data: string, url: string): string[] {
  // One member needs no peers, but etcd wants an address for them; port 0 leaves the choice to the kernel.
  const peer = 'http://127.0.0.1:2380';
  return [
    '--name=etcd-ipam',
    `--data-dir=${data}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    '--listen-peer-urls=http://127.0.0.1:0',
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=etcd-ipam=${peer}`,
    ...HOUSEKEEPING,
  ];
}

/** Without ETCD_ names: etcd reads its own flags from such (ETCD_CERT_FILE), and refuses to start over a conflict. */
function environmentFor(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(([name]) => !name.startsWith('ETCD_'));
  // etcd 3.4 starts on arm64 only when asked this way.
  return { ...Object.fromEntries(kept), ...(process.arch === 'arm64' && { ETCD_UNSUPPORTED_ARCH: 'arm64' }) };
}

function openLog(file: string): number {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o600);
}

async function endLeftOver(folder: string, say: (line: string) => void): Promise<void> {
  const [pid, owner] = readPids(pidFileOf(folder));
  if (pid === undefined || !isOurs(pid, dataOf(folder))) return;
  if (owner !== undefined && parentOf(pid) === owner)
    throw new Error(
      `another npm start (pid ${owner}) uses ${folder}: stop it, or give this one ETCD_ENDPOINTS to share its etcd, or another XDG_STATE_HOME`,
    );
  say(`Stopping the etcd (pid ${pid}) of an earlier start that was killed`);
  process.kill(pid, 'SIGTERM');
  const kill = performance.now() + STOP_MS;
  for (let killed = false; isOurs(pid, dataOf(folder)); await sleep(50)) {
    if (killed || performance.now() < kill) continue;
    process.kill(pid, 'SIGKILL');
    killed = true;
  }
}

function readPids(file: string): number[] {
  try {
    return readFileSync(file, 'utf8').trim().split(' ').map(Number);
  } catch {
    return [];
  }
}

/** The pid may be another program's by now: only one that was given our data directory counts. */
function isOurs(pid: number, data: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(`--data-dir=${data}`);
  } catch {
    return false;
  }
}

function parentOf(pid: number): number | undefined {
  try {
    const afterName = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1);
    return Number(afterName?.split(' ')[1]);
  } catch {
    return undefined;
  }
}
