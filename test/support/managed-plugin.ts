// A managed plugin as the machine sees it: its process and its socket. Refuses to know what it serves.
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { processesNaming } from './kill.js';
import type { Machine } from './machine.js';

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
