// The private host of a test run: namespaces that hold every process, network and mount of it; it refuses to know what runs inside.
//
// Own net, mount, uts and pid namespaces. When the first process in there ends, the kernel ends all others, and with
// them go their interfaces, firewall rules and mounts: nothing can outlive the run, however it ends. What namespaces do
// not cover is removed here: the temporary directory and the control groups.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openDoor } from './outside.mjs';

const init = fileURLToPath(new URL('private-host.sh', import.meta.url));
const namespaces = ['--net', '--mount', '--propagation', 'private', '--uts', '--pid', '--fork', '--mount-proc'];
// Directories that engines write to at fixed places; inside, an empty one lies over each.
const covered = ['/etc/docker', '/opt/containerd'];
const prefix = 'etcd-ipam-test-';

/** Why this machine cannot have a private host; undefined if it can. */
export function noPrivateHost() {
  const probe = spawnSync('unshare', [...namespaces, 'mount', '-t', 'tmpfs', 'none', '/run'], { encoding: 'utf8' });
  if (probe.error) return `no namespaces here: ${probe.error.message}`;
  return probe.status === 0 ? undefined : `no namespaces here: ${probe.stderr.trim()}`;
}

/** How to run `command` in a private host: what to spawn (detached), how to signal it, and what to close afterwards. */
export function privateHost(command) {
  const temporary = mkdtempSync(join(tmpdir(), prefix));
  const created = covered.filter((folder) => mkdirSync(folder, { recursive: true }) !== undefined);
  const door = join(temporary, 'outside.sock');
  openDoor(door);
  const controlGroup = basename(temporary);
  const args = ['--pdeathsig', 'KILL', 'unshare', '--kill-child=KILL', ...namespaces, 'bash', init, ...command];
  return {
    command: ['setpriv', args],
    environment: {
      TMPDIR: temporary,
      DOCKER_CONFIG: join(temporary, 'docker-config'),
      ETCD_IPAM_TEST_HOST: 'private',
      ETCD_IPAM_TEST_COVER: covered.join(':'),
      ETCD_IPAM_TEST_DOOR: door,
      ETCD_IPAM_TEST_CGROUP: controlGroup,
    },
    signal: (pid, signal) => {
      const inner = firstChild(pid);
      process.kill(inner ?? pid, inner === undefined ? 'SIGKILL' : signal);
    },
    close: () => {
      rmSync(temporary, { recursive: true, force: true, maxRetries: 3 });
      // Removing a directory also unmounts what lies over it in other runs: the last run to end does it.
      if (!readdirSync(tmpdir()).some((name) => name.startsWith(prefix))) created.forEach(removeIfEmpty);
      for (const hierarchy of ['/sys/fs/cgroup', ...children('/sys/fs/cgroup')])
        removeGroups(join(hierarchy, controlGroup));
    },
  };
}

function firstChild(pid) {
  const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return listed === '' ? undefined : Number(listed.split(' ')[0]);
}

function removeIfEmpty(folder) {
  if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
}

// Depth first, one rmdir each: a control group's files cannot be unlinked.
function removeGroups(group) {
  if (!existsSync(group)) return;
  for (const child of children(group)) removeGroups(child);
  rmdirSync(group);
}

function children(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(folder, entry.name));
}
