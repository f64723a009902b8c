// The last step of a call: write the reply and learn whether it left, or take back what was granted. Refuses to know
// which call it was.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Call } from './ipam.js';
import { CONTENT_TYPE } from './wire.js';

/** The way back to one caller, for one reply. */
export class WayBack {
  /** Hears that the caller has gone, if nothing was sent before. */
  onGone: (() => void) | undefined;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  #sent: ((taken: boolean) => void) | undefined;

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.#req = req;
    this.#res = res;
    res.on('close', () => {
      if (this.#sent) this.#sent(false);
      else this.onGone?.();
    });
  }

  get begun(): boolean {
    return this.#sent !== undefined;
  }

  /** Whether the caller closed its side, as far as this process has seen; node ends ours as soon as it has. */
  get hasNobody(): boolean {
    const { socket } = this.#req;
    return this.#res.closed || socket.destroyed || !socket.writable;
  }

  /**
   * Writes before it returns. Resolves true once the kernel took the whole reply; if not, no engine can have read it. `last`: of
   * its connection.
   */
  send(status: number, body: object, last: boolean): Promise<boolean> {
    const text = JSON.stringify(body);
    const res = this.#res;
    if (last) res.setHeader('Connection', 'close');
    res.writeHead(status, { 'Content-Type': CONTENT_TYPE, 'Content-Length': Buffer.byteLength(text) });
    const { socket } = res;
    const taken = new Promise<boolean>((resolve) => {
      this.#sent = resolve;
      // Node tells 'finish' also of a write that failed (EPIPE); only the socket knows. 'close' comes after it.
      res.on('finish', () => resolve(socket !== null && socket.errored === null));
    });
    res.end(text);
    return taken;
  }
}

/** Docker reads `Err` of every reply but 200 and shows it to its user: one line, no stack. */
export function refusal(error: Error): object {
  return { Err: error.message.split('\n', 1)[0] || 'internal error' };
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error('internal error', { cause: thrown });
}

/** When what has been decided is told to whoever waits for it. */
export type Telling = <T>(told: (value: T) => void, value: T) => void;

/**
 * Once the event loop has polled again. A close that came while the process was stopped or busy is then seen; one turn alone
 * may end a poll that had begun before.
 */
export const afterPoll: Telling = (told, value) => {
  setImmediate(() => setImmediate(told, value));
};

/**
 * Once all that became known in the same moment is decided and logged. No later on a Unix socket: there the very first write to
 * a caller who has closed fails.
 */
export const afterAllDecided: Telling = (told, value) => process.nextTick(told, value);

/** What a call is lent. Its signal is made when it is asked for: most never do. */
export class Lent implements Call {
  readonly deadline: number;
  readonly #undos: Undos;
  #aborter: AbortController | undefined;
  #reason: Error | undefined;

  constructor(deadline: number, undos: Undos) {
    this.deadline = deadline;
    this.#undos = undos;
  }

  get signal(): AbortSignal {
    if (!this.#aborter) {
      this.#aborter = new AbortController();
      if (this.#reason) this.#aborter.abort(this.#reason);
    }
    return this.#aborter.signal;
  }

  abort(reason: Error): void {
    this.#reason ??= reason;
    this.#aborter?.abort(reason);
  }

  onUndelivered(undo: () => Promise<void>): void {
    this.#undos.add(undo);
  }
}

/** What one call registered to be taken back, last first. Registered after the taking back began: at once. */
export class Undos {
  readonly #waiting: (() => Promise<void>)[] = [];
  readonly #fault: (error: unknown) => void;
  #running = false;
  #began = false;

  constructor(fault: (error: unknown) => void) {
    this.#fault = fault;
  }

  add(undo: () => Promise<void>): void {
    this.#waiting.push(undo);
    if (this.#began) void this.run();
  }

  /** Never throws: an undo that fails is reported, and the next one runs. */
  async run(): Promise<void> {
    this.#began = true;
    if (this.#running) return;
    this.#running = true;
    for (let undo = this.#waiting.pop(); undo !== undefined; undo = this.#waiting.pop()) {
      try {
        await undo();
      } catch (thrown) {
        this.#fault(thrown);
      }
    }
    this.#running = false;
  }
}
