// Finds and runs programs of this machine. Refuses to know what they are for.
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The full path of a program on a PATH, or undefined. */
export function findProgram(name: string, path = ''): string | undefined {
  return path
    .split(delimiter)
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, name))
    .find(executable);
}

function executable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

export interface Ran {
  readonly ok: boolean;
  /** Both streams, trimmed; or why it did not run. */
  readonly output: string;
}

export type Run = (command: string, args: readonly string[], options?: RunOptions) => Promise<Ran>;

interface RunOptions {
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

/** Never rejects: a program that fails, hangs or is not there is an answer. */
export const run: Run = (command, args, { cwd, timeoutMs = 60_000 } = {}) =>
  new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      ...(cwd !== undefined && { cwd }),
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.on('error', (error) => resolve({ ok: false, output: error.message }));
    child.on('close', (code, signal) => {
      const ending = signal ? `\n${command} was ended after ${timeoutMs / 1000} s` : '';
      resolve({ ok: code === 0, output: `${output}${ending}`.trim() });
    });
  });
