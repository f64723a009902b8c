// A Prometheus of the test's own, the program on PATH, on a free port of loopback with its data in a directory of its own; and
// promtool. Refuses to know what is watched.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './etcd.js';
import { type Outcome, Program, type RunOptions, run } from './process.js';

export interface Rule {
  readonly type: 'alerting' | 'recording';
  readonly name: string;
  readonly query: string;
  readonly health: string;
  readonly lastError?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Alert {
  readonly state: 'pending' | 'firing';
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export class Prometheus implements AsyncDisposable {
  private constructor(
    private readonly url: string,
    private readonly program: Program,
    private readonly directory: string,
  ) {}

  /** `files`: by name; what it is configured with is prometheus.yml. */
  static async start(files: Readonly<Record<string, string>>): Promise<Prometheus> {
    const directory = await mkdtemp(join(tmpdir(), 'prometheus-'));
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
    const [port] = (await freePorts(1)) as [number];
    const args = [
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ];
    try {
      const program = await Program.start('prometheus', args, { ready: /Server is ready to receive web requests/ });
      return new Prometheus(`http://127.0.0.1:${port}`, program, directory);
    } catch (cause) {
      await rm(directory, { recursive: true, force: true });
      throw cause;
    }
  }

  /** As of now. Rejects with what is wrong with the expression. */
  async query(expression: string): Promise<readonly Sample[]> {
    const { result } = await this.#get<{ result: readonly Sample[] }>(`query?query=${encodeURIComponent(expression)}`);
    return result;
  }

  async rules(): Promise<readonly Rule[]> {
    const { groups } = await this.#get<{ groups: readonly { readonly rules: readonly Rule[] }[] }>('rules');
    return groups.flatMap(({ rules }) => rules);
  }

  async alerts(): Promise<readonly Alert[]> {
    return (await this.#get<{ alerts: readonly Alert[] }>('alerts')).alerts;
  }

  /** The names of those that fire. */
  async firing(): Promise<string[]> {
    const firing = (await this.alerts()).filter(({ state }) => state === 'firing');
    return [...new Set(firing.map(({ labels }) => labels.alertname!))].sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.url}/api/v1/${path}`);
    const { data, error } = (await response.json()) as { data: T; error?: string };
    if (error !== undefined) throw new Error(`prometheus: ${path}: ${error}`);
    return data;
  }
}

export function promtool(args: readonly string[], options?: RunOptions): Promise<Outcome> {
  return run('promtool', args, options);
}
