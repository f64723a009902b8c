// The measurements of the README, each on a fresh etcd that writes to this machine's disk. `--once` runs each with a few calls,
// and checks only that what was given is what etcd has; `--size N` is how many claims are put into large pools.
import { cpus, loadavg } from 'node:os';
import { calls } from './calls.js';
import { dockerRun } from './docker-run.js';
import { filledPool } from './filled-pool.js';
import { fullPool } from './full-pool.js';
import { history } from './history.js';
import { hosts } from './hosts.js';
import { memory } from './memory.js';
import { oneAddress } from './one-address.js';
import { peers } from './peers.js';
import { processes } from './processes.js';
import { openSite, type Scenario } from './site.js';
import { start } from './start.js';
import { tableOf } from './table.js';

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'one-address': oneAddress,
  'filled-pool': filledPool,
  calls,
  processes,
  'full-pool': fullPool,
  peers,
  start,
  memory,
  history,
  hosts,
  'docker-run': dockerRun,
};

const given = process.argv.slice(2);
const once = given.includes('--once');
const sizeAt = given.indexOf('--size');
const size = sizeAt < 0 ? (once ? 300 : 100_000) : Number(given[sizeAt + 1]);
const wanted = given.filter((argument, i) => !argument.startsWith('--') && (sizeAt < 0 || i !== sizeAt + 1));
const unknown = wanted.filter((name) => !(name in SCENARIOS));
if (unknown.length > 0 || !Number.isInteger(size) || size < 1) {
  console.error(`bench: there are ${Object.keys(SCENARIOS).join(', ')}; --once; --size N, a number of claims`);
  process.exit(1);
}

const processors = cpus();
for (const [name, scenario] of Object.entries(SCENARIOS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  await using site = await openSite();
  console.log(`**${name}: ${scenario.title}**\n`);
  console.log(tableOf(await scenario.run(site, { once, size })));
  console.log(
    `${processors.length} × ${processors[0]?.model.trim()}, load ${loadavg()[0]!.toFixed(1)}, Node ${process.version}, ` +
      `etcd ${site.etcdVersion} (one member, fsync on), driver, etcd and measuring process on this machine\n`,
  );
}
