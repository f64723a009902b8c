// Where lines leave the process: standard output or error, whose reader may pause. Never waits for it but at the end;
// refuses to know what the lines say.
import { constants, fstatSync, openSync } from 'node:fs';
import { type DestinationStream, destination } from 'pino';

/** What is not taken is kept up to this, in bytes; what follows is lost, and counted. */
const KEPT_BYTES = 1 << 20;
/** When what is kept is offered again, in milliseconds. */
const AGAIN_MS = 50;
/** What all synchronous flushes together may wait for a reader, in milliseconds. */
const PATIENCE_MS = 1_000;

/** Lines that are taken are written before `write` returns. While none are, it returns at once. */
export class Outlet implements DestinationStream {
  readonly #to: ReturnType<typeof destination>;
  readonly #onLost: (lines: number) => void;
  #stuck = false;
  #lost = 0;
  #again: NodeJS.Timeout | undefined;
  #patientUntil: number | undefined;

  /** `onLost` hears how many lines are missing once those before them are taken: what it writes stands in their place. */
  constructor(fd: 1 | 2, onLost: (lines: number) => void) {
    this.#onLost = onLost;
    const retryEAGAIN = () => performance.now() < (this.#patientUntil ?? 0);
    this.#to = destination({ fd: neverBlocking(fd), sync: true, maxLength: KEPT_BYTES, retryEAGAIN });
    // Also in place of pino's own, for which a broken pipe is the end and a full disk a defect.
    this.#to.removeAllListeners('error').on('error', () => {
      this.#stuck = true;
    });
    this.#to.on('drop', (lines: string) => {
      this.#stuck = true;
      this.#lost += countOf(lines);
    });
  }

  /** After the first that is lost all are, until those before it have been taken. */
  write(lines: string): void {
    if (this.#lost > 0) this.#lost += countOf(lines);
    else this.#offer(lines);
  }

  /** For the last lines of a process: waits for the reader, for a second in all. */
  flushSync(): void {
    this.#patientUntil ??= performance.now() + PATIENCE_MS;
    this.#offer('');
  }

  /** Writes what is kept as well. */
  #offer(lines: string): void {
    this.#stuck = false;
    this.#to.write(lines);
    if (this.#stuck) this.#again ??= setTimeout(() => this.#offerAgain(), AGAIN_MS).unref();
    else if (this.#lost > 0) {
      const lost = this.#lost;
      this.#lost = 0;
      this.#onLost(lost);
    }
  }

  #offerAgain(): void {
    this.#again = undefined;
    this.#offer('');
  }
}

function countOf(lines: string): number {
  return lines.split('\n').length - 1;
}

/**
 * A file descriptor for the same that refuses (EAGAIN) what is not taken. Whether one blocks is a matter of all processes
 * that share it, and Node has terminals block; opened anew it is ours alone. A socket cannot be: Node has it never block
 * from the moment on at which process.stdout or stderr is asked for. A file takes all, and opened anew it would be
 * written from its beginning.
 */
function neverBlocking(fd: 1 | 2): number {
  void (fd === 1 ? process.stdout : process.stderr);
  if (fstatSync(fd).isFile()) return fd;
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return fd;
  }
}
