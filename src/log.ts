// The log: JSON lines on stdout, one for each decision. Writes only the fields named here, so no secret can slip in.
import { type DestinationStream, type Logger, pino } from 'pino';
import type { LogLevel } from './config.js';
import { formatInstant } from './ipam/instant.js';
import { Outlet } from './process/outlet.js';

export type Log = Logger;

/** What one call of an engine came to. */
export interface Decision {
  /** The method, such as RequestAddress. */
  readonly call: string;
  readonly outcome: 'granted' | 'released' | 'nothing to release' | 'queued' | 'refused' | 'failed' | 'undone' | 'late';
  /** How long it took, in milliseconds. */
  readonly ms: number;
  readonly space?: string | undefined;
  readonly pool?: string | undefined;
  readonly address?: string | undefined;
  /** What finds this very grant in etcd. */
  readonly token?: string | undefined;
  /** Transactions tried: the first may be the look at what is there, others are mostly lost races. */
  readonly attempts?: number | undefined;
  /** The node that had the address and is gone. */
  readonly from?: string | undefined;
  readonly error?: unknown;
}

interface LogOptions {
  readonly level: LogLevel;
  readonly node: string;
  /** Standard output by default: dockerd files a managed plugin's stdout as info, its stderr as errors. */
  readonly fd?: 1 | 2;
  /** Instead of a file descriptor. */
  readonly to?: DestinationStream;
}

/**
 * Lines of one moment, written together once all that is known has been decided, and at the latest when the process ends: a
 * write for each was a tenth of what a call cost with 64 in flight. An answer waits for the same, behind its line.
 */
export class EachTurn implements DestinationStream {
  readonly #to: DestinationStream & { readonly flushSync?: () => void };
  #lines = '';

  constructor(to: DestinationStream & { readonly flushSync?: () => void }) {
    this.#to = to;
    process.once('exit', () => this.flushSync());
  }

  write(line: string): void {
    if (this.#lines === '') process.nextTick(() => this.#flush());
    this.#lines += line;
  }

  /** pino asks for it after a fatal line. What is still kept from earlier moments goes first. */
  flushSync(): void {
    this.#to.flushSync?.();
    this.#flush();
  }

  #flush(): void {
    const lines = this.#lines;
    this.#lines = '';
    if (lines !== '') this.#to.write(lines);
  }
}

/** Written synchronously: the last line before an exit is the one that matters. Nobody has to read it: see `Outlet`. */
export function openLog({ level, node, fd = 1, to }: LogOptions): Log {
  const onLost = (lost: number) => log.error({ lost }, `${lost} lines are missing here: nobody read them`);
  const log: Log = pino(
    {
      level,
      base: { node },
      timestamp: () => `,"time":"${formatInstant(new Date())}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: messageOf },
    },
    to ?? new EachTurn(new Outlet(fd, onLost)),
  );
  return log;
}

const LEVEL_OF = {
  granted: 'info',
  released: 'info',
  'nothing to release': 'info',
  queued: 'warn',
  refused: 'warn',
  undone: 'warn',
  late: 'warn',
  failed: 'error',
} as const satisfies Record<Decision['outcome'], LogLevel>;

/** One line: what failed is an error, what the engine's user did not get is a warning. */
export function logDecision(log: Log, decision: Decision): void {
  const { call, outcome, space, pool, address, token, attempts, from, ms, error } = decision;
  const line = { call, space, pool, address, token, outcome, attempts, from, ms: Math.round(ms * 10) / 10, error };
  const subject = (address ?? pool) ? ` ${address ?? pool}` : '';
  const what = `${call}${subject} ${outcome}${from === undefined ? '' : ` from ${from}, which is gone`}`;
  log[LEVEL_OF[outcome]](line, what);
}

/** Signals and defects of the process itself, as process/until-stopped tells them. */
export function reportTo(log: Log) {
  return (what: { readonly signal: string } | { readonly error: unknown; readonly stopping?: string }): void => {
    if ('signal' in what) log.info({ signal: what.signal }, `stopping on ${what.signal}`);
    else if (what.stopping) log.error({ error: what.error }, `${what.stopping} did not stop`);
    else log.fatal({ error: stackOf(what.error) }, 'stopping after a defect');
  };
}

function stackOf(error: unknown): unknown {
  return error instanceof Error ? error.stack : error;
}

/** "message: because", without stack: a refusal is no accident. A defect keeps its stack. */
function messageOf(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const because = error.cause instanceof Error ? `: ${error.cause.message}` : '';
  const defect = error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
  return defect ? stackOf(error) : `${error.message}${because}`;
}
