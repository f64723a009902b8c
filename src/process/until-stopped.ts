// The life of a program that serves: start, wait for a signal or a defect, stop in order. Refuses to know what it serves.
import { Releasers } from './releasers.js';
import { onSignals } from './signals.js';

/** How long a start that failed may take to undo what it had begun, in milliseconds. */
const FAILED_START_MS = 2_000;

export type Report = (
  what: { readonly signal: string } | { readonly error: unknown; readonly stopping?: string },
) => void;

/**
 * Resolves once `start` has; the process then lives on its servers and timers, and ends through a signal. Rejects with
 * what `start` threw, after whatever it had pushed is released, unless a signal came meanwhile.
 */
export async function untilStopped(start: (releasers: Releasers) => Promise<unknown>, report: Report): Promise<void> {
  const releasers = new Releasers();
  const stop = async (withinMs: number) => {
    for (const { name, error } of await releasers.release(withinMs)) report({ error, stopping: name });
  };
  onSignals({ stop, report });
  try {
    await start(releasers);
  } catch (error) {
    if (releasers.stopping) return;
    await stop(FAILED_START_MS);
    throw error;
  }
}
