// What is run by hand before a release: the soak, all measurements, and the three installations. `npm run test:long --
// --minutes 2` for a shorter soak, `--only soak` for nothing else, `--seed 1a2b` to repeat one. Ends with the table for README.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { runOrFail } from '../support/process.js';
import { type Soaked, soak, worded } from './soak.js';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '30' }, seed: { type: 'string' }, only: { type: 'string' } },
});
const minutes = Number(values.minutes);
if (!(minutes >= 1)) throw new Error(`--minutes is "${values.minutes}": a number from 1 on`);
const seed = values.seed ?? randomBytes(4).toString('hex');

const INSTALLATIONS = ['systemd', 'plugin', 'compose'].map((way) => `test/e2e/${way}.test.ts`);
const STEPS: Readonly<Record<string, () => Promise<{ readonly ok: boolean; readonly line: string }>>> = {
  soak: async () => {
    console.log(`soak: seed ${seed}, ${minutes} minutes`);
    soaked = await soak(seed, minutes);
    for (const fault of soaked.faults) console.log(`soak: ${fault}`);
    return { ok: soaked.faults.length === 0, line: `${soaked.calls.toLocaleString('en')} calls` };
  },
  bench: () => command('node', '--import', 'tsx/esm', 'test/bench/index.ts'),
  installations: () => command('node', 'test/run.mjs', ...INSTALLATIONS),
};
let soaked: Soaked | undefined;

if (values.only !== undefined && !(values.only in STEPS))
  throw new Error(`--only is "${values.only}": one of ${Object.keys(STEPS).join(', ')}`);
const results: { readonly step: string; readonly ok: boolean; readonly line: string }[] = [];
for (const [step, run] of Object.entries(STEPS)) {
  if (values.only !== undefined && values.only !== step) continue;
  console.log(`\n== ${step}`);
  const result = await run().catch((cause) => ({ ok: false, line: String(cause) }));
  results.push({ step, ...result });
}

console.log(`\n${await table()}`);
const failed = results.filter(({ ok }) => !ok).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/** The commit and the machine, and a row for each thing that was found. */
async function table(): Promise<string> {
  const commit = await runOrFail('git', ['rev-parse', '--short', 'HEAD']).catch(() => 'unknown');
  const changed = await runOrFail('git', ['status', '--porcelain']).catch(() => '');
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}`;
  const rows: [string, string][] = [
    ['commit', changed === '' ? commit : `${commit}, with changes`],
    ['date', new Date().toISOString().slice(0, 10)],
    ['machine', machine],
  ];
  if (soaked !== undefined) {
    const { calls, perSecond, verdicts } = soaked;
    rows.push(
      ['seed', seed],
      ['minutes', soaked.minutes.toFixed(1)],
      ['calls', `${calls.toLocaleString('en')}, ${Math.round(perSecond)} a second`],
      ...Object.entries(verdicts).map(([name, verdict]): [string, string] => [
        name,
        `${worded(verdict)} in the last ${Math.round((soaked!.minutes * 2) / 3)} minutes${verdict.flat ? '' : ': NOT FLAT'}`,
      ]),
    );
  }
  rows.push(...results.map(({ step, ok, line }): [string, string] => [step, `${ok ? 'passed' : 'FAILED'}: ${line}`]));
  return `| | |\n| --- | --- |\n${rows.map(([name, value]) => `| ${name} | ${value} |\n`).join('')}`;
}

/** Runs a program whose output is shown; its last line of counts, or the last line it printed. */
async function command(name: string, ...args: string[]): Promise<{ ok: boolean; line: string }> {
  const child = spawn(name, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
    process.stdout.write(text);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  const lines = printed.trim().split('\n');
  const counts = lines.filter((line) => /^\d+ passed, \d+ failed/.test(line)).at(-1);
  return { ok: code === 0, line: counts ?? (code === 0 ? 'printed above' : `ended with ${code}`) };
}
