// One answer for all who ask at once. Knows no metric.
import { setTimeout as sleep } from 'node:timers/promises';

/** However many read the metrics, an engine meets one rendering a second at most. */
const APART_MS = 1_000;

/**
 * Each answer was begun after it was asked for, so it is never older than the question. One is under way at a time, and
 * they begin a second apart or more: who asks meanwhile shares the next one.
 */
export function shared<T>(answer: () => Promise<T>): () => Promise<T> {
  let next: Promise<T> | undefined;
  let free: Promise<unknown> = Promise.resolve();
  const begin = async () => {
    await free;
    next = undefined;
    const answered = answer();
    free = Promise.allSettled([answered, sleep(APART_MS, undefined, { ref: false })]);
    return answered;
  };
  return () => {
    next ??= begin();
    return next;
  };
}
