// Whether a resource stays as it is while a soak runs: the judge of its samples. Refuses to know what they are of.

/** One reading: seconds since the beginning, and how much there was. */
export interface Sample {
  readonly at: number;
  readonly value: number;
}

export interface Bound {
  /** Of the level, that it may grow by over the time that is judged. */
  readonly share: number;
  /** What it may grow by in any case, as a handful more of few things is no leak. */
  readonly slack?: number;
}

export interface Verdict {
  /** The median of what is judged. */
  readonly level: number;
  /** In a second. */
  readonly slope: number;
  /** The slope times the time that is judged. */
  readonly growth: number;
  readonly flat: boolean;
}

/** Fewer samples say nothing. */
const LEAST = 6;

/**
 * Judges the last two thirds: of 30 minutes the last 20. The first third is for caches, just-in-time compilation and
 * etcd's first compactions. The slope is the median of those between all pairs (Theil and Sen), which a saw of garbage
 * collection or a single burst does not tilt, as a line of least squares would be. What shrinks is flat.
 */
export function judge(samples: readonly Sample[], { share, slack = 0 }: Bound): Verdict {
  const end = samples.at(-1)?.at ?? 0;
  const judged = samples.filter(({ at }) => at >= end / 3);
  if (judged.length < LEAST) throw new Error(`${judged.length} samples in the last two thirds; ${LEAST} are needed`);
  const level = median(judged.map(({ value }) => value));
  const slope = median(judged.flatMap((a, i) => judged.slice(i + 1).map((b) => (b.value - a.value) / (b.at - a.at))));
  const growth = slope * (end - judged[0]!.at);
  return { level, slope, growth, flat: growth <= Math.max(share * level, slack) };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
