// `etcd-ipam evict NODE`: the words of it. What an eviction is, ipam/ knows.
import { evict, evictable, type Yield, yieldOf } from '../ipam/eviction.js';
import type { Deadline, Store } from '../ipam/store.js';

export interface Eviction {
  readonly node: string;
  readonly evicted: boolean;
  /** It had a session, which was ended. */
  readonly forced: boolean;
  /** What others may take of it now, or might where nothing was done. */
  readonly takeable: readonly Yield[];
}

export interface EvictOptions {
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly now: Date;
}

export async function evictNode(store: Store, node: string, options: EvictOptions, by: Deadline): Promise<Eviction> {
  const { force, dryRun, now } = options;
  const { living } = dryRun
    ? await evictable(store, node, force, by)
    : await evict(store, node, force, now.toISOString(), by);
  return { node, evicted: !dryRun, forced: living && !dryRun, takeable: await yieldOf(store, node, by) };
}

export function formatEviction({ node, evicted, forced, takeable }: Eviction): string {
  const lines = [evicted ? `node ${node} is evicted` : `node ${node} would be evicted`];
  if (takeable.length === 0) lines.push('it has no address that others could take');
  else lines.push(evicted ? 'others may take from it now:' : 'others could take from it:');
  for (const { space, pool, addresses } of takeable) lines.push(`  ${pool} in ${space}: ${addresses}`);
  if (evicted) lines.push('what nobody has taken is its own again when it comes back');
  if (forced) lines.push('it had a session: if its plugin still runs it comes back within seconds, so stop it');
  return lines.join('\n');
}
