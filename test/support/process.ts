// Programs that tests start: run to the end, or kept running and certainly ended; it refuses to know which programs.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';

/** How a program ended: `code` is 128 + n when signal n killed it. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Record<string, string | undefined>;
  readonly cwd?: string;
  /** Written to the program's standard input, which is otherwise empty. */
  readonly input?: string | Uint8Array;
  /** Milliseconds until the program is killed and the call rejects; 60,000 unless given. */
  readonly timeoutMs?: number;
}

const signalNumbers: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };
const keptOutput = 200_000;

/** Something that was waited for did not come. */
export class Late extends Error {
  override readonly name = 'Late';
}

/** Runs a program to its end. A non-zero end is a value; only a program that cannot start or takes too long rejects. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { timeoutMs = 60_000 } = options;
  const child = spawn(command, args, spawnOptions(options, options.input === undefined ? 'ignore' : 'pipe'));
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  if (options.input !== undefined) {
    // A program may end before it has read its input; how it ended tells the story.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input);
  }
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    const outcome = {
      code: exitCode(code, signal),
      stdout: String(Buffer.concat(stdout)),
      stderr: String(Buffer.concat(stderr)),
    };
    if (late) throw new Late(`${quote(command, args)} took more than ${timeoutMs} ms: ${tail(outcome.stderr, 20)}`);
    return outcome;
  } finally {
    clearTimeout(timer);
  }
}

/** As `run`, but anything but 0 rejects with the program's own words; resolves with its trimmed standard output. */
export async function runOrFail(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code !== 0) throw new Error(`${quote(command, args)} ended with ${code}: ${tail(`${stderr}${stdout}`, 20)}`);
  return stdout.trim();
}

export interface StartOptions extends Pick<RunOptions, 'env' | 'cwd'> {
  /** The start resolves once the output holds this; at once when there is none. */
  readonly ready?: RegExp;
  /** Milliseconds for `ready`; 60,000 unless given. */
  readonly timeoutMs?: number;
}

/** A program kept running. Its output, both streams in one, is kept for error messages and assertions. */
export class Program implements AsyncDisposable {
  readonly exited: Promise<number>;
  #output = '';
  #code: number | undefined;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
  ) {
    const keep = (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-keptOutput);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#code = exitCode(code, signal);
        resolve(this.#code);
      });
    });
  }

  static async start(command: string, args: readonly string[], options: StartOptions = {}): Promise<Program> {
    const child = spawn(command, args, spawnOptions(options, 'ignore'));
    await once(child, 'spawn');
    const program = new Program(command.split('/').at(-1) ?? command, child);
    if (options.ready === undefined) return program;
    try {
      await program.prints(options.ready, options.timeoutMs);
    } catch (cause) {
      await program.kill();
      throw cause;
    }
    return program;
  }

  get pid(): number {
    return this.child.pid!;
  }

  get output(): string {
    return this.#output;
  }

  get running(): boolean {
    return this.#code === undefined;
  }

  /** Resolves once the output holds `pattern`; rejects after `timeoutMs` or when the program ends first. */
  async prints(pattern: RegExp, timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!pattern.test(this.#output)) {
      if (!this.running)
        throw new Error(`${this.name} ended with ${this.#code} before ${pattern}: ${tail(this.#output, 30)}`);
      if (performance.now() > deadline)
        throw new Late(`${this.name} did not print ${pattern} in ${timeoutMs} ms: ${tail(this.#output, 30)}`);
      await sleep(20);
    }
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.child.kill(signal);
  }

  /** SIGTERM, and SIGKILL after `graceMs`; resolves with the exit code. */
  async stop(graceMs = 15_000): Promise<number> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A stopped (SIGSTOP) program takes no SIGTERM until it goes on.
    this.signal('SIGCONT');
    await this.stop();
  }
}

/** A figure that a busy machine may miss; `ms` is less than `limitMs`, or it counts as late. */
export function within(what: string, ms: number, limitMs: number): void {
  if (ms >= limitMs) throw new Late(`${what} took ${Math.round(ms)} ms, not less than ${Math.round(limitMs)} ms`);
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks until the answer is neither undefined nor false; rejects after `timeoutMs` with what `what` names. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 30_000,
  everyMs = 50,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Late(`not within ${timeoutMs} ms: ${what}`);
    await sleep(everyMs);
  }
}

/** The last lines of a log, for an error message. */
export function tail(text: string, lines: number): string {
  return text.trim().split('\n').slice(-lines).join('\n');
}

function spawnOptions({ env, cwd }: Pick<RunOptions, 'env' | 'cwd'>, stdin: 'ignore' | 'pipe'): SpawnOptions {
  return { stdio: [stdin, 'pipe', 'pipe'], env: { ...process.env, ...env }, ...(cwd === undefined ? {} : { cwd }) };
}

function exitCode(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : (signalNumbers[signal] ?? 0));
}

function quote(command: string, args: readonly string[]): string {
  return [command, ...args].join(' ').slice(0, 300);
}
