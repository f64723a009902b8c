#!/usr/bin/env node
// The test runner: gives mocha a private host when it may, and refuses to know what any suite tests.
//
//   npm test                              every suite: unit, conformance, integration, e2e
//   npm test -- test/unit/foo.test.ts     one file
//   npm test -- --grep "gateway"          any option of mocha
//
// As root on Linux the run lives in namespaces of its own (test/support/private-host.mjs): engines, networks and plugin
// sockets of the tests never meet those of the machine, and nothing outlives the run. Elsewhere the e2e suites skip,
// saying why; with CI=true that is a failure.
import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installPrograms } from './support/packages.mjs';
import { privateHost } from './support/private-host.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
process.env.PATH = [process.env.PATH, '/usr/local/sbin', '/usr/sbin', '/sbin'].filter(Boolean).join(':');

const suites = ['unit', 'conformance', 'integration', 'e2e'].map((suite) => `test/${suite}/**/*.test.ts`);
const given = process.argv.slice(2).map((argument) => (isFolder(argument) ? join(argument, '**/*.test.ts') : argument));
const files = given.filter(
  (argument) => !argument.startsWith('-') && (existsSync(argument) || /\*|\.ts$/.test(argument)),
);
const unitOnly = files.length > 0 && files.every((file) => relative(root, resolve(file)).startsWith('test/unit/'));

const mocha = join(dirname(createRequire(import.meta.url).resolve('mocha/package.json')), 'bin/mocha.js');
const command = [process.execPath, mocha, '--fail-zero', ...given, ...(files.length === 0 ? suites : [])];

const host = unitOnly ? undefined : openHost();
const child = spawn(...(host ?? { command: [command[0], command.slice(1)] }).command, {
  stdio: 'inherit',
  env: { ...process.env, ...host?.environment },
  detached: host?.signal !== undefined,
});

let interrupted;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (interrupted) child.kill('SIGKILL');
    else if (host?.signal) host.signal(child.pid, signal);
    else child.kill(signal);
    interrupted = signal;
  });
}
child.on('error', (cause) => {
  console.error(`test/run: cannot start ${child.spawnfile}: ${cause.message}`);
  host?.close();
  process.exitCode = 1;
});
child.on('exit', (code, signal) => {
  host?.close();
  process.exitCode = interrupted ? 128 + constants.signals[interrupted] : (code ?? 128 + constants.signals[signal]);
});

function isFolder(path) {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function openHost() {
  if (process.platform !== 'linux') return without('real engines need Linux');
  if (process.getuid() !== 0) return without('real engines need root: run the tests as root to include them');
  installPrograms();
  const opened = privateHost(command);
  return typeof opened === 'string' ? without(opened) : opened;
}

function without(reason) {
  return {
    command: [command[0], command.slice(1)],
    environment: { ETCD_IPAM_TEST_NO_HOST: reason },
    close: () => {},
  };
}
