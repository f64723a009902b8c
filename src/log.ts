// The log: JSON lines on stdout, one for each decision. Writes only the fields named here, so no secret can slip in.
import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';
import type { LogLevel } from './config.js';

export type Log = Logger;

/** What one call of an engine came to. */
export interface Decision {
  /** The method, such as RequestAddress. */
  readonly call: string;
  readonly outcome: 'granted' | 'released' | 'refused' | 'failed' | 'undone';
  /** How long it took, in milliseconds. */
  readonly ms: number;
  readonly space?: string | undefined;
  readonly pool?: string | undefined;
  readonly address?: string | undefined;
  /** What finds this very grant in etcd. */
  readonly token?: string | undefined;
  /** Transactions tried; above 1 means lost races. */
  readonly attempts?: number | undefined;
  readonly error?: unknown;
}

interface LogOptions {
  readonly level: LogLevel;
  readonly node: string;
  /** File descriptor 1 by default: dockerd files a managed plugin's stdout as info, its stderr as errors. */
  readonly to?: DestinationStream;
}

/** Written synchronously: the last line before an exit is the one that matters. */
export function openLog({ level, node, to = destination({ fd: 1, sync: true }) }: LogOptions): Log {
  return pino(
    {
      level,
      base: { node },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: messageOf },
    },
    to,
  );
}

/** One line: `failed` is an error, `refused` and `undone` a warning, the rest plain. */
export function logDecision(log: Log, decision: Decision): void {
  const { call, outcome, space, pool, address, token, attempts, ms, error } = decision;
  const line = { call, space, pool, address, token, outcome, attempts, ms: Math.round(ms * 10) / 10, error };
  const what = [call, address ?? pool, outcome].filter(Boolean).join(' ');
  if (outcome === 'failed') log.error(line, what);
  else if (outcome === 'refused' || outcome === 'undone') log.warn(line, what);
  else log.info(line, what);
}

/** "message (code): because", without stack: a refusal is no accident. A defect keeps its stack. */
function messageOf(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const because = error.cause instanceof Error ? `: ${error.cause.message}` : '';
  const defect = error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
  return defect ? error.stack : `${error.message}${because}`;
}
