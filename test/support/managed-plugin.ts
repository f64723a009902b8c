// A managed plugin: made of this checkout without a builder, and as the machine sees it, its process and its socket. Refuses
// to know what it serves.
import { cpSync, existsSync, lstatSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Engine } from './engine.js';
import { addProgram, withRoot } from './image.js';
import { processesNaming } from './kill.js';
import type { Machine } from './machine.js';

const checkout = fileURLToPath(new URL('../..', import.meta.url));

/**
 * The plugin `etcd-ipam` on each of these engines, not enabled: the shipped configuration over the program as it was built for
 * this run. What deploy/plugin/build.sh makes takes a builder and its time, once for each engine.
 */
export async function makePlugin(...engines: readonly Engine[]): Promise<void> {
  await withRoot(async (folder) => {
    const root = join(folder, 'rootfs');
    await addProgram(root, process.execPath, '/usr/local/bin/node');
    const { packages } = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { dev?: boolean }>;
    };
    // One package within another comes along with it.
    const needed = Object.keys(packages).filter(
      (path) => path.lastIndexOf('node_modules/') === 0 && !packages[path]!.dev,
    );
    for (const path of ['package.json', 'dist', ...needed]) {
      const place = join(root, 'app', path);
      await mkdir(dirname(place), { recursive: true });
      cpSync(join(checkout, path), place, { recursive: true });
    }
    await mkdir(join(root, 'tmp'));
    cpSync(join(checkout, 'deploy/plugin/config.json'), join(folder, 'config.json'));
    await Promise.all(engines.map((engine) => engine.must('plugin', 'create', 'etcd-ipam', folder)));
  });
}

/** The first process of the plugin with this id: of those below its shim, the one that the shim began. */
export function processOf(id: string): number {
  const [pid] = processesNaming(`-id ${id}`).filter((one) => {
    const [, parent] = statOf(one);
    return readFileSync(`/proc/${parent}/cmdline`, 'utf8').includes(id);
  });
  if (pid === undefined) throw new Error(`no process of plugin ${id}`);
  return pid;
}

/** From the start of the plugin's process until its socket was in place, by the clock of the kernel (10 ms). */
export function listeningMs(machine: Machine, id: string, socket: string): number {
  const began = Number(statOf(processOf(id))[19]) * 10;
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1_000;
  const { ctimeMs } = lstatSync(join(machine.pluginSockets, id, socket));
  return Math.round(ctimeMs - (Date.now() - uptime + began));
}

/** PATH with the last of its docker clients first, which may be one of another version. */
export function otherClientFirst(): string {
  const paths = (process.env.PATH ?? '').split(':');
  const clients = paths.filter((path) => existsSync(join(path, 'docker')));
  return [...clients.reverse(), ...paths].join(':');
}

/** Its fields from the third on, the state, for the second may hold spaces. */
function statOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
}
