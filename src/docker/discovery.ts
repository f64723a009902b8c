// The file by which an engine finds a plugin that listens on TCP. Knows moby's pkg/plugins discovery, and no server.
import { lstat, mkdir, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The first of the two directories that an engine searches; the other is /usr/lib/docker/plugins. */
export const SPEC_DIR = '/etc/docker/plugins';
export const SOCKET_DIR = '/run/docker/plugins';

/** Files as the engine shall name them: it reads them itself, maybe in another mount namespace. */
export interface EngineTls {
  /** Without it an engine would not verify the server's certificate at all. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface DiscoveryFile {
  readonly path: string;
  /** Removes the file if it is still the one that was written here. */
  remove(): Promise<void>;
}

/** A plugin's name is its file's name: one plain path segment. */
export function checkName(name: string): string {
  if (!/^[A-Za-z0-9][\w.-]*$/.test(name)) {
    throw new Error(`plugin name "${name}" must be letters, digits, ".", "_" or "-", and begin with a letter or digit`);
  }
  return name;
}

/** Writes `<name>.spec` with `tcp://address`, or, with `tls`, `<name>.json` with `https://address`. */
export async function announce(
  name: string,
  address: string,
  { specDir = SPEC_DIR, tls }: { readonly specDir?: string | undefined; readonly tls?: EngineTls | undefined } = {},
): Promise<DiscoveryFile> {
  const spec = join(specDir, `${checkName(name)}.spec`);
  if (tls === undefined) return place(spec, specDir, `tcp://${address}\n`);
  if (await exists(spec)) throw new Error(`${spec} exists, and an engine reads it before ${name}.json: remove it`);
  const json = {
    Name: name,
    Addr: `https://${address}`,
    TLSConfig: { InsecureSkipVerify: false, CAFile: tls.caFile, CertFile: tls.certFile, KeyFile: tls.keyFile },
  };
  return place(join(specDir, `${name}.json`), specDir, `${JSON.stringify(json, null, 2)}\n`);
}

/** Renamed into place, so that no engine reads half a file. */
async function place(path: string, directory: string, text: string): Promise<DiscoveryFile> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const draft = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(draft, text, { mode: 0o644, flush: true });
    const mine = await identity(draft);
    await rename(draft, path);
    return {
      path,
      async remove() {
        if ((await identity(path)) === mine) await unlink(path);
      },
    };
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await identity(path)) !== undefined;
}

/** Undefined if there is no such file. A rename keeps it, a rewrite changes it. */
async function identity(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, mtimeNs } = await lstat(path, { bigint: true });
    return `${dev}:${ino}:${mtimeNs}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
