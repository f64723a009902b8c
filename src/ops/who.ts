// `etcd-ipam who ADDRESS`: who has it, in each space that has a pool of it, and what becomes of its holder. Reads only.
import { claimKey, EVERY_POOL, holdersAt, joinOf, poolKey, type Subnet, subnetOfPool } from '../ipam/keyspace.js';
import { readNode } from '../ipam/nodes.js';
import { all } from '../ipam/pages.js';
import type { HolderRecord } from '../ipam/records.js';
import { heir } from '../ipam/ruled-out.js';
import { type Rules, rulesOf } from '../ipam/rules.js';
import { type Standing, standingOf } from '../ipam/silence.js';
import type { Deadline, Found, Store } from '../ipam/store.js';
import { type Address, formatAddress } from '../net/address.js';
import { contains, formatPrefix, reservedAs } from '../net/prefix.js';
import { type ClaimRow, claimRow } from './claims.js';
import { formatTenure, lately, type Past, type Tenure } from './had.js';

export interface Answer {
  readonly space: string;
  readonly pool: string;
  /** Absent: nobody has it. */
  readonly claim?: ClaimRow;
  /** Of a shared one. */
  readonly holders: readonly {
    readonly node?: string;
    readonly role: string;
    readonly join: string;
    readonly since: string;
  }[];
  readonly state?: Standing;
  /** Why nobody can have it. */
  readonly reserved?: string;
  /** What an operator has laid down about it. */
  readonly rule?: { readonly kind: 'excluded' | 'reserved'; readonly for?: string; readonly comment?: string };
  /** There is no such pool any more, and only the past is known. */
  readonly removed?: true;
  /** Who had it before, the latest first. */
  readonly past: readonly Tenure[];
}

/** Of those that had it before, in each space. */
const MOST_PAST = 10;

/** `goneRounds`: Infinity where IPAM_HOLD is `never`. One for each pool that the address lies in, or lay in. */
export async function whoHas(store: Store, address: Address, goneRounds: number, by: Deadline): Promise<Answer[]> {
  const subnets: Subnet[] = [];
  for await (const { key } of all(store, EVERY_POOL, by)) {
    const subnet = subnetOfPool(key);
    if (contains(subnet.prefix, address)) subnets.push(subnet);
  }
  const answers = await Promise.all(subnets.map((subnet) => answerOf(store, subnet, address, goneRounds, by)));
  return withPast(answers, await lately(store, address, MOST_PAST, by));
}

function withPast(answers: readonly Answer[], past: readonly Past[]): Answer[] {
  const all = [...answers];
  for (const { space, pool } of past) {
    const known = all.some((one) => one.space === space && one.pool === pool);
    if (!known) all.push({ space, pool, holders: [], removed: true, past: [] });
  }
  return all.map((one) => ({
    ...one,
    past: past.filter(({ space, pool }) => space === one.space && pool === one.pool).map(({ tenure }) => tenure),
  }));
}

async function answerOf(
  store: Store,
  subnet: Subnet,
  address: Address,
  goneRounds: number,
  by: Deadline,
): Promise<Answer> {
  const [found, { found: holders }, pool] = await store.read(
    [
      { one: claimKey(subnet, address) },
      { span: holdersAt(subnet, address), limit: 0 },
      { one: { ...poolKey(subnet), decode: EVERY_POOL.decode } },
    ],
    by,
  );
  const rule = pool && ruleAbout(rulesOf(pool.record), address);
  const claim = found && claimRow(found);
  const node = claim?.node === undefined ? undefined : await readNode(store, claim.node, by);
  const reserved = reservedAs(subnet.prefix, address);
  return {
    ...{ space: subnet.space, pool: formatPrefix(subnet.prefix) },
    ...(claim && { claim }),
    holders: holders.map(holderOf),
    ...(node && { state: standingOf(node, goneRounds) }),
    ...(reserved !== undefined && { reserved }),
    ...(rule && { rule }),
    past: [],
  };
}

function ruleAbout(rules: Rules, address: Address): Answer['rule'] {
  const reservation = rules.reservationOf(address);
  const found = reservation ?? rules.exclusionOf(address);
  if (!found) return undefined;
  const comment = found.comment === undefined ? {} : { comment: found.comment };
  return reservation ? { kind: 'reserved', for: heir(reservation), ...comment } : { kind: 'excluded', ...comment };
}

function holderOf({ key, record: { node, role, since } }: Found<HolderRecord>): Answer['holders'][number] {
  return { ...(node !== undefined && { node }), role, join: joinOf(key), since };
}

const MEANS: Readonly<Record<ClaimRow['kind'], string>> = {
  endpoint: 'a container',
  swarm: 'a task or service of the swarm',
  unsure: 'a container, or an auxiliary address: its engine did not say which',
  shared: 'shared',
  cooling: 'nobody: it was released a moment ago, and rests',
  reserved: 'reserved',
  foreign: 'a record that this version cannot read',
};

export function formatWho(address: Address, answers: readonly Answer[]): string {
  if (answers.length === 0) return `${formatAddress(address)} is in no pool`;
  return answers.map((answer) => formatAnswer(formatAddress(address), answer)).join('\n');
}

function formatAnswer(address: string, answer: Answer): string {
  const past = answer.past.map((one, i) => `  ${i === 0 ? 'past    ' : '        '}${formatTenure(one)}`);
  return [formatHolder(address, answer), ...past].join('\n');
}

function formatHolder(address: string, answer: Answer): string {
  const { space, pool, claim, holders, state, reserved, removed, rule } = answer;
  const where = `${address} of ${pool} in ${space}`;
  const ruled = rule && `${rule.kind}${rule.for ? ` for ${rule.for}` : ''}${rule.comment ? `: ${rule.comment}` : ''}`;
  if (removed) return `${where}: there is no such pool any more`;
  if (!claim) return `${where}: ${reserved === undefined ? (ruled ?? 'free') : `never given, it is the ${reserved}`}`;
  const fields: [string, string | undefined][] = [
    ['node', claim.node && `${claim.node}${state === undefined ? '' : `, which is ${state}`}`],
    ['name', claim.name],
    ['mac', claim.mac],
    ['since', claim.since || undefined],
    ['join', claim.join],
    ['rule', ruled],
    ['before', claim.from && `${claim.from}, which was gone`],
    ...holders.map(({ role, node = 'the swarm', since }): [string, string] => [
      role,
      `of ${node}${since && ` since ${since}`}`,
    ]),
  ];
  const lines = fields.flatMap(([name, text]) => (text === undefined ? [] : [`  ${name.padEnd(8)}${text}`]));
  return [`${where}: ${MEANS[claim.kind]}`, ...lines].join('\n');
}
