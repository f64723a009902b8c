// `npm run chaos`: new seeds one after the other, tables of what they counted, and a last line of counts.
//
//   npm run chaos                                          10 seeds of 48 s, and more until all is met that CI asks for
//   npm run chaos -- --seed 7 --seconds 60 --seeds 1       one seed again, for as long as you like
//   npm run chaos -- --gentle                              without kills and restores, and what only reconciliation frees
//   npm run chaos -- --bugs                                each planted flaw, by seeds of its own, until it is found
//   npm run chaos -- --logs DIR                            keeps the drivers' logs and all calls of each seed there
import { mkdirSync } from 'node:fs';
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { BUGS, Planted } from './bugs.js';
import { GENTLE, KINDS, type Kind } from './faults.js';
import { close, kindsOf, type Ran, run } from './run.js';
import { inFlight, mostSaid, type Row, rowOf, table } from './table.js';

const SEEDS = 10;
const SECONDS = 48;
const CALLS = 60_000;
const MINUTES = 5;
/** In so many seeds each kind of fault is to meet calls. */
const MEETINGS = 3;
/** No seed begins later, should something still be missing. */
const LAST_BEGIN_MINUTES = 16;
/** Seeds that the harness may have to give up on a busy machine. */
const MOST_BROKEN = 3;
/** Of what is wrong the last lines say no more. */
const MOST_LINES = 20;
/** Seeds that may pass until a flaw has been found. */
const TRIES = 6;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    seconds: { type: 'string' },
    gentle: { type: 'boolean', default: false },
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

const began = performance.now();
const minutes = () => (performance.now() - began) / 60_000;
let [passed, failed] = [0, 0];
const failures: string[] = [];
await (values.bugs ? bugs() : soak());
for (const line of failures.slice(0, MOST_LINES)) say(`failed: ${line}`);
if (failures.length > MOST_LINES) say(`failed: and ${failures.length - MOST_LINES} more`);
say(`total ${minutes().toFixed(1)} minutes`);
say(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

/** A seed, a flaw, or something that all seeds together had to reach. */
function fail(...lines: readonly string[]): void {
  failed++;
  failures.push(...lines);
}

async function soak(): Promise<void> {
  const kinds = values.gentle ? GENTLE : KINDS;
  const rows: Row[] = [];
  const broken: string[] = [];
  const done = () => rows.reduce((sum, { granted, released }) => sum + granted + released, 0);
  const meetings = (kind: Kind) => inFlight(rows, kind).filter((one) => one.some((calls) => calls > 0)).length;
  const missing = () => [
    ...(rows.length < seeds ? [`${rows.length} seeds of ${seeds}`] : []),
    ...(usual && done() < CALLS ? [`${done()} calls granted or released of ${CALLS}`] : []),
    ...(usual && minutes() < MINUTES ? [`${minutes().toFixed(1)} minutes of ${MINUTES}`] : []),
    ...kinds
      .filter((kind) => usual && meetings(kind) < MEETINGS)
      .map((kind) => `"${kind}" met calls in ${meetings(kind)} seeds of ${MEETINGS}`),
  ];
  const judge = (ran: Ran) => {
    const row = rowOf(ran);
    const { seed, findings } = row;
    const told = findings.map(({ rule, text }) => `chaos seed ${seed}: ${rule}: ${text.slice(0, 400)}`);
    say(`seed ${seed} is over: ${row.granted} granted, ${row.released} released, ${findings.length} findings`);
    for (const { rule, text } of findings.slice(0, 20)) say(`  ${rule}: ${text}`);
    for (const text of ran.missed) say(`  did not come about: ${text}`);
    for (const text of mostSaid(ran.history)) say(`  ${text}`);
    if (findings.length > 0) fail(...told);
    if (ran.broken) {
      say(`  came to no end: ${ran.broken}`);
      broken.push(`chaos seed ${seed} came to no end: ${ran.broken.slice(0, 400)}`);
      return;
    }
    rows.push(row);
    if (findings.length === 0) passed++;
  };
  // While one seed waits for what is left, the next one lives.
  const waiting: Promise<void>[] = [];
  const goesOn = async () => {
    if (rows.length + waiting.length >= seeds) await Promise.all(waiting.splice(0));
    return missing().length > 0 && broken.length <= MOST_BROKEN && (!usual || minutes() < LAST_BEGIN_MINUTES);
  };
  for (let seed = first; await goesOn(); seed++) {
    await new Promise<void>((quiet) => {
      const reconciled = !values.gentle && seed % 2 === 0;
      const over = run({ seed, seconds, reconciled, say, quiet, ...logs }).then(judge);
      waiting.push(over.finally(quiet));
    });
    if (waiting.length > 1) await waiting.shift();
    if (!usual && broken.length > 0) break;
  }
  await Promise.all(waiting);
  rows.sort((a, b) => a.seed - b.seed);
  for (const line of table(rows)) say(line);
  say('\nfaults, each with the calls that were under way when it began, seed by seed:');
  for (const kind of kinds)
    say(
      `  ${kind.padEnd(26)} ${inFlight(rows, kind)
        .map((one) => one.join('+') || '-')
        .join('  ')}`,
    );
  say(`\n${rows.length} seeds in ${minutes().toFixed(1)} minutes, ${done()} calls granted or released`);
  if (broken.length > MOST_BROKEN || (broken.length > 0 && !usual)) for (const line of broken) fail(line);
  for (const text of missing()) fail(`chaos: ${text}`);
}

async function bugs(): Promise<void> {
  for (const bug of BUGS.filter(({ by, name }) => by === 'chaos' && name.includes(values.only ?? ''))) {
    await using planted = await Planted.plant(bug);
    const program = await planted.build();
    let found: string | undefined;
    for (let [seed, tries] = [first, 0]; tries < TRIES && !found; seed++) {
      const reconciled = bug.reconciled ?? seed % 2 === 0;
      if (bug.needs && !kindsOf(seed, reconciled).includes(bug.needs)) continue;
      tries++;
      const { findings, broken } = await run({ seed, seconds, reconciled, program, impatient: true, ...logs });
      if (findings[0]) found = `by seed ${seed}: ${findings[0].rule}: ${findings[0].text}`;
      else if (broken) say(`  seed ${seed} came to no end: ${broken}`);
    }
    say(`${bug.name}: ${found ?? 'not found'}`);
    if (found) passed++;
    else fail(`"${bug.name}" was not found`);
  }
}
