// Everything that etcd wrote, revision by revision, as a watch of the harness's own hears it, and looks at the revision in
// between. Refuses to know what it means.
import type { EtcdMembers } from '../support/etcd-members.js';
import { eventually, sleep } from '../support/process.js';
import type { History } from './history.js';

const PREFIX = '/etcd-ipam/';
const LOOK_EVERY_MS = 100;
/** A member that says nothing for so long, while there is something to say, is left for another. */
const SILENT_MS = 1_500;

interface Event {
  readonly type?: 'DELETE';
  readonly kv: { readonly key: string; readonly value?: string; readonly mod_revision: string };
}

interface WatchReply {
  readonly result?: { readonly events?: readonly Event[]; readonly canceled?: boolean };
}

export class EtcdLog implements AsyncDisposable {
  /** The newest revision that has been written down whole. */
  revision = 0;
  #newest = 0;
  #at = 0;
  #stopped = false;
  #held = false;
  #busy = 0;
  #stream = new AbortController();
  #heard = performance.now();
  readonly #running: Promise<unknown>;

  private constructor(
    private readonly urls: readonly string[],
    private readonly history: History,
  ) {
    this.#running = Promise.all([this.#watch(), this.#look()]);
  }

  static async start(etcd: EtcdMembers, history: History): Promise<EtcdLog> {
    const log = new EtcdLog(etcd.url.split(','), history);
    await eventually('the log has begun', () => log.#newest > 0, 30_000, 20);
    return log;
  }

  /** Resolves once all that is in etcd by now has been written down; with the revision. */
  async caughtUp(): Promise<number> {
    const now = await eventually('etcd says its revision', () => this.#ask().catch(() => undefined), 60_000, 50);
    await eventually(`the log is at revision ${now}`, () => this.revision >= now, 60_000, 20);
    return now;
  }

  /** etcd is set back to the backup of that revision meanwhile. All that it had written before is written down by then. */
  async setBack(revision: number, act: () => Promise<void>): Promise<void> {
    await this.caughtUp();
    this.#held = true;
    this.#stream.abort();
    await eventually('nobody looks', () => this.#busy === 0, 30_000, 10);
    await act();
    this.history.backups.push(revision);
    [this.revision, this.#newest, this.#held] = [revision, revision, false];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#stream.abort();
    await this.#running;
  }

  async #look(): Promise<void> {
    while (!this.#stopped) {
      const sent = performance.now();
      try {
        const revision = await this.#ask();
        this.history.looks.push({ era: this.#era, sent, revision });
        this.#newest = Math.max(this.#newest, revision);
      } catch {
        this.#at++;
      }
      if (this.revision >= this.#newest) this.#heard = performance.now();
      else if (performance.now() - this.#heard > SILENT_MS) this.#stream.abort();
      await sleep(LOOK_EVERY_MS);
    }
  }

  get #era(): number {
    return this.history.backups.length;
  }

  /** A marker is written, since the watch tells of writes alone. */
  async #ask(): Promise<number> {
    if (this.#held) throw new Error('etcd is being set back');
    this.#busy++;
    try {
      return await this.#marked();
    } finally {
      this.#busy--;
    }
  }

  async #marked(): Promise<number> {
    const reply = await this.#post('kv/put', { key: base64('chaos/mark'), value: '' }, AbortSignal.timeout(1_000));
    return Number(((await reply.json()) as { header: { revision: string } }).header.revision);
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      this.#stream = new AbortController();
      this.#heard = performance.now();
      if (this.#held) {
        await sleep(20);
        continue;
      }
      this.#busy++;
      try {
        const create_request = { key: base64('\0'), range_end: base64('\0'), start_revision: this.revision + 1 };
        const reply = await this.#post('watch', { create_request }, this.#stream.signal);
        let rest = '';
        for await (const chunk of reply.body!.pipeThrough(new TextDecoderStream())) {
          const lines = (rest + chunk).split('\n');
          rest = lines.pop()!;
          for (const line of lines) this.#hear(JSON.parse(line) as WatchReply);
        }
      } catch {
        // A member that is gone, frozen or cut off: the next one goes on where this one ended.
      } finally {
        this.#busy--;
      }
      this.#at++;
      if (!this.#stopped) await sleep(20);
    }
  }

  #hear({ result }: WatchReply): void {
    if (result?.canceled) throw new Error('the watch was cancelled');
    this.#heard = performance.now();
    for (const { type, kv } of result?.events ?? []) {
      const [key, revision] = [text(kv.key), Number(kv.mod_revision)];
      this.revision = Math.max(this.revision, revision);
      if (!key.startsWith(PREFIX)) continue;
      const record = type === 'DELETE' ? {} : { record: parsed(text(kv.value ?? '')) };
      this.history.writes.push({
        era: this.#era,
        revision,
        key: key.slice(PREFIX.length),
        ...record,
        known: performance.now(),
      });
    }
  }

  async #post(path: string, body: object, signal: AbortSignal): Promise<Response> {
    const url = this.urls[this.#at % this.urls.length]!;
    const reply = await fetch(`${url}/v3/${path}`, { method: 'POST', body: JSON.stringify(body), signal });
    if (!reply.ok) throw new Error(`etcd answers ${reply.status} to ${path}`);
    return reply;
  }
}

function base64(plain: string): string {
  return Buffer.from(plain).toString('base64');
}

function text(encoded: string): string {
  return Buffer.from(encoded, 'base64').toString();
}

function parsed(json: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(json) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}
