// Images made from this machine's own programs, since a test run reaches no image registry; it refuses to know what they serve.
import { constants, copyFileSync, cpSync, existsSync, realpathSync } from 'node:fs';
import { access, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Engine } from './engine.js';
import { run, runOrFail } from './process.js';

const applets =
  'sh sleep ip ping cat echo ls mkdir rm env grep hostname nc wget id test true false kill ps touch cp mv chmod chown ln sed awk head tail find which'.split(
    ' ',
  );

/** A container that lives until it is told to end and then ends at once: `sleep` as first process would take the 10 s grace. */
export const lingering = ['sh', '-c', 'trap exit TERM INT; sleep 1000000000 & wait'] as const;

/** A few Unix commands in 2 MB. */
export function makeImage(engine: Engine, tag = 'busybox:latest'): Promise<void> {
  return withRoot(async (root) => {
    await addBusybox(root);
    await importRoot(engine, root, tag, ['CMD ["sh"]']);
  });
}

/** etcd and etcdctl of this machine, under the tag that a compose file or testcontainers names. */
export function makeEtcdImage(engine: Engine, tag: string): Promise<void> {
  return withRoot(async (root) => {
    await addBusybox(root);
    for (const program of ['etcd', 'etcdctl'])
      await addProgram(root, await pathOf(program), `/usr/local/bin/${program}`);
    await mkdir(join(root, 'data'));
    await importRoot(engine, root, tag, ['EXPOSE 2379 2380', 'CMD ["/usr/local/bin/etcd"]']);
  });
}

/**
 * Node and npm of this machine, with a shell: enough of a base for a Dockerfile that copies, installs and runs. With `npmCache`
 * it holds what npm downloaded on this machine, so that `npm ci` of the lock file installed here needs no network; what is not
 * there npm gets through `proxy`.
 */
export function makeNodeBaseImage(
  engine: Engine,
  tag: string,
  { npmCache = false, proxy = '' }: { npmCache?: boolean; proxy?: string } = {},
): Promise<void> {
  return withRoot(async (root) => {
    await addBusybox(root);
    await addProgram(root, process.execPath, '/usr/local/bin/node');
    const npm = dirname(dirname(realpathSync(await pathOf('npm'))));
    cpSync(npm, join(root, 'usr/local/lib/node_modules/npm'), { recursive: true, dereference: true });
    for (const name of ['npm', 'npx'])
      await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(root, 'usr/local/bin', name));
    await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n');
    await writeFile(join(root, 'etc/group'), 'root:x:0:\nnode:x:1000:\n');
    await mkdir(join(root, 'home/node'), { recursive: true });
    await addCertificates(root);
    const changes = ['ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt', 'CMD ["node"]'];
    if (proxy) changes.push(`ENV NPM_CONFIG_PROXY=${proxy}`, `ENV NPM_CONFIG_HTTPS_PROXY=${proxy}`);
    if (npmCache) {
      const cache = join(await npmSetting('cache'), '_cacache');
      if (existsSync(cache)) cpSync(cache, join(root, 'root/.npm/_cacache'), { recursive: true });
      // What is kept under another registry's addresses would not be found.
      changes.push('ENV NPM_CONFIG_PREFER_OFFLINE=true', `ENV NPM_CONFIG_REGISTRY=${await npmSetting('registry')}`);
    }
    await importRoot(engine, root, tag, changes);
  });
}

/** Copies a program of this machine and the shared libraries it names into a root file system. */
export async function addProgram(root: string, program: string, place: string): Promise<void> {
  const libraries = (await run('ldd', [program])).stdout.match(/\/[^ ]+(?= \(0x)/g) ?? [];
  for (const [from, to] of [[program, place], ...libraries.map((library) => [library, library])] as [
    string,
    string,
  ][]) {
    await mkdir(dirname(join(root, to)), { recursive: true });
    copyFileSync(from, join(root, to));
  }
}

/** busybox with links in /bin and /usr/bin, /tmp and /etc. */
export async function addBusybox(root: string): Promise<void> {
  await addProgram(root, await pathOf('busybox'), '/bin/busybox');
  await mkdir(join(root, 'usr/bin'), { recursive: true });
  for (const applet of applets) await symlink('busybox', join(root, 'bin', applet));
  await symlink('../../bin/busybox', join(root, 'usr/bin/env'));
  await mkdir(join(root, 'etc'), { recursive: true });
  await mkdir(join(root, 'root'), { mode: 0o700 });
  await mkdir(join(root, 'tmp'));
  await runOrFail('chmod', ['1777', join(root, 'tmp')]);
}

async function importRoot(engine: Engine, root: string, tag: string, changes: readonly string[]): Promise<void> {
  const archive = `${root}.tar`;
  try {
    await runOrFail('tar', ['--create', '--directory', root, '--file', archive, '.']);
    const path = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    await engine.must('import', ...[path, ...changes].flatMap((change) => ['--change', change]), archive, tag);
  } finally {
    await rm(archive, { force: true });
  }
}

/** A directory for the time of the call, for a root file system. */
export async function withRoot(fill: (root: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'image-'));
  try {
    await runOrFail('chmod', ['755', root]);
    await fill(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

// An npm registry behind a private authority is in reach of a build only if the image trusts what this machine trusts.
async function addCertificates(root: string): Promise<void> {
  const bundle = '/etc/ssl/certs/ca-certificates.crt';
  if (!existsSync(bundle)) return;
  await mkdir(join(root, 'etc/ssl/certs'), { recursive: true });
  copyFileSync(bundle, join(root, bundle));
}

function npmSetting(key: string): Promise<string> {
  return runOrFail('npm', ['config', 'get', key]);
}

async function pathOf(program: string): Promise<string> {
  for (const folder of (process.env.PATH ?? '').split(':')) {
    const path = join(folder, basename(program));
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  throw new Error(`${program} is not on PATH`);
}
