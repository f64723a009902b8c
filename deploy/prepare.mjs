// Runs before `npm start`, `npm test` and `npm run bench`: makes a clone ready, and does nothing when it is.
// Plain Node, since it runs before node_modules exists. Says one line for each step that really happens.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..'));
const LEAST_NODE = [20, 19];
const LOCK_WAIT_MS = 10 * 60_000;

const at = (...parts) => join(ROOT, ...parts);
const PACKAGES_STAMP = at('node_modules', '.etcd-ipam-lock');
const BUILD_STAMP = at('dist', '.etcd-ipam-build');
const say = (line) => console.log(`prepare: ${line}`);

class Stop extends Error {
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > LEAST_NODE[0] || (major === LEAST_NODE[0] && minor >= LEAST_NODE[1])) return;
  throw new Stop(
    `Node ${process.versions.node} is too old: ${LEAST_NODE.join('.')} or newer is needed (https://nodejs.org)`,
  );
}

/** Two prepares at once would install over each other. A directory is made by one of them only. */
async function locked(work) {
  const lock = at('.etcd-ipam', 'prepare.lock');
  mkdirSync(dirname(lock), { recursive: true });
  const giveUp = Date.now() + LOCK_WAIT_MS;
  for (let waited = false; ; waited = true) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw new Stop(`${ROOT} is not writable: ${error.message}`);
    }
    const owner = ownerOf(lock);
    if (owner === 'gone') {
      rmSync(lock, { recursive: true, force: true });
      continue;
    }
    if (Date.now() > giveUp)
      throw new Stop(`another prepare (pid ${owner}) has not ended; if that is wrong, remove ${lock}`);
    if (!waited) say(`waiting for another prepare${owner ? ` (pid ${owner})` : ''}`);
    await sleep(200);
  }
  try {
    writeFileSync(join(lock, 'pid'), String(process.pid));
    return await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

/** The pid that holds the lock, undefined in the instant before it is written, 'gone' if its process is. */
function ownerOf(lock) {
  try {
    const pid = Number(readFileSync(join(lock, 'pid'), 'utf8'));
    try {
      process.kill(pid, 0);
      return pid;
    } catch (error) {
      return error.code === 'EPERM' ? pid : 'gone';
    }
  } catch {
    const made = statSync(lock, { throwIfNoEntry: false })?.mtimeMs;
    return made !== undefined && Date.now() - made > 5_000 ? 'gone' : undefined;
  }
}

const sha256 = (...contents) =>
  contents.reduce((hash, content) => hash.update(content), createHash('sha256')).digest('hex');

const textOf = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);

function installPackages() {
  const lockFile = textOf(at('package-lock.json'));
  if (lockFile === undefined)
    throw new Stop(`${at('package-lock.json')} is missing: run this in a clone of the repository`);
  const wanted = sha256(lockFile);
  if (textOf(PACKAGES_STAMP) === wanted) return;
  if (installedByHand(lockFile)) {
    writeFileSync(PACKAGES_STAMP, wanted);
    return;
  }
  say('installing packages (npm ci), about a minute the first time');
  // Development packages build the program, whatever NODE_ENV says. No package needs its install script.
  const args = ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'];
  const npm = process.env.npm_execpath;
  if (npm?.endsWith('npm-cli.js')) run('npm ci', process.execPath, [npm, ...args]);
  else run('npm ci', 'npm', args);
  writeFileSync(PACKAGES_STAMP, wanted);
}

/** npm keeps a lock file of what it laid out: all there at the right versions means nothing to do. */
function installedByHand(lockFile) {
  try {
    const laid = JSON.parse(textOf(at('node_modules', '.package-lock.json'))).packages;
    return Object.entries(JSON.parse(lockFile).packages).every(
      ([path, entry]) =>
        path === '' || entry.optional || (laid[path]?.version === entry.version && existsSync(at(path))),
    );
  } catch {
    return false;
  }
}

/** Contents, not times: a checkout or a copy changes times in both directions. */
function sourceHash() {
  const files = filesBelow(at('src')).filter((file) => !file.endsWith('.md'));
  const inputs = [at('tsconfig.json'), at('package-lock.json'), ...files];
  return sha256(...inputs.flatMap((file) => [relative(ROOT, file), '\0', readFileSync(file), '\0']));
}

function filesBelow(directory) {
  const entries = readdirSync(directory, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/**
 * Into a directory beside dist, then file by file over the old one: a program that runs from dist and loads a file late
 * finds a whole one at every moment. The directory is beside dist, since source maps hold relative paths.
 */
function build() {
  const wanted = sourceHash();
  if (textOf(BUILD_STAMP) === wanted) return;
  say('building (tsc)');
  const fresh = at('dist.tmp');
  rmSync(fresh, { recursive: true, force: true });
  try {
    run('tsc', process.execPath, [
      at('node_modules', 'typescript', 'bin', 'tsc'),
      '-p',
      at('tsconfig.json'),
      '--outDir',
      fresh,
    ]);
    const [program, page] = [at('src', 'bundle.mjs'), at('src', 'page', 'build.mjs')];
    if (existsSync(program)) run('the bundling of the program', process.execPath, [program, fresh]);
    if (existsSync(page)) run('the build of the page', process.execPath, [page, join(fresh, 'page')]);
    const built = filesBelow(fresh).map((file) => relative(fresh, file));
    for (const file of built) {
      mkdirSync(dirname(at('dist', file)), { recursive: true });
      renameSync(join(fresh, file), at('dist', file));
    }
    const kept = new Set(built);
    for (const file of filesBelow(at('dist'))) if (!kept.has(relative(at('dist'), file))) rmSync(file);
    writeFileSync(BUILD_STAMP, wanted);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** The output is worth reading only when it failed. */
function run(what, command, args) {
  const done = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (done.status === 0) return;
  const output = [done.stdout, done.stderr].filter(Boolean).join('').trimEnd();
  const ending = done.error?.message ?? (done.signal ? `ended by ${done.signal}` : `exit ${done.status}`);
  throw new Stop(`${what} failed (${ending})${output ? `:\n${output}` : ''}`, done.status || 1);
}

/** Asked before the lock, so that a clone made ready by root also starts for others. */
function ready() {
  const lockFile = textOf(at('package-lock.json'));
  return lockFile !== undefined && textOf(PACKAGES_STAMP) === sha256(lockFile) && textOf(BUILD_STAMP) === sourceHash();
}

try {
  checkNode();
  if (!ready())
    await locked(() => {
      installPackages();
      build();
    });
} catch (error) {
  if (!(error instanceof Stop)) throw error;
  console.error(`prepare: ${error.message}`);
  process.exitCode = error.code;
}
