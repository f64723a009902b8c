// Signals and uncaught errors turned into one orderly stop and an exit code. Refuses to know what is stopped.

const CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
type StopSignal = keyof typeof CODES;

/**
 * npm passes a terminal's Ctrl-C on to a child that has already received it, so one key press is two signals: what comes
 * this soon after the first, in milliseconds, is the same.
 */
const ECHO_MS = 500;

/** `process`, or what a test puts in its place. */
export type Host = Pick<NodeJS.EventEmitter, 'on' | 'off'> & { exit(code: number): unknown };

interface Stop {
  /** Called once; what it rejects with is reported. */
  readonly stop: (withinMs: number) => Promise<unknown>;
  /** Told of the first signal and of every uncaught error, before anything stops. */
  readonly report: (what: { readonly signal: string } | { readonly error: unknown }) => void;
  /** For a stop by signal, and for one after an uncaught error, in milliseconds. */
  readonly graceMs?: number;
  readonly crashGraceMs?: number;
}

/**
 * SIGTERM, SIGINT and SIGHUP stop once and exit 0; a second signal exits at once with 128 + its number. An uncaught
 * error or an unhandled rejection stops with the short grace and exits 1. Returns what takes the listeners off again.
 */
export function onSignals(options: Stop, host: Host = process): () => void {
  const { stop, report, graceMs = 10_000, crashGraceMs = 2_000 } = options;
  let since: number | undefined;

  const finish = (code: number, withinMs: number) => {
    since = performance.now();
    stop(withinMs)
      .catch((error: unknown) => report({ error }))
      .finally(() => host.exit(code));
  };
  const onSignal = (signal: StopSignal) => {
    if (since === undefined) {
      report({ signal });
      finish(0, graceMs);
    } else if (performance.now() - since > ECHO_MS) host.exit(CODES[signal]);
  };
  const onError = (error: unknown) => {
    report({ error });
    if (since === undefined) finish(1, crashGraceMs);
  };

  const signals = Object.keys(CODES) as StopSignal[];
  for (const signal of signals) host.on(signal, onSignal);
  host.on('uncaughtException', onError);
  host.on('unhandledRejection', onError);
  return () => {
    for (const signal of signals) host.off(signal, onSignal);
    host.off('uncaughtException', onError);
    host.off('unhandledRejection', onError);
  };
}
