// Certificates, keys and the password as their files hold them now, since they are replaced while the driver runs. Knows
// files; refuses to know what is shown to whom.
import { readFileSync, statSync } from 'node:fs';
import { type TlsFiles, unfitForTls } from './config/pem.js';
import { passwordIn, type Settings } from './config.js';
import type { Log } from './log.js';

/** Files are looked at when somebody asks for them, and not more often. */
const LOOK_MS = 1_000;

/** What etcd is shown, for a client that is to see changes of the files. */
export function etcdNow({ tls, password = '', passwordFile }: Settings<unknown>['etcd'], log: Log) {
  return { ...(tls && { tls: tlsNow(tls, log) }), password: passwordNow(password, passwordFile, log) };
}

/** The same object until the files hold something else that is of use. */
export function tlsNow<T extends TlsFiles>(first: T, log: Pick<Log, 'info' | 'warn'>, lookMs = LOOK_MS): () => T {
  const paths = Object.values(first.from ?? {});
  if (paths.length === 0) return () => first;
  const files = paths.join(', ');
  let held = first;
  /** The state of the files that is in use, or that nothing could be made of. */
  let known = '';
  let complaint = '';
  let next = 0;
  return () => {
    const now = performance.now();
    if (now < next) return held;
    next = now + lookMs;
    try {
      const state = paths.map(stateOf).join();
      if (state === known) return held;
      const found = { ...first, ...read(first) };
      const [unfit] = unfitForTls(found);
      if (unfit) throw new Error(`${first.from?.[unfit.which]} is not ${unfit.allowed}`);
      // Only now: of a pair that is half written the same state may be another text a moment later.
      known = state;
      complaint = '';
      if (same(found, held)) return held;
      held = found;
      log.info(`new certificates are in use, from ${files}`);
    } catch (error) {
      const { message } = error as Error;
      if (message !== complaint)
        log.warn(`${files} changed, and are not used: ${message}; those of before stay in use`);
      complaint = message;
    }
    return held;
  };
}

/** Read at each call, which is once a log-in. */
export function passwordNow(first: string, path: string | undefined, log: Pick<Log, 'warn'>): () => string {
  if (path === undefined) return () => first;
  let held = first;
  let complaint = '';
  return () => {
    try {
      const found = passwordIn(readFileSync(path));
      if (found === '') throw new Error('it is empty');
      held = found;
      complaint = '';
    } catch (error) {
      const { message } = error as Error;
      if (message !== complaint)
        log.warn(`the password in ${path} is not used: ${message}; that of before stays in use`);
      complaint = message;
    }
    return held;
  };
}

function read({ from }: TlsFiles): TlsFiles {
  return Object.fromEntries(Object.entries(from ?? {}).map(([name, path]) => [name, readFileSync(path)]));
}

function stateOf(path: string): string {
  const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return `${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}

function same(one: TlsFiles, other: TlsFiles): boolean {
  return (['ca', 'cert', 'key'] as const).every((name) => {
    const [a, b] = [one[name], other[name]];
    return a === b || (a !== undefined && b !== undefined && a.equals(b));
  });
}
