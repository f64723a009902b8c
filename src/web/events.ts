// Who listens to what changes, and the one watch that serves them all: it runs only while somebody listens. Keeps the last
// changes for those that come back, nothing else; drops whoever does not read.
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Store, Version } from '../ipam/store.js';
import type { Watching } from '../ipam/watching.js';
import { changeOf } from './changes.js';
import type { Change, Changes } from './shapes.js';

export interface Heard {
  readonly watching: Watching;
  readonly store: Pick<Store, 'seen'>;
  /** Why etcd is known to be away, if it is. */
  etcdAway(): string | undefined;
}

export const MOST_LISTENERS = 32;
/** What one may leave unread. */
const MOST_UNREAD = 1 << 20;
const HEARTBEAT_MS = 10_000;
/** Changes of that time are sent together. */
const TOGETHER_MS = 100;
const MOST_TOGETHER = 2_000;
/** Characters that are kept for those that come back. */
const MOST_KEPT = 4 << 20;
const AGAIN_MS = 2_000;
const LOOK_MS = 500;

interface Batch {
  /** It has what comes after that version, up to `to`. */
  readonly from: Version;
  readonly to: Version;
  readonly text: string;
}

export class Listeners {
  readonly #heard: Heard;
  readonly #responses = new Set<ServerResponse>();
  #kept: Batch[] = [];
  #waiting: Change[] = [];
  /** Up to where all was heard, and up to where it was sent. Undefined while nobody listens. */
  #at: Version | undefined;
  #sent: Version | undefined;
  #size = 0;
  /** What the watch says, and what listeners were told. */
  #problem: string | undefined;
  #away: string | undefined;
  #watch: AbortController | undefined;
  #flush: NodeJS.Timeout | undefined;
  #beat: NodeJS.Timeout | undefined;
  #look: NodeJS.Timeout | undefined;

  constructor(heard: Heard) {
    this.#heard = heard;
  }

  get count(): number {
    return this.#responses.size;
  }

  /** Whether there is room. The response is written to until it is closed. `last`: what it has heard already. */
  add(response: ServerResponse, last: Version | undefined): boolean {
    if (this.#responses.size >= MOST_LISTENERS) return false;
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
    });
    response.write('retry: 1000\n\n');
    this.#responses.add(response);
    response.on('close', () => this.#gone(response));
    this.#catchUp(response, last);
    if (this.#away !== undefined) response.write(event('etcd', { away: this.#away }));
    return true;
  }

  close(): void {
    for (const response of this.#responses) response.destroy();
  }

  /** The first one starts the watch, from where it had heard; the others get what is kept. */
  #catchUp(response: ServerResponse, last: Version | undefined): void {
    if (!this.#watch) {
      this.#start(last);
      return;
    }
    if (last === undefined) {
      response.write(event('changes', NOTHING(), this.#sent));
      return;
    }
    const missing = this.#kept.filter(({ to }) => BigInt(to) > BigInt(last));
    const whole = this.#sent === last || (missing[0] && BigInt(missing[0].from) <= BigInt(last));
    if (whole) for (const { text } of missing) response.write(text);
    else response.write(event('reset', { why: 'too much has happened since' }, this.#sent));
  }

  #gone(response: ServerResponse): void {
    this.#responses.delete(response);
    if (this.#responses.size > 0) return;
    this.#watch?.abort();
    clearTimeout(this.#flush);
    clearInterval(this.#beat);
    clearInterval(this.#look);
    this.#watch = this.#at = this.#sent = this.#away = this.#problem = this.#flush = undefined;
    this.#kept = [];
    this.#size = 0;
    this.#waiting = [];
  }

  #start(after: Version | undefined): void {
    this.#watch = new AbortController();
    void this.#hear(this.#watch.signal, after);
    this.#beat = setInterval(() => this.#write(': still here\n\n'), HEARTBEAT_MS);
    this.#beat.unref();
    this.#look = setInterval(() => this.#tell(), LOOK_MS);
    this.#look.unref();
  }

  async #hear(signal: AbortSignal, after: Version | undefined): Promise<void> {
    let from = after;
    while (!signal.aborted) {
      try {
        const report = (problem: string | undefined) => {
          if (!signal.aborted) this.#problem = problem;
          this.#tell();
        };
        const after = from === undefined ? {} : { after: from };
        for await (const revised of this.#heard.watching({ signal, report, ...after })) {
          if (signal.aborted) return;
          if (this.#at === undefined && from !== undefined && this.#isAhead(from)) {
            // Of a history that there is no more, as after a restore while this process was not there.
            from = undefined;
            this.#reset(this.#heard.store.seen()!, 'what was heard last is not known here');
            break;
          }
          if ('missed' in revised) this.#reset(revised.version, revised.missed);
          else
            this.#changed(
              revised.version,
              revised.changed.flatMap((one) => changeOf(one) ?? []),
            );
          from = revised.version;
        }
      } catch (error) {
        if (!signal.aborted) this.#problem = (error as Error).message;
        await sleep(AGAIN_MS, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  #isAhead(version: Version): boolean {
    const seen = this.#heard.store.seen();
    return seen !== undefined && BigInt(version) > BigInt(seen);
  }

  #changed(version: Version, changes: readonly Change[]): void {
    const first = this.#at === undefined;
    this.#at = version;
    this.#sent ??= version;
    if (first && changes.length === 0) this.#write(event('changes', NOTHING(), version));
    this.#waiting.push(...changes);
    if (this.#waiting.length >= MOST_TOGETHER) this.#send();
    else if (this.#waiting.length > 0) this.#flush ??= setTimeout(() => this.#send(), TOGETHER_MS);
  }

  #send(): void {
    clearTimeout(this.#flush);
    this.#flush = undefined;
    if (this.#waiting.length === 0 || this.#at === undefined) return;
    const data: Changes = { at: new Date().toISOString(), changes: this.#waiting };
    const text = event('changes', data, this.#at);
    this.#kept.push({ from: this.#sent ?? this.#at, to: this.#at, text });
    this.#size += text.length;
    while (this.#size > MOST_KEPT) this.#size -= this.#kept.shift()!.text.length;
    this.#sent = this.#at;
    this.#waiting = [];
    this.#write(text);
  }

  #reset(version: Version, why: string): void {
    this.#send();
    this.#kept = [];
    this.#size = 0;
    this.#at = this.#sent = version;
    this.#write(event('reset', { why }, version));
  }

  /** Once for each change between away and back, whatever more is said of it. */
  #tell(): void {
    const away = this.#problem ?? this.#heard.etcdAway();
    if (!this.#watch || (away === undefined) === (this.#away === undefined)) return;
    this.#away = away;
    this.#write(event('etcd', { away: away ?? null }));
  }

  #write(text: string): void {
    for (const response of this.#responses) {
      if (response.writableLength > MOST_UNREAD) response.destroy();
      else response.write(text);
    }
  }
}

const NOTHING = (): Changes => ({ at: new Date().toISOString(), changes: [] });

function event(name: string, data: object, id?: Version): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
