// The end-to-end view: what `docker run` and `docker network connect` take on a network of ours, against the same on one of the
// engine's built-in driver, in alternating pairs. Opens a private host for it, and refuses to know what goes on in there.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../../src/quickstart/programs.js';
import { noPrivateHost, privateHost } from '../support/private-host.mjs';
import type { Scale, Scenario, Site } from './site.js';
import { type Line, quantile } from './turns.js';

const PAIRS = 150;
const INSIDE = fileURLToPath(new URL('docker-run-inside.ts', import.meta.url));

/** What is printed by the inner process: for each command the milliseconds of all pairs, with the built-in driver and with ours. */
export type Pairs = Readonly<Record<string, readonly (readonly [builtIn: number, ours: number])[]>>;

export const dockerRun: Scenario = {
  title: 'docker with a network of ours, against one of the built-in driver, in alternating pairs',
  async run(_: Site, { once }: Scale) {
    const problem = missing();
    if (problem) return [{ ...NOTHING, what: `not measured: ${problem}` }];
    return Object.entries(await inside(once ? 1 : PAIRS)).flatMap(([what, pairs]) => linesOf(what, pairs));
  },
};

function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'real engines need root on Linux';
  const absent = ['docker', 'dockerd'].find((name) => !findProgram(name, process.env.PATH));
  return absent === undefined ? noPrivateHost() : `${absent} is not installed`;
}

const NOTHING = { inFlight: 1, calls: 0, median: Number.NaN, p99: Number.NaN, perSecond: Number.NaN };

async function inside(pairs: number): Promise<Pairs> {
  const host = privateHost([process.execPath, '--import', 'tsx/esm', INSIDE, String(pairs)]);
  const [command, args] = host.command;
  const env = { ...process.env, ...host.environment, ETCD_IPAM_TEST_ETCD: 'binary' };
  const child = spawn(command, args, { env, detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    let printed = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`docker-run ended with ${code}: ${printed}`);
    return JSON.parse(printed.trim().split('\n').at(-1)!) as Pairs;
  } finally {
    host.close();
  }
}

function linesOf(what: string, pairs: Pairs[string]): Line[] {
  const [builtIn, ours] = [0, 1].map((side) => {
    const samples = pairs.map((pair) => pair[side]!);
    return { inFlight: 1, calls: pairs.length, median: quantile(samples, 0.5), p99: quantile(samples, 0.99) };
  }) as [Omit<Line, 'what' | 'perSecond'>, Omit<Line, 'what' | 'perSecond'>];
  const ratios = pairs.map(([theirs, own]) => own / theirs);
  const ratio = { median: quantile(ratios, 0.5), rate: Number.NaN };
  const [low, high] = within(ratios);
  const remark = `95 % interval ${low.toFixed(3)} to ${high.toFixed(3)}`;
  return [
    { ...builtIn, what: `${what}, built-in`, perSecond: Number.NaN },
    { ...ours, what: `${what}, etcd-ipam`, perSecond: Number.NaN, ratio, remark },
  ];
}

/** The interval of the median by the order of the samples alone: as many of them lie below it as coins fall on heads. */
function within(samples: readonly number[]): [number, number] {
  const sorted = [...samples].sort((a, b) => a - b);
  const away = 0.98 * Math.sqrt(sorted.length);
  const at = (place: number) => sorted[Math.max(0, Math.min(sorted.length - 1, place))] ?? Number.NaN;
  return [at(Math.floor(sorted.length / 2 - away)), at(Math.ceil(sorted.length / 2 + away))];
}
