// Listens to server-sent events as a browser does, and keeps what came. Refuses to know what events mean.
import { get, type IncomingMessage } from 'node:http';
import { eventually } from './process.js';

export interface Heard {
  readonly id?: string;
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  readonly data: any;
}

export class EventStream {
  readonly events: Heard[] = [];
  #text = '';
  #ended = false;

  private constructor(readonly response: IncomingMessage) {
    response.on('close', () => {
      this.#ended = true;
    });
    // Cut off by whoever is asked.
    response.on('error', () => undefined);
  }

  /** `last`: the Last-Event-ID. Without `read` nothing of it is. */
  static async open(url: string, last?: string, read = true): Promise<EventStream> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = last === undefined ? {} : { 'Last-Event-ID': last };
      get(url, { headers, agent: false }, resolve).on('error', reject);
    });
    const stream = new EventStream(response);
    if (read) response.setEncoding('utf8').on('data', (more: string) => stream.#add(more));
    else response.pause();
    return stream;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The id that a browser would name when it comes back. */
  get last(): string | undefined {
    return this.events.findLast(({ id }) => id !== undefined)?.id;
  }

  named(name: string): Heard[] {
    return this.events.filter(({ event }) => event === name);
  }

  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  get changes(): any[] {
    return this.named('changes').flatMap(({ data }) => data.changes);
  }

  /** The first one of that name, once it is there. */
  hears(name: string): Promise<Heard> {
    return eventually(`the event ${name}`, () => this.named(name)[0]);
  }

  close(): void {
    this.response.destroy();
  }

  #add(more: string): void {
    const parts = (this.#text + more).split('\n\n');
    this.#text = parts.pop()!;
    for (const part of parts) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(part)?.[1];
      const [id, event, data] = [field('id'), field('event'), field('data')];
      if (event && data) this.events.push({ ...(id !== undefined && { id }), event, data: JSON.parse(data) });
    }
  }
}
