#!/usr/bin/env node
// The test runner: gives mocha a private host when it may, and refuses to know what any suite tests.
//
//   npm test                              every suite but faults: unit, conformance, integration, e2e, machines, browser
//   npm test -- test/faults               those, which measure and so run by themselves, as test/browser/speed.test.ts does
//   npm test -- test/unit/foo.test.ts     one file
//   npm test -- --grep "gateway"          any option of mocha
//
// The whole of it is five runs side by side, for engines are waited for more than worked on: the drivers' own suites, those
// with an etcd, those with an engine, those of several machines, the page in a browser. What they print comes one after the
// other. Five runs can be too much for a small machine. So a file in which something was waited for in vain, rather than
// seen to be wrong, or one whose programs may be slower than it foresaw, runs once more by itself when it failed, unless it
// judges who has an address: `again:` says which, and what had failed; its second run counts.
//
// As root on Linux a run lives in namespaces of its own (test/support/private-host.mjs): engines, networks and plugin
// sockets of the tests never meet those of the machine, and nothing outlives the run. Elsewhere the e2e suites skip,
// saying why; with CI=true that is a failure.
import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installPrograms } from './support/packages.mjs';
import { noPrivateHost, privateHost } from './support/private-host.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
process.env.PATH = [process.env.PATH, '/usr/local/sbin', '/usr/sbin', '/sbin'].filter(Boolean).join(':');

const all = (...levels) => levels.map((level) => `test/${level}/**/*.test.ts`);
const but = (file) => ['--ignore', file];
// Some files elsewhere, so that the five take about as long as one another; and what measures a browser is run with faults/.
const [compose, firstRun] = ['test/e2e/compose.test.ts', 'test/e2e/first-run.test.ts'];
const [identity, speed] = ['test/machines/identity.test.ts', 'test/browser/speed.test.ts'];
const integration = (...names) => names.map((name) => `test/integration/${name}.test.ts`);
const beside = {
  unit: integration('monitoring*', 'readme', 'eight-processes', 'ruled-processes'),
  machines: integration('lost-answers'),
  browser: integration('pasted', 'check'),
};
const lanes = [
  [...all('unit', 'conformance'), identity, ...beside.unit],
  [...all('integration'), ...Object.values(beside).flat().flatMap(but)],
  [...all('e2e'), ...but(compose), ...but(firstRun)],
  [...all('machines'), ...but(identity), firstRun, ...beside.machines],
  [...all('browser'), ...but(speed), compose, ...beside.browser],
];
const given = process.argv.slice(2).map((argument) => (isFolder(argument) ? join(argument, '**/*.test.ts') : argument));
const files = given.filter(
  (argument) => !argument.startsWith('-') && (existsSync(argument) || /\*|\.ts$/.test(argument)),
);
const unitOnly = files.length > 0 && files.every((file) => relative(root, resolve(file)).startsWith('test/unit/'));
const mocha = join(dirname(createRequire(import.meta.url).resolve('mocha/package.json')), 'bin/mocha.js');

// Where nobody looks on, a part is treated as the whole is.
const judged = process.env.CI !== undefined;
const runs = plan();
let interrupted;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    for (const run of runs) run.end(interrupted ? 'SIGKILL' : signal);
    interrupted = signal;
  });
}
let code = 0;
for (const run of runs) {
  run.show();
  run.code = await run.ended;
  code ||= run.code;
}
if (runs.length > 1 || (judged && runs[0].printed !== '')) {
  const outputs = runs.map(({ printed }) => printed);
  const again = interrupted ? [] : mayPass(runs);
  if (again.length > 0) {
    console.log(`\nagain: ${again.map(({ file }) => file).join(', ')}; once more, by itself`);
    const [names, kept] = [again.map(({ file }) => file), true];
    const second = start(names, privateHost, {}, kept);
    runs.push(second);
    second.show();
    code = await second.ended;
    outputs.push(second.printed, ...again.map(({ passed, failed }) => `${-passed} passed, ${-failed} failed`));
  }
  console.log(`\nall levels\n${total(outputs)}`);
}
process.exitCode = code;
if (interrupted) process.exitCode = 128 + constants.signals[interrupted];

function plan() {
  const every = all('unit', 'conformance', 'integration', 'e2e', 'machines', 'browser');
  const asked = [...given, ...(files.length === 0 ? every : [])];
  if (unitOnly) return [start(asked)];
  const problem = withoutHost(asked);
  if (problem) return [start(asked, undefined, { ETCD_IPAM_TEST_NO_HOST: problem })];
  if (given.length > 0) return [start(asked, privateHost, {}, judged)];
  return lanes.map((lane) => start(lane, privateHost, {}, true));
}

/** Why there can be no private host, if so. */
function withoutHost(asked) {
  if (process.platform !== 'linux') return 'real engines need Linux';
  if (process.getuid() !== 0) return 'real engines need root: run the tests as root to include them';
  installPrograms(asked.map((file) => (existsSync(file) ? relative(root, resolve(file)) : file)));
  return noPrivateHost();
}

/** One mocha, in a host that `open` makes for its command line. `kept`: what it prints waits to be shown. */
function start(args, open, environment = {}, kept = false) {
  const plain = [process.execPath, mocha, '--fail-zero', ...args];
  const host = open?.(plain);
  const child = spawn(...(host?.command ?? [plain[0], plain.slice(1)]), {
    stdio: kept ? ['ignore', 'pipe', 'inherit'] : 'inherit',
    env: {
      ...process.env,
      ...(kept && process.stdout.isTTY && { FORCE_COLOR: '1' }),
      ...environment,
      ...host?.environment,
    },
    detached: host !== undefined,
  });
  const run = { printed: '' };
  let shown = false;
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    run.printed += text;
    if (shown) process.stdout.write(text);
  });
  run.show = () => {
    shown = true;
    process.stdout.write(run.printed);
  };
  run.end = (signal) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    if (host && signal !== 'SIGKILL') host.signal(child.pid, signal);
    else child.kill(signal);
  };
  run.ended = new Promise((resolve) => {
    child.on('error', (cause) => {
      console.error(`test/run: cannot start ${child.spawnfile}: ${cause.message}`);
      resolve(1);
    });
    child.on('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  }).finally(() => host?.close());
  return run;
}

/** One line of the counts that several runs ended with. A run without any has failed. */
function total(outputs) {
  const counts = outputs.map((text) =>
    [...text.matchAll(/^(-?\d+) passed, (-?\d+) failed(?:, (\d+) skipped)?$/gm)].at(-1),
  );
  const [passed, failed, skipped] = [1, 2, 3].map((at) =>
    counts.reduce((sum, line) => sum + Number(line ? (line[at] ?? 0) : at === 2), 0),
  );
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** The files that failed, if each of them may pass by itself. */
function mayPass(runs) {
  const failed = runs
    .filter(({ code }) => code !== 0)
    .map(({ printed }) => [...printed.matchAll(/^failed: (\S+) \((\d+) passed, (\d+) failed(, again)?\)$/gm)]);
  const files = failed.flat();
  if (failed.some((found) => found.length === 0) || files.some(([, , , , again]) => !again)) return [];
  return files.map(([, file, passed, failed]) => ({ file, passed: Number(passed), failed: Number(failed) }));
}

function isFolder(path) {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
