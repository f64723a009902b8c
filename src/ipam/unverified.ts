// What no look at etcd can tell, and why: pure, and in words, since only people can go and see.

import { listed } from './findings.js';
import type { Everything } from './recorded.js';
import { CONTAINER_KINDS } from './records.js';
import { isGlobal } from './spaces.js';

export interface Unverified {
  readonly what: string;
  readonly why: string;
}

/** `compared`: the node whose engine was asked. */
export function unverified({ subnets }: Everything, compared?: string): Unverified[] {
  const containers = new Map<string, number>();
  let [joins, tasks, unsure] = [0, 0, 0];
  for (const { subnet, claims, joins: ofSubnet } of subnets) {
    const global = isGlobal(subnet.space);
    if (!global) joins += ofSubnet.size;
    for (const { record } of claims.values()) {
      if (global && record?.kind === 'swarm') tasks++;
      if (global || record?.node === undefined || record.node === compared) continue;
      if (record.kind === 'unsure') unsure++;
      if (CONTAINER_KINDS.has(record.kind)) containers.set(record.node, (containers.get(record.node) ?? 0) + 1);
    }
  }
  const found: Unverified[] = [];
  const add = (count: number, what: string, why: string) => count > 0 && found.push({ what, why });
  const claimed = [...containers.values()].reduce((sum, count) => sum + count, 0);
  add(
    claimed,
    `whether a container uses each of ${claimed} addresses of ${listed([...containers.keys()].sort())}`,
    'only a plugin with IPAM_ENGINE_SOCKET can ask its own engine',
  );
  add(
    unsure,
    `whether ${unsure} of them are containers' or auxiliary addresses`,
    'engines up to 28 do not say which when they ask',
  );
  add(joins, `whether a network stands behind each of ${joins} joins`, 'engines do not show which join a network has');
  add(
    tasks,
    `whether a task or service has each of ${tasks} addresses of a swarm`,
    "only the swarm's leader knows, and asks for them anew when it begins to lead",
  );
  return found;
}
