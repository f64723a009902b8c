// `etcd-ipam check`, what it prints: what each kind of finding means and what a person can do about it; the lines and the
// JSON. Judges nothing.
import type { Finding, Problem } from '../ipam/findings.js';
import type { Checked } from './check.js';
import { roughly } from './table.js';

interface Words {
  readonly means: string;
  /** Where `--fix` does not do it. */
  readonly todo: string;
}

export const WORDS: Readonly<Record<Problem, Words>> = {
  'pool-overlap': {
    means: 'pools of one address space overlap: an address may be given in both',
    todo: 'remove the networks of one of the two; `docker network ls` on the hosts of its joins',
  },
  'pool-without-join': {
    means: 'a pool without a network, left by a driver that was killed while it removed the last one',
    todo: 'the next RequestPool of that subnet removes it as well',
  },
  'pool-closing': {
    means: 'a pool whose removal was begun and not finished',
    todo: 'the next RequestPool of that subnet finishes it; with joins: remove those networks and make them again',
  },
  'pool-missing': {
    means: 'networks of a subnet that has no pool: their containers are refused addresses',
    todo: 'remove those networks and make them again; an overlay network is asked for anew by the next leader of its swarm',
  },
  'guard-missing': {
    means: 'pools without the key that keeps others from overlapping them',
    todo: 'the next change of the set of pools writes it',
  },
  'guard-without-pool': { means: 'a key that keeps the order of pools, and there are none', todo: 'harmless' },
  'claim-without-pool': {
    means: 'what is left of a subnet that has neither pool nor network: taken for ever',
    todo: 'once its tasks are gone: etcdctl del --prefix what is listed',
  },
  'claim-outside-pool': { means: 'an address that its pool cannot give', todo: 'etcdctl del the key' },
  'claim-of-ended-join': {
    means: 'addresses that a removed network has left behind: nobody will release them',
    todo: 'etcdctl del the keys',
  },
  'claim-of-another-join': {
    means: 'an address of one node through the join of another: neither will release it',
    todo: 'if no container on that node has it: etcdctl del the key',
  },
  'shared-without-holder': {
    means: "a gateway or auxiliary address that is nobody's: taken for ever",
    todo: 'if no network of that subnet has it: etcdctl del the key',
  },
  'holder-without-claim': {
    means: 'a gateway or auxiliary address that is not claimed, so that a container may get it',
    todo: 'stop the container that has it, or re-create the network with another one',
  },
  'holder-of-ended-join': {
    means: 'parts in shared addresses that a removed network has left behind',
    todo: 'etcdctl del the keys',
  },
  'leader-missing': {
    means: 'a pool of a swarm that nobody leads: its services are refused addresses',
    todo: "restart the engine of the swarm's leader: the next one asks anew; if the network is gone: name its gateway in a new one",
  },
  'join-not-leader': { means: "a second leader of a swarm's pool", todo: 'etcdctl del the key' },
  'epoch-disagrees': {
    means: "a swarm's pool and what is in it do not agree which leadership they are of",
    todo: "restart the engine of the swarm's leader: the next one begins an epoch of its own",
  },
  'rules-disagree': {
    means:
      'a pool does not go by what an operator has laid down for its subnet: exclusions or reservations are not heeded',
    todo: 'change any rule of the subnet (etcd-ipam note, say), which writes all of them into the pool',
  },
  'rules-astray': {
    means: 'rules that no pool can follow: addresses outside of it, or none at all',
    todo: 'remove them, with the commands that made them or by hand',
  },
  'node-unknown': {
    means: 'records of a node that has no record of its own: it is never found silent, gone or forgotten',
    todo: 'if that host lives: restart its plugin, which writes it; if not: etcdctl del what is listed',
  },
  leased: {
    means: 'a record that goes when a lease ends: time alone would free what is in use',
    todo: 'etcdctl put it without a lease',
  },
  unleased: { means: 'a record that should end by itself and never will', todo: 'etcdctl del the key' },
  undecodable: {
    means: 'a record that this version cannot read: damaged, or written by a newer one',
    todo: 'upgrade, or look at it with etcdctl get: of a claim nothing is given, of others whatever needs them is refused',
  },
  'foreign-key': {
    means: 'a key that is none of ours: of another program, or of a newer version',
    todo: 'find out who writes it; give that program a place outside IPAM_PREFIX',
  },
  'key-not-canonical': {
    means: 'a key in another spelling than ours: nobody finds it, and it protects nothing',
    todo: 'if it was written by hand: write it anew under that name, and etcdctl del this one',
  },
  'claim-without-container': {
    means: 'an address of this host that no container has, by what its engine shows',
    todo: 'its plugin frees it, where it has IPAM_ENGINE_SOCKET: see its log',
  },
  'container-without-claim': {
    means: 'a container of this host that has an address which is not its own in etcd',
    todo: 'its plugin claims it where it is free and this host is part of the pool; otherwise re-create the container',
  },
};

export function toJson({ findings, repairs, ...rest }: Checked): object {
  const said = (finding: Finding) => ({
    ...{ kind: finding.kind, subject: finding.subject, text: finding.text },
    ...{ means: WORDS[finding.kind].means, todo: WORDS[finding.kind].todo },
    fix: finding.remedy?.says ?? null,
    keys: finding.records.map(({ key }) => key),
  });
  const tried = repairs.map(({ finding: { kind, subject, remedy }, ...came }) => {
    return { kind, subject, fix: remedy!.says, ...came };
  });
  return { ...rest, findings: findings.map(said), repairs: tried };
}

/** `roundMs`: how long a round lasts at least. */
export function format(
  { revision, records, findings, repairs, notes, unverified }: Checked,
  prefix: string,
  roundMs: number,
): string {
  const lines: string[] = [];
  for (const { finding, outcome, why } of repairs) {
    const did = { done: 'fixed', would: 'would fix', changed: 'changed meanwhile, not fixed', failed: 'not fixed' }[
      outcome
    ];
    lines.push(`${did}: ${finding.kind}: ${finding.text}: ${why ?? finding.remedy!.says}`);
  }
  if (lines.length > 0) lines.push('');
  const left = repairs.some(({ outcome }) => outcome !== 'would') ? ' left' : '';
  const count = findings.length === 1 ? '1 finding' : `${findings.length || 'no'} findings`;
  lines.push(`${count}${left} in ${records} records under ${prefix} at revision ${revision}`);
  for (const [kind, some] of grouped(findings)) {
    const { means, todo } = WORDS[kind];
    lines.push('', `${kind}: ${means}`, ...some.map(({ text }) => `  ${text}`));
    for (const says of new Set(some.map(({ remedy }) => remedy?.says)))
      lines.push(says === undefined ? `  to do: ${todo}` : `  to do: etcd-ipam check --fix, which ${says}`);
  }
  const known = notes.map(({ text, rounds }) =>
    rounds ? `  ${text}, silent for ${roughly(rounds * roundMs)}` : `  ${text}`,
  );
  if (known.length > 0) lines.push('', 'nothing wrong, but good to know:', ...known);
  if (unverified.length > 0) lines.push('', 'not verified:', ...unverified.map(({ what, why }) => `  ${what}: ${why}`));
  return lines.join('\n');
}

function grouped(findings: readonly Finding[]): Map<Problem, Finding[]> {
  const groups = new Map<Problem, Finding[]>();
  for (const finding of findings) groups.set(finding.kind, [...(groups.get(finding.kind) ?? []), finding]);
  return groups;
}
