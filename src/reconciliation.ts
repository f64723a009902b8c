// Puts together what compares this node's records with its engine, and says in the log what came of it.
import { basename } from 'node:path';
import type { Settings } from './config.js';
import type { Driver } from './docker/driver.js';
import { DockerEngine } from './engine/docker-view.js';
import { Looks } from './engine/looks.js';
import type { Allocator } from './ipam/allocator.js';
import type { Looked, Reconciled } from './ipam/reconciler.js';
import type { Resumption } from './ipam/restoration.js';
import type { Log } from './log.js';

/** From this version on engines name every endpoint that they ask an address for. */
const NAMES_ENDPOINTS_FROM = 29;

const TRY_MS = 5_000;

/** What is compared for whom. `resumption`: what it means to an etcd that was restored from a backup. */
export interface Reconciling {
  readonly allocator: Allocator;
  readonly driver: Pick<Driver, 'engineNamesEndpoints'>;
  readonly log: Log;
  /** Hears of each thing that was done. */
  readonly count: (outcome: Reconciled['outcome']) => void;
  /** Hears of what each look met. */
  readonly looked: (findings: Looked['findings']) => void;
  readonly resumption?: Resumption;
}

/** Starts nothing. `names`: by which networks may call this driver, without a tag. */
export function reconciliation(
  {
    engineSocket,
    reconcileGrace: graceMs,
    listen,
  }: Pick<Settings<unknown>, 'engineSocket' | 'reconcileGrace' | 'listen'>,
  names: readonly string[],
  { allocator, driver, log, count, looked, resumption }: Reconciling,
): Looks | undefined {
  if (engineSocket === undefined) return undefined;
  const oneOfSeveral = listen !== undefined;
  if (oneOfSeveral)
    log.warn(
      'IPAM_LISTEN lets engines call that IPAM_ENGINE_SOCKET does not show: reconciliation ends nothing, and says what it would',
    );
  const reconciler = allocator.reconciler({
    engine: new DockerEngine(engineSocket, names),
    graceMs,
    oneOfSeveral,
    tell: (what) => {
      count(what.outcome);
      if (what.outcome === 'doubtful') return log.warn(what.text);
      if (what.outcome === 'left') {
        const { outcome, space, pool, join } = what;
        const text = `reconciliation ended a part in ${pool} that a network of the swarm had and never gave back`;
        return log.warn({ reconciled: outcome, space, pool, join }, text);
      }
      const { outcome, space, pool, address } = what;
      log.warn({ reconciled: outcome, space, pool, address }, `reconciliation ${WORDS[outcome]} ${address}`);
    },
  });
  const look = async () => {
    let claims = 0;
    const lookOnce = async (marked = false) => {
      const { view, settled, ...rest } = await reconciler.look(marked);
      if (Number.parseInt(view.version, 10) >= NAMES_ENDPOINTS_FROM) driver.engineNamesEndpoints();
      claims = rest.claims;
      looked(rest.findings);
      return { settled };
    };
    if (!resumption) await lookOnce();
    else if (await resumption.around(lookOnce, () => performance.now() + TRY_MS))
      log.info('all hosts have reconciled what they use with the etcd that was restored: addresses are given again');
    return claims;
  };
  const report = (error: unknown) =>
    error === undefined
      ? log.info('reconciliation works again')
      : log.warn({ error }, 'reconciliation has to wait: what is left by containers that are gone stays taken');
  return new Looks({ graceMs, look, report });
}

const WORDS = {
  ended: 'ended the claim, which no container stands behind, of',
  shared: 'shared, as an auxiliary address of its network,',
  recognised: 'recognised a container by',
  claimed: 'claimed what a container uses and nobody had claimed:',
} as const;

/** The name of the discovery file; the socket's file name is the setting's. */
export const PLUGIN_NAME = 'etcd-ipam';

/** By which names networks may call the driver that has these settings. */
export function driversServed({ socket, listen }: Pick<Settings<unknown>, 'socket' | 'listen'>): string[] {
  return [...(socket ? [driverNamed(socket)] : []), ...(listen ? [PLUGIN_NAME] : [])];
}

/** `/run/docker/plugins/etcd-ipam.sock` is the driver `etcd-ipam`. */
export function driverNamed(socket: string): string {
  return basename(socket, '.sock');
}
