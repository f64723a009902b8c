// The fault of an etcd that is set back to a backup, and what its operator does then: nothing, until every container that lives
// is claimed again, and then `etcd-ipam resume`. Refuses to know what the drivers do about it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, run, runOrFail, sleep } from '../support/process.js';
import type { World } from './faults.js';
import type { Use } from './history.js';
import { cidrOf, placeOf } from './keys.js';
import { records } from './records.js';
import { told } from './taken.js';

/** When a driver begins its third look, it has met the mark in one that has ended. */
const LOOKS = 3;

/** `forMs`: how much newer than the backup is lost. Networks made since would have to be made again, so none is. */
export async function setBack(world: World, forMs: number): Promise<void> {
  const { etcd, engines, swarm } = world;
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const folder = await mkdtemp(join(tmpdir(), 'backup-'));
  try {
    for (const engine of engines) engine.held = held;
    await eventually('no network changes', () => engines.every(({ changing }) => changing === 0), 60_000, 10);
    const file = join(folder, 'backup');
    await eventually(
      'a backup',
      () =>
        etcd.snapshot(file).then(
          () => true,
          () => false,
        ),
      60_000,
      200,
    );
    const status = await runOrFail('etcdctl', ['snapshot', 'status', file, '-w', 'json'], {
      env: { ETCDCTL_API: '3' },
    });
    const { revision } = JSON.parse(status) as { revision: number };
    await sleep(forMs);
    await swarm.standStill(() =>
      restored(world, revision, file).catch((cause) => {
        // Half of it is no fault that did not come about.
        throw new Error(`the restore came to no end: ${cause.message}`, { cause });
      }),
    );
  } finally {
    for (const engine of engines) engine.held = undefined;
    release();
    await rm(folder, { recursive: true, force: true });
  }
}

async function restored(world: World, revision: number, file: string): Promise<void> {
  const { etcd, log, drivers, engines, history } = world;
  // Whatever is under way by now nobody hears of any more.
  for (const { way } of drivers) way.cut();
  await log.setBack(revision, async () => {
    for (const { way } of drivers) way.drop();
    await etcd.restore(file);
  });
  const looks = engines.map((engine) => engine.looks.map((times) => times + LOOKS));
  await noticed(world);
  const looked = () => engines.every((engine, i) => engine.looks.every((times, at) => times >= looks[i]![at]!));
  await eventually('all hosts look', looked, 120_000, 200);
  await eventually('all that lives is claimed', async () => (await unclaimed(world)).length === 0, 90_000, 500).catch(
    async () => {
      for (const text of await unclaimed(world)) history.wrong.push({ rule: 'unclaimed', text });
    },
  );
  await resumed(world);
}

/** A process that has seen nothing that is gone cannot notice: it is answered when another has. */
async function noticed({ drivers, etcd }: World): Promise<void> {
  const [first, ...others] = [...drivers].reverse();
  first!.way.heal();
  await eventually('a driver notices', async () => 'restored' in (await records(etcd)), 60_000, 100);
  for (const { way } of others) way.heal();
}

/** What lives and has no claim of its node's. */
async function unclaimed({ history, etcd }: World): Promise<string[]> {
  const all = await records(etcd);
  const claims = new Map(
    Object.entries(all)
      .filter(([key]) => key.startsWith('claims/'))
      .map(([key, record]) => [`${placeOf(key)} ${cidrOf(key)}`, record]),
  );
  const behind = ({ place, address, node, shared }: Use) => {
    const claim = claims.get(`${place} ${address}`);
    return shared ? claim !== undefined : claim?.node === node;
  };
  return history.uses
    .filter((use) => use.until === undefined && !use.place.startsWith('global') && !behind(use))
    .map(told);
}

async function resumed({ program, etcd }: World): Promise<void> {
  const env = { ETCD_ENDPOINTS: etcd.url, IPAM_NODE: 'operator' };
  await eventually(
    'etcd-ipam resume',
    async () => (await run(process.execPath, [program, 'resume'], { env })).code === 0,
    60_000,
    500,
  );
}
