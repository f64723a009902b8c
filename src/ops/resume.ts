// `etcd-ipam resume`: the words of it. What the mark of a restored backup is, ipam/ knows.
import { IpamError } from '../ipam/errors.js';
import type { RestoredRecord } from '../ipam/records.js';
import { lift, readRestoration, type Waited } from '../ipam/restoration.js';
import type { Deadline, Store } from '../ipam/store.js';

const MOST_ATTEMPTS = 16;

export interface Resumed {
  /** Absent where no mark stood. */
  readonly mark?: RestoredRecord;
  readonly resumed: boolean;
  readonly nodes: readonly Waited[];
  /** There are networks of a swarm, of which no engine shows what its leader gave. */
  readonly swarm: boolean;
}

export async function resume(store: Store, dryRun: boolean, by: Deadline): Promise<Resumed> {
  let seen: Resumed | undefined;
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const restoration = await readRestoration(store, by);
    // Gone since it was looked at: by this command's own removal, whose answer was lost, or by another.
    if (!restoration) return seen ? { ...seen, resumed: true } : { resumed: false, nodes: [], swarm: false };
    const { mark, nodes, swarm } = restoration;
    seen = { mark: mark.record, resumed: !dryRun, nodes, swarm };
    if (dryRun || (await lift(store, mark, by))) return seen;
  }
  throw new IpamError('contended', `the mark changed ${MOST_ATTEMPTS} times while it was to be removed`);
}

export function formatResumed({ mark, resumed, nodes, swarm }: Resumed): string {
  if (!mark) return 'no mark of a restored backup stands: addresses are given';
  const { node, what, since } = mark;
  const lines = [`etcd was restored from a backup: seen by ${node}${since && ` at ${since}`}, ${what}`];
  lines.push(...nodes.map((one) => `  ${one.node}: ${standing(one)}`));
  if (swarm)
    lines.push('what the leader of a swarm gave since the backup no engine shows: restart its engine after this');
  const open = nodes.filter(({ reconciled }) => !reconciled).length;
  if (resumed) lines.push('addresses are given again');
  else
    lines.push(
      `addresses would be given again, ${open === 0 ? 'all hosts' : `${open} of ${nodes.length} hosts not`} having reconciled`,
    );
  return lines.join('\n');
}

function standing({ reconciled, living, evicted }: Waited): string {
  if (reconciled) return 'has reconciled';
  if (living) return 'alive, has not reconciled: its engine is not asked (IPAM_ENGINE_SOCKET), or see its log';
  return evicted ? 'evicted: is not waited for' : 'has no plugin that runs: what it gave since the backup is not known';
}
