// The measurements of the README, on a fresh etcd that writes to this machine's disk. `--once` runs each with a few calls,
// and checks only that what was given is what etcd has.
import { cpus } from 'node:os';
import { filledPool } from './filled-pool.js';
import { history } from './history.js';
import { oneAddress } from './one-address.js';
import { type Line, openSite, quantile, type Scenario } from './site.js';

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  ...{ 'one-address': oneAddress, 'filled-pool': filledPool, history },
};

const given = process.argv.slice(2);
const once = given.includes('--once');
const wanted = given.filter((argument) => !argument.startsWith('--'));
const unknown = wanted.filter((name) => !(name in SCENARIOS));
if (unknown.length > 0) {
  console.error(`bench: no measurement ${unknown.join(', ')}; there are ${Object.keys(SCENARIOS).join(', ')}`);
  process.exit(1);
}

await using site = await openSite();
const processors = cpus();
console.log(
  `${processors.length} × ${processors[0]?.model.trim()}, Node ${process.version}, etcd ${site.etcdVersion} (one member, fsync on), ` +
    'driver, etcd and measuring process on this machine\n',
);
for (const [name, scenario] of Object.entries(SCENARIOS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`**${scenario.title}**\n`);
  console.log(table(await scenario.run(site, once)));
}

function table(lines: readonly Line[]): string {
  const rows = lines.map(({ what, inFlight, samples, wall, remark = '' }) => [
    ...[what, String(inFlight), String(samples.length)],
    ...[0.5, 0.99].map((part) => quantile(samples, part).toFixed(2)),
    ...[String(Math.round((samples.length * 1_000) / wall)), remark],
  ]);
  const head = ['', 'in flight', 'calls', 'median ms', 'p99 ms', 'per second', ''];
  return [head, head.map((_, i) => (i === 0 || i === 6 ? '---' : '---:')), ...rows]
    .map((row) => `| ${row.join(' | ')} |\n`)
    .join('');
}
