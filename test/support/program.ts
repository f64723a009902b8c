// The command `etcd-ipam` for tests that run it as a process; it refuses to know what is asked of it.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Node's arguments: the build where it is newer than every source, as after `npm test` has made it, since that starts in
 * a third of the time; else the sources.
 */
export const PROGRAM: readonly string[] = argumentsFor('main');
/** The same for what `npm start` runs. */
export const QUICKSTART: readonly string[] = argumentsFor('quickstart/index');

function argumentsFor(module: string): string[] {
  return isBuilt() ? [`dist/${module}.js`] : ['--import', 'tsx/esm', `src/${module}.ts`];
}

function isBuilt(): boolean {
  const stamp = 'dist/.etcd-ipam-build';
  if (!existsSync(stamp)) return false;
  const built = statSync(stamp).mtimeMs;
  const sources = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) => /\.tsx?$/.test(file));
  return sources.every((file) => statSync(join('src', file)).mtimeMs < built);
}
