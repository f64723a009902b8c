// How a pool's fill has gone, and when it will be full if it goes on so. Pure; samples come from whoever has counted.
import type { Trend } from './shapes.js';

/** Seconds since 1970, addresses in use. */
export type Point = readonly [number, number];

/** What a slope is taken of, and the least of it that is worth one. */
const SLOPE_OVER_S = 3_600;
const LEAST_S = 60;
const LEAST_POINTS = 4;
/** An end is foretold after 10 minutes, and no farther off than 24 times as long as the pool was watched. */
const FORETOLD_AFTER_S = 600;
const FARTHEST = 24;

/** `points`: the oldest first. */
export function trendOf(points: readonly Point[], size: number): Trend {
  const [at, used] = points.at(-1) ?? [0, 0];
  const recent = points.filter(([t]) => t >= at - SLOPE_OVER_S);
  const watched = at - (recent[0]?.[0] ?? at);
  const slope = recent.length < LEAST_POINTS || watched < LEAST_S ? Number.NaN : slopeOf(recent);
  const left = slope > 0 ? (size - used) / slope : Number.POSITIVE_INFINITY;
  const foretold = watched >= FORETOLD_AFTER_S && left <= FARTHEST * watched;
  return {
    points: points.map(([t, n]) => [t, n]),
    perHour: Number.isNaN(slope) ? null : Math.round(slope * 3_600 * 10) / 10,
    fullAt: foretold ? new Date((at + left) * 1_000).toISOString() : null,
  };
}

/** Addresses a second, by least squares. */
function slopeOf(points: readonly Point[]): number {
  const mean = (i: 0 | 1) => points.reduce((sum, point) => sum + point[i], 0) / points.length;
  const [t0, n0] = [mean(0), mean(1)];
  const over = points.reduce((sum, [t, n]) => sum + (t - t0) * (n - n0), 0);
  const under = points.reduce((sum, [t]) => sum + (t - t0) ** 2, 0);
  return over / under;
}

/** Of a pool: those of the last minutes, and of a day at longer distances. */
interface Kept {
  readonly fine: Point[];
  readonly coarse: Point[];
}

const FINE = { gapS: 10, most: 60 };
const COARSE = { gapS: 600, most: 144 };
const MOST_POOLS = 1_000;

/** What was counted of pools, within bounds: no more than 1,000 pools and 204 numbers of each. */
export class Samples {
  readonly #pools = new Map<string, Kept>();

  add(fills: readonly { readonly space: string; readonly pool: string; readonly used: number }[], now: Date): void {
    const at = Math.floor(now.getTime() / 1_000);
    for (const { space, pool, used } of fills) {
      const name = `${space} ${pool}`;
      const kept = this.#pools.get(name) ?? { fine: [], coarse: [] };
      keep(kept.fine, FINE, [at, used]);
      keep(kept.coarse, COARSE, [at, used]);
      // Those that were counted last are at the end.
      this.#pools.delete(name);
      this.#pools.set(name, kept);
    }
    for (const name of this.#pools.keys()) {
      if (this.#pools.size <= MOST_POOLS) break;
      this.#pools.delete(name);
    }
  }

  of(space: string, pool: string): Point[] {
    const { fine, coarse } = this.#pools.get(`${space} ${pool}`) ?? { fine: [], coarse: [] };
    const first = fine[0]?.[0] ?? 0;
    return [...coarse.filter(([t]) => t < first), ...fine];
  }
}

/** The latest stays in its place until it is old enough for the next: a quick series is one point that moves. */
function keep(points: Point[], { gapS, most }: typeof FINE, point: Point): void {
  const [before, last] = points.slice(-2);
  if (before && last && last[0] - before[0] < gapS) points.pop();
  points.push(point);
  if (points.length > most) points.shift();
}
