// A terminal of one machine: a shell that keeps its variables from line to line; it refuses to know what is typed.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Place } from './machine.js';
import { sleep, tail } from './process.js';

export interface Typed {
  readonly code: number;
  /** Both streams, as a terminal shows them. */
  readonly printed: string;
}

/** `await using` ends it; what it has started in the background is the machine's to end. */
export class Shell implements AsyncDisposable {
  #printed = '';

  private constructor(private readonly child: ChildProcessWithoutNullStreams) {
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => {
        this.#printed += text;
      });
  }

  /** Only these variables are set. */
  static async open(place: Place, folder: string, variables: Readonly<Record<string, string>>): Promise<Shell> {
    const all = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    const child = spawn(...place.enter('env', ['--chdir', folder, '-i', ...all, '/bin/sh']));
    await once(child, 'spawn');
    return new Shell(child);
  }

  /** Types a command and waits for its end; one at a time. */
  async type(command: string, timeoutMs = 120_000): Promise<Typed> {
    const mark = randomUUID();
    this.#printed = '';
    // Braces, so that variables stay; and no command reads what is typed next.
    this.child.stdin.write(`{ ${command}\n} </dev/null 2>&1\necho "${mark} $?"\n`);
    const end = new RegExp(`^([^]*)${mark} (\\d+)\n`);
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const [, printed, code] = this.#printed.match(end) ?? [];
      if (printed !== undefined) return { code: Number(code), printed };
      const wrong = this.ended ? 'the shell has ended' : performance.now() > deadline && `not within ${timeoutMs} ms`;
      if (wrong) throw new Error(`${wrong}: ${command}\n${tail(this.#printed, 20)}`);
      await sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.ended) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }

  private get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }
}
