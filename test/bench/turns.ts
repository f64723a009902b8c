// Subjects that take turns, so that all meet the same machine at the same time: a ratio is the median of those of the turns.
import { type Costs, costsSoFar, meanOf, perCall } from './costs.js';
import type { Site } from './site.js';

export interface Subject {
  readonly what: string;
  readonly inFlight: number;
  /** In each turn. */
  readonly calls: number;
  readonly call: () => Promise<unknown>;
  /** After each turn, outside of what is measured. */
  readonly after?: () => Promise<unknown>;
  readonly remark?: string;
}

/** One line of a printed table. */
export interface Line {
  readonly what: string;
  readonly inFlight: number;
  readonly calls: number;
  readonly median: number;
  readonly p99: number;
  readonly perSecond: number;
  /** Of median and rate, to those of the first subject; undefined for that one. */
  readonly ratio?: { readonly median: number; readonly rate: number };
  /** Of one call. */
  readonly costs?: Costs;
  readonly remark?: string;
}

interface Turn {
  readonly samples: readonly number[];
  readonly median: number;
  readonly rate: number;
  readonly costs: Costs;
}

/** The first subject is what the others are compared with. One turn before those that count warms all of them. */
export async function takeTurns(site: Site, turns: number, subjects: readonly Subject[]): Promise<Line[]> {
  const taken = subjects.map((): Turn[] => []);
  for (let turn = turns > 1 ? -1 : 0; turn < turns; turn++) {
    for (const [i, subject] of subjects.entries()) {
      const one = await takeTurn(site, subject);
      if (turn >= 0) taken[i]!.push(one);
    }
  }
  return subjects.map(({ what, inFlight, remark }, i) => {
    const own = taken[i]!;
    const samples = own.flatMap((turn) => turn.samples);
    const against = (of: (turn: Turn) => number) =>
      quantile(
        own.map((turn, at) => of(turn) / of(taken[0]![at]!)),
        0.5,
      );
    return {
      what,
      inFlight,
      calls: samples.length,
      median: quantile(samples, 0.5),
      p99: quantile(samples, 0.99),
      perSecond: quantile(
        own.map(({ rate }) => rate),
        0.5,
      ),
      costs: meanOf(own.map(({ costs }) => costs)),
      ...(i > 0 && { ratio: { median: against(({ median }) => median), rate: against(({ rate }) => rate) } }),
      ...(remark !== undefined && { remark }),
    };
  });
}

async function takeTurn(site: Site, { inFlight, calls, call, after }: Subject): Promise<Turn> {
  const samples: number[] = [];
  const before = await costsSoFar(site);
  const wall = await series(calls, inFlight, samples, call);
  const costs = perCall(before, await costsSoFar(site), calls);
  await after?.();
  return { samples, median: quantile(samples, 0.5), rate: (calls * 1_000) / wall, costs };
}

/** `count` calls, `inFlight` at a time; what each took is added to the samples. Resolves with what all took together. */
export async function series(
  count: number,
  inFlight: number,
  samples: number[],
  call: () => Promise<unknown>,
): Promise<number> {
  let left = count;
  const started = performance.now();
  const worker = async () => {
    while (left-- > 0) {
      const begun = performance.now();
      await call();
      samples.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return performance.now() - started;
}

/** The value below which that part of the samples lies. */
export function quantile(samples: readonly number[], part: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}
