// Programs the tests start, installed from Debian's or Ubuntu's packages; it never starts, stops or removes anything.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// The first package that the machine's lists know provides the program: Debian 13 splits the client off docker.io.
const programs = [
  { program: 'dockerd', packages: ['docker.io'] },
  { program: 'docker', packages: ['docker-cli', 'docker.io'] },
  { program: 'docker-compose', packages: ['docker-compose', 'docker-compose-v2'] },
  { program: 'iptables', packages: ['iptables'] },
  { program: 'ip', packages: ['iproute2'] },
  { program: 'busybox', packages: ['busybox-static'] },
  { program: 'etcd', packages: ['etcd-server', 'etcd'] },
  { program: 'etcdctl', packages: ['etcd-client', 'etcd'] },
  { program: 'openssl', packages: ['openssl'] },
  // 100 MB that one suite needs.
  { program: 'promtool', packages: ['prometheus'], only: 'test/integration/monitoring' },
  // 300 MB, for one level alone.
  { program: 'chromium', packages: ['chromium'], only: 'test/browser' },
];
const units = ['docker.service', 'docker.socket', 'containerd.service', 'etcd.service', 'prometheus.service'];

const apt = ['-qq', '-o', 'DPkg::Lock::Timeout=120', '--yes', '--no-install-recommends', '--no-remove'];
const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };

/**
 * Installs what is missing; prints one line before and the reason when it fails, after which suites skip or fail. `asked`: the
 * files, and patterns of files, that are to be run.
 */
export function installPrograms(asked) {
  if (!existsSync('/usr/bin/apt-get')) return;
  const wanted = programs.filter(({ only }) => !only || asked.some((pattern) => mayName(pattern, only)));
  if (wanted.every(isPresent)) return;
  run('apt-get', ['-qq', 'update']);
  const missing = [...new Set(wanted.filter((entry) => !isPresent(entry)).map(known))];
  console.log(`packages: apt-get installs ${missing.join(' ')} (no service is started, nothing is removed)`);
  const fresh = units.filter((unit) => !existsSync(`/lib/systemd/system/${unit}`));
  // What is downloaded first needs no network afterwards, so that the maintainer scripts can run where no init is in
  // sight: /run/systemd is empty there, and RUNLEVEL=1 keeps invoke-rc.d from starting the scripts of SysV init.
  if (run('apt-get', ['install', ...apt, '--download-only', ...missing]) !== 0) return;
  runWithoutInit('apt-get', ['install', ...apt, '--no-download', ...missing]);
  if (existsSync('/run/systemd/system')) runWithoutInit('systemctl', ['--quiet', 'disable', ...fresh.filter(isUnit)]);
}

/** `test/integration/**` and `test/integration/monitoring.test.ts` may name a file that begins with `only`. */
function mayName(pattern, only) {
  const [fixed] = pattern.replace(/^\.\//, '').split('*');
  return only.startsWith(fixed) || fixed.startsWith(only);
}

function isPresent({ program }) {
  if (program === 'docker-compose' && spawnSync('docker', ['compose', 'version']).status === 0) return true;
  return process.env.PATH.split(':').some((folder) => {
    try {
      accessSync(`${folder}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function known({ packages }) {
  return packages.find((name) => spawnSync('apt-cache', ['show', name]).status === 0) ?? packages.at(-1);
}

function isUnit(unit) {
  return existsSync(`/lib/systemd/system/${unit}`);
}

function runWithoutInit(command, args) {
  const hide = 'if [ -d /run/systemd ]; then mount -t tmpfs none /run/systemd; fi; exec "$0" "$@"';
  const mayHide = spawnSync('unshare', ['--mount', 'true']).status === 0;
  return mayHide
    ? run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', hide, command, ...args])
    : run(command, args);
}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { env: environment, encoding: 'utf8' });
  if (status !== 0) console.error(`packages: ${command} failed: ${error?.message ?? `${stdout}${stderr}`.trim()}`);
  return status;
}

// What comes before `npm run bench`, `npm run chaos` and `npm run test:long`.
if (process.argv[1] === fileURLToPath(import.meta.url) && process.platform === 'linux' && process.getuid() === 0)
  installPrograms([]);
