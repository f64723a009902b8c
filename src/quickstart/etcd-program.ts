// Where the etcd programs come from when nothing is configured: PATH, an earlier fetch, or Debian's packages.
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, type Run, run } from './programs.js';

export interface EtcdProgram {
  readonly etcd: string;
  /** As a person types it; undefined where it is not installed. */
  readonly etcdctl: string | undefined;
}

export interface Machine {
  readonly path: string | undefined;
  readonly uid: number;
  readonly run: Run;
}

/** On PATH, or in `folder`/bin from an earlier time. */
export function installedEtcd(folder: string, path: string | undefined): EtcdProgram | undefined {
  const etcd = findProgram('etcd', path) ?? findProgram('etcd', binOf(folder));
  if (etcd === undefined) return undefined;
  const etcdctl = findProgram('etcdctl', path) ? 'etcdctl' : findProgram('etcdctl', binOf(folder));
  return { etcd, etcdctl };
}

/**
 * Downloads Debian's (or Ubuntu's) packages, whose signatures apt checks, and unpacks the two programs into
 * `folder`/bin. They are not installed: the distribution's service, which installing would start now and at every
 * boot on the very port we want, never exists, and nothing of the machine has changed when `folder` is removed.
 * Undefined where that is not possible; `say` has told why.
 */
export async function fetchEtcd(
  folder: string,
  say: (line: string) => void,
  machine: Machine = { path: process.env.PATH, uid: process.getuid?.() ?? -1, run },
): Promise<EtcdProgram | undefined> {
  const { path, uid } = machine;
  if (!findProgram('apt-get', path) || !findProgram('dpkg-deb', path)) return undefined;
  say(`No etcd here: fetching Debian's etcd-server and etcd-client into ${binOf(folder)} (not installed, no service)`);
  const packages = join(folder, 'packages');
  rmSync(packages, { recursive: true, force: true });
  mkdirSync(packages, { recursive: true });
  try {
    const download = () =>
      machine.run('apt-get', ['download', 'etcd-server', 'etcd-client'], { cwd: packages, timeoutMs: 120_000 });
    let downloaded = await download();
    if (!downloaded.ok && uid === 0) {
      say('apt-get update, since apt does not know the packages yet');
      await machine.run('apt-get', ['update'], { timeoutMs: 180_000 });
      downloaded = await download();
    }
    if (!downloaded.ok) {
      say(`That did not work: ${lastLine(downloaded.output)}`);
      return undefined;
    }
    for (const file of readdirSync(packages).filter((name) => name.endsWith('.deb'))) {
      const unpacked = await machine.run('dpkg-deb', ['-x', join(packages, file), join(packages, 'root')]);
      if (!unpacked.ok) throw new Error(`${file} cannot be unpacked: ${lastLine(unpacked.output)}`);
    }
    mkdirSync(binOf(folder), { recursive: true });
    for (const name of ['etcd', 'etcdctl']) {
      const program = join(packages, 'root/usr/bin', name);
      if (existsSync(program)) await machine.run('cp', [program, binOf(folder)]);
    }
  } finally {
    rmSync(packages, { recursive: true, force: true });
  }
  return installedEtcd(folder, path);
}

const binOf = (folder: string) => join(folder, 'bin');

const lastLine = (text: string) => text.trim().split('\n').at(-1) ?? '';
