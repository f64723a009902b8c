// An instant as records and the log write it. Refuses to know the clock.

let last = Number.NaN;
let text = '';

/** ISO 8601 in UTC. The last one is remembered: claims that are decided together share theirs. */
export function formatInstant(at: Date): string {
  const ms = at.getTime();
  if (ms !== last) {
    text = at.toISOString();
    last = ms;
  }
  return text;
}
