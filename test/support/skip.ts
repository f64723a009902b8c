// Skipping aloud: the reason travels to the reporter, and where the suites must all run it is a failure.
import type { Context, Runnable, Suite } from 'mocha';
import { findProgram } from '../../src/quickstart/programs.js';

/** Skips the running test, or from a hook all tests of its suite; `reason` is printed at the end of the run. */
export function skip(context: Context, reason: string): never {
  const running = context.test as (Runnable & { type?: string }) | undefined;
  if (running === undefined) throw new Error(`skipped outside of a test: ${reason}`);
  const holder: Runnable | Suite | undefined = running.type === 'hook' ? running.parent : running;
  Object.assign(holder ?? running, { skipReason: reason });
  return context.skip();
}

/**
 * For the `before` hook of a suite that starts engines: skips it where the run has no private host, since an engine would then
 * touch the machine's own network and plugin sockets. With CI set it fails instead.
 */
export function needPrivateHost(context: Context): void {
  if (process.env.ETCD_IPAM_TEST_HOST === 'private') return;
  const reason =
    process.env.ETCD_IPAM_TEST_NO_HOST ?? 'real engines need a private host: run this file with `npm test --`';
  if (process.env.CI) throw new Error(reason);
  skip(context, reason);
}

/** For the `before` hook of a suite with several members of etcd, which are the program on PATH whatever else the run uses. */
export function needEtcdProgram(context: Context): void {
  needProgram(context, 'etcd');
}

export function needProgram(context: Context, name: string): void {
  if (findProgram(name, process.env.PATH)) return;
  if (process.env.CI) throw new Error(`${name} is not installed`);
  skip(context, `${name} is not installed`);
}
