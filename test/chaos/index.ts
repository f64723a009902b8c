// `npm run chaos`: new seeds one after the other, tables of what they counted, and a last line of counts.
//
//   npm run chaos                                          10 seeds of 28 s, and more until there are 60,000 calls
//   npm run chaos -- --seed 7 --seconds 60 --seeds 1       one seed again, for as long as you like
//   npm run chaos -- --reconciled                          every other seed with engines to reconcile with, kills and restores
//   npm run chaos -- --bugs                                each planted flaw, by seeds of its own, until it is found
//   npm run chaos -- --logs DIR                            keeps the drivers' logs and all calls of each seed there
import { mkdirSync } from 'node:fs';
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { BUGS, Planted } from './bugs.js';
import { GENTLE, KINDS } from './faults.js';
import { close, type RunOptions, run } from './run.js';
import { inFlight, NOTHING, type Row, rowOf, table } from './table.js';

const SEEDS = 10;
const SECONDS = 28;
const CALLS = 60_000;
const MINUTES = 5;
/** No seed begins later, should there still be too few calls. */
const LAST_BEGIN_MINUTES = 14;
/** Seeds that may pass until a flaw has been found. */
const TRIES = 6;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    seconds: { type: 'string' },
    reconciled: { type: 'boolean', default: false },
    bugs: { type: 'boolean', default: false },
    only: { type: 'string' },
    logs: { type: 'string' },
  },
});
const first = Number(values.seed ?? process.env.ETCD_IPAM_TEST_SEED ?? Date.now() & 0x7fffffff);
const usual = values.seeds === undefined && values.seconds === undefined;
const [seeds, seconds] = [Number(values.seeds ?? SEEDS), Number(values.seconds ?? SECONDS)];
const say = (line: string) => console.log(line);
const logs = values.logs ? { logs: values.logs } : {};
if (values.logs) mkdirSync(values.logs, { recursive: true });

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => void close().finally(() => process.exit(128 + constants.signals[signal])));

let [passed, failed] = [0, 0];
await (values.bugs ? bugs() : soak());
say(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

async function soak(): Promise<void> {
  const began = performance.now();
  const minutes = () => (performance.now() - began) / 60_000;
  const rows: Row[] = [];
  const done = () => rows.reduce((sum, { granted, released }) => sum + granted + released, 0);
  const enough = () => rows.length >= seeds && (!usual || (done() >= CALLS && minutes() >= MINUTES));
  while (!enough() && (rows.length < seeds || minutes() < LAST_BEGIN_MINUTES)) {
    const seed = first + rows.length;
    const row = await one({ seed, seconds, reconciled: values.reconciled && seed % 2 === 0, say, ...logs });
    judge(`seed ${seed}`, row?.findings.length === 0);
    rows.push(row ?? { ...NOTHING, seed });
  }
  for (const line of table(rows)) say(line);
  const seen = (values.reconciled ? KINDS : GENTLE).map((kind) => ({ kind, times: inFlight(rows, kind) }));
  say('\nfaults, each with the calls that were under way when it began, seed by seed:');
  for (const { kind, times } of seen)
    say(`  ${kind.padEnd(26)} ${times.map((one) => one.join('+') || '-').join('  ')}`);
  say(`\n${rows.length} seeds in ${minutes().toFixed(1)} minutes, ${done()} calls granted or released`);
  if (!usual) return;
  judge(`${CALLS} calls were granted or released`, done() >= CALLS);
  judge(`it took ${MINUTES} minutes at least`, minutes() >= MINUTES);
  for (const { kind, times } of seen)
    judge(`"${kind}" met calls in 3 seeds at least`, times.filter((one) => one.some((calls) => calls > 0)).length >= 3);
}

/** Undefined when the harness itself came to no end. */
async function one(options: RunOptions): Promise<Row | undefined> {
  const ran = await run(options).catch((error) => say(`  ${error?.stack ?? error}`));
  if (!ran) return undefined;
  const row = rowOf(ran);
  for (const { rule, text } of row.findings.slice(0, 20)) say(`  ${rule}: ${text}`);
  say(`  ${row.calls} calls, ${row.granted} granted, ${row.released} released, ${row.findings.length} findings`);
  return row;
}

async function bugs(): Promise<void> {
  for (const bug of BUGS.filter(({ by, name }) => by === 'chaos' && name.includes(values.only ?? ''))) {
    await using planted = await Planted.plant(bug);
    const program = await planted.build();
    let found: string | undefined;
    for (let attempt = 0; attempt < TRIES && !found; attempt++) {
      const seed = first + attempt;
      const reconciled = bug.reconciled ?? seed % 2 === 0;
      const { findings } = await run({
        seed,
        seconds,
        reconciled,
        program,
        impatient: true,
        say: () => undefined,
        ...logs,
      });
      if (findings[0]) found = `by seed ${seed}: ${findings[0].rule}: ${findings[0].text}`;
    }
    say(`${bug.name}: ${found ?? 'not found'}`);
    judge(bug.name, found !== undefined);
  }
}

function judge(what: string, holds: boolean): void {
  if (holds) passed++;
  else failed++;
  if (!holds) say(`failed: ${what}`);
}
