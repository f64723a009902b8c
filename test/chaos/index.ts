// `npm run chaos`: runs of new seeds one after the other, a table of what they counted, and a last line for the CI to count.
//
//   npm run chaos                                          10 seeds of 30 s
//   npm run chaos -- --seed 7 --seconds 60 --seeds 1       one seed again, for as long as you like
import { parseArgs } from 'node:util';
import { KINDS } from './faults.js';
import { type Ran, run } from './run.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: process.env.ETCD_IPAM_TEST_SEED ?? String(Date.now() & 0x7fffffff) },
    seeds: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '30' },
    logs: { type: 'string' },
  },
});
const [first, seeds, seconds] = [Number(values.seed), Number(values.seeds), Number(values.seconds)];
const began = performance.now();
const all: Ran[] = [];
for (let i = 0; i < seeds; i++) {
  const ran = await run({
    seed: first + i,
    seconds,
    reconciled: (first + i) % 2 === 0,
    say: (line) => console.log(line),
  });
  all.push(ran);
  for (const { rule, text } of ran.findings.slice(0, 20)) console.log(`  ${rule}: ${text}`);
  console.log(`  ${row(ran)}`);
}
console.log(`${((performance.now() - began) / 60_000).toFixed(1)} minutes, ${KINDS.length} kinds of faults`);

function row({ seed, history, begun, findings, orphans, elections }: Ran): string {
  const of = (rule: string) => findings.filter((one) => one.rule === rule).length;
  const faults = [...begun].map(([kind, underWay]) => `${kind} ${underWay.join('+')}`).join(', ');
  const counts = ['granted', 'released', 'failed', 'unknown'] as const;
  return [
    `seed ${seed}: ${history.calls.length} calls`,
    ...counts.map((outcome) => `${history.count(outcome)} ${outcome}`),
    `${elections} elections`,
    `${orphans} orphans`,
    ...['overlap', 'phantom', 'taken', 'late', 'unlawful', 'leak'].map((rule) => `${of(rule)} ${rule}`),
    `in flight at faults: ${faults}`,
  ].join(', ');
}
