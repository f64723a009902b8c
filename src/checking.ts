// `etcd-ipam check` with the real etcd and engine: what it is given, and its exit code.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Settings } from './config.js';
import { DockerEngine } from './engine/docker-view.js';
import { plainly } from './ipam/plain.js';
import { roundsIn } from './ipam/silence.js';
import type { Surroundings } from './ipam/surroundings.js';
import { withStore } from './operator.js';
import { type CheckOptions, check } from './ops/check.js';
import { format, toJson } from './ops/check-words.js';
import { driversServed } from './reconciliation.js';
import { ROUND_MS } from './rounds.js';

export interface Flags {
  readonly json: boolean;
  readonly fix: boolean;
  readonly dryRun: boolean;
}

const EXIT = { well: 0, findings: 1, usage: 2, unread: 3 } as const;

/** Prints what it found, or why it could not look, and sets the exit code. */
export async function checkRecords(
  load: () => Settings<unknown>,
  { json, fix, dryRun }: Flags,
  complain: (error: unknown) => void,
): Promise<void> {
  let settings: Settings<unknown>;
  try {
    settings = load();
  } catch (error) {
    complain(error);
    process.exitCode = EXIT.usage;
    return;
  }
  const { hold, deadline, history: keepMs, node, prefix, engineSocket, reconcileGrace } = settings;
  const engine = engineSocket && {
    ...{ node, graceMs: reconcileGrace, asked: new DockerEngine(engineSocket, driversServed(settings)) },
    oneOfSeveral: settings.listen !== undefined,
  };
  const options: CheckOptions = {
    ...{ fix, dryRun, goneRounds: roundsIn(hold, ROUND_MS), settleMs: deadline, keepMs },
    ...(engine && { engine }),
  };
  try {
    const checked = await withStore(settings, (store, _, snapshot) => check(store, snapshot, AROUND, options));
    process.exitCode = checked.findings.length === 0 ? EXIT.well : EXIT.findings;
    console.log(json ? JSON.stringify({ prefix, ...toJson(checked) }) : format(plainly(checked), prefix, ROUND_MS));
  } catch (error) {
    complain(error);
    process.exitCode = EXIT.unread;
  }
}

export const AROUND: Surroundings = {
  now: () => new Date(),
  millis: () => performance.now(),
  rounds: () => 0,
  token: () => randomBytes(8).toString('hex'),
  below: () => 0n,
  pause: (ms) => sleep(ms),
};
