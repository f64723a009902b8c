// What the records say, and how their JSON is understood. Refuses to know where they are kept.
import { z } from 'zod';
import { parseAddress } from '../net/address.js';
import { IpamError } from './errors.js';

const text = z.string();
const count = z.int();
const stage = z.enum(['new', 'asked', 'served']);

/** The guard of a family of spaces: every change of its set of pools compares and rewrites it. Absent when there is no pool. */
const guard = z.looseObject({ token: text });

/**
 * What an operator has laid down for a subnet: addresses that no container gets (`excluded`, both ends included), addresses
 * that are for whoever has a name or a MAC, a note, and how full is too full, in per cent.
 */
const ruleSet = z.looseObject({
  excluded: z.array(z.looseObject({ from: text, to: text, comment: text.optional() })),
  reserved: z.array(
    z.looseObject({ address: text, name: text.optional(), mac: text.optional(), comment: text.optional() }),
  ),
  note: text.optional(),
  warnAt: z.number().optional(),
});

/** They outlive the networks of the subnet. */
const rules = ruleSet.extend({ since: text, token: text });

/**
 * One subnet. `rules` are those of its own record, so that whoever compares the pool goes by them. `gateway` remembers the address last chosen for it, so that every network of the subnet gets the same.
 * In a global space: `epoch` counts the leaders' RequestPools and never falls; `leader` is the join that rules now, and
 * `stage` how far it has come: it was `asked` for a gateway, so its PoolID was received, or it `served` tasks as well;
 * `incarnation` is drawn when the pool is made.
 */
const pool = z.looseObject({
  state: z.enum(['open', 'closing']),
  rules: ruleSet.optional(),
  gateway: text.optional(),
  epoch: count.optional(),
  leader: text.optional(),
  stage: stage.optional(),
  incarnation: text.optional(),
  since: text,
  token: text,
});

/** Rules of addresses that are none leave nothing to be counted. */
const countablePool = pool.refine(({ rules }) =>
  [
    ...(rules?.excluded ?? []).flatMap(({ from, to }) => [from, to]),
    ...(rules?.reserved ?? []).map((one) => one.address),
  ].every(isAddress),
);

/**
 * One RequestPool's membership: `shared` lists what `--ipam-opt aux=` declared; `managed`: the network is the swarm's, so
 * that its leader may have given the address that is asked for. In a global space a join is an epoch, and `replaces`
 * says which one it goes back to if it ends before it has served; `left`, that its gateway was given back by then.
 */
const join = z.looseObject({
  node: text,
  boot: text,
  range: text.optional(),
  shared: z.array(text).optional(),
  managed: z.boolean().optional(),
  epoch: count.optional(),
  replaces: z.looseObject({ join: text, stage, record: z.looseObject({}) }).optional(),
  left: z.boolean().optional(),
  since: text,
  token: text,
});

export const CLAIM_KINDS = ['endpoint', 'unsure', 'shared', 'cooling', 'reserved', 'swarm', 'foreign'] as const;

/** Of what a container has, or may have. */
export const CONTAINER_KINDS: ReadonlySet<string> = new Set<(typeof CLAIM_KINDS)[number]>([
  'endpoint',
  'unsure',
  'swarm',
]);

/**
 * Somebody holds the address. A shared one belongs to its holders, whose records say who they are. Of kind `swarm` is
 * what a leader gave (with `epoch`, and no node), and on a node what it was asked for on the leader's word. `through`: the
 * join of a sibling pool that the leader named when it claimed the address, and may name again when it releases it. `from`:
 * the node that had the address and was gone. `guessed`: reconciliation wrote it, and could not tell through which of the
 * node's joins the container has it. A `cooling` one is nobody's: the address was released, and rests until its lease ends or somebody takes it.
 */
const claim = z.looseObject({
  kind: z.enum(CLAIM_KINDS),
  node: text.optional(),
  boot: text.optional(),
  join: text.optional(),
  guessed: z.boolean().optional(),
  epoch: count.optional(),
  through: text.optional(),
  from: text.optional(),
  name: text.optional(),
  mac: text.optional(),
  since: text,
  token: text,
});

/** One join's part in a shared address. */
const holder = z.looseObject({
  role: z.enum(['gateway', 'aux']),
  node: text.optional(),
  boot: text.optional(),
  epoch: count.optional(),
  since: text,
  token: text,
});

/** How a tenure ended: given back; its network removed; taken by another; asked for anew by its own holder; and so on. */
export const ENDINGS = ['released', 'left', 'taken', 'renewed', 'forgotten', 'reconciled', 'by hand'] as const;
export type Ending = (typeof ENDINGS)[number];

/** Somebody had the address, by the clocks of the nodes that wrote either end. `role`: their part in a shared one. */
const tenure = z.looseObject({
  pool: text,
  kind: z.enum(CLAIM_KINDS),
  role: z.enum(['gateway', 'aux']).optional(),
  node: text.optional(),
  join: text.optional(),
  epoch: count.optional(),
  name: text.optional(),
  mac: text.optional(),
  since: text,
  until: text,
  how: z.enum(ENDINGS).or(text),
});

/**
 * A host, bound to its machine. `boot` changes only while no session of another boot lives. `silence` counts the rounds
 * that it has had no session; `evicted` says since when an operator has given it up. A new session ends both.
 */
const node = z.looseObject({
  machine: text,
  boot: text,
  silence: count.optional(),
  evicted: text.optional(),
  since: text,
});

/** Of `of` nodes that are in use `silent` have no session. */
const brake = z.looseObject({ silent: count, of: count, since: text });

/** Etcd was set back to a backup, as `node` noticed: `what` it saw. The token is renewed by whoever notices as well. */
const restored = z.looseObject({ node: text, what: text, since: text, token: text });

/** A process has compared its engine with what etcd has since the mark with that token was put. */
const reconciled = z.looseObject({ mark: text });

export type GuardRecord = z.infer<typeof guard>;
export type RuleSet = z.infer<typeof ruleSet>;
export type RulesRecord = z.infer<typeof rules>;
export type PoolRecord = z.infer<typeof pool>;
export type JoinRecord = z.infer<typeof join>;
export type ClaimRecord = z.infer<typeof claim>;
export type HolderRecord = z.infer<typeof holder>;
export type TenureRecord = z.infer<typeof tenure>;
export type NodeRecord = z.infer<typeof node>;
export type BrakeRecord = z.infer<typeof brake>;
export type RestoredRecord = z.infer<typeof restored>;
export type ReconciledRecord = z.infer<typeof reconciled>;

function decoder<R>(schema: z.ZodType<R>): (json: unknown, key: string) => R {
  return (json, key) => {
    const parsed = schema.safeParse(json);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0]!;
    throw new IpamError(
      'bad_record',
      `the record ${key} cannot be understood (${issue.path.join('.') || 'value'}: ${issue.message})`,
    );
  };
}

/** Of no text, or where it is no JSON, undefined. */
export function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isAddress(text: string): boolean {
  try {
    parseAddress(text);
    return true;
  } catch {
    return false;
  }
}

export const decodeGuard = decoder<GuardRecord>(guard);
export const decodeRules = decoder<RulesRecord>(rules);
export const decodePool = decoder<PoolRecord>(pool);
export const decodeJoin = decoder<JoinRecord>(join);
export const decodeHolder = decoder<HolderRecord>(holder);

/** `unreadable`: nothing is known of it but that it is there. */
export type ListedPool = Pick<PoolRecord, 'rules' | 'gateway'> & { readonly unreadable?: true };

/** Whose a join is. */
export type Member = Pick<JoinRecord, 'node'>;

/** Total, for lists alone: whoever changes a pool has to understand it. */
export function decodeListedPool(json: unknown): ListedPool {
  return countablePool.safeParse(json).data ?? { unreadable: true };
}

/** Total, likewise: of a join that nobody can read the node is one that there is not. */
export function decodeMember(json: unknown): Member {
  return join.safeParse(json).data ?? { node: UNREADABLE };
}

/** Total, likewise: nobody knows whose it is. */
export function decodeJoinIfReadable(json: unknown): JoinRecord | undefined {
  return join.safeParse(json).data;
}

/** Total, likewise: such a part keeps its address from others, and is nobody's to give back. */
export function decodePart(json: unknown): HolderRecord {
  return holder.safeParse(json).data ?? { role: 'aux', node: UNREADABLE, since: '', token: '' };
}

/** Total: what nobody can read tells nothing. */
export function decodeTenure(json: unknown): TenureRecord | undefined {
  return tenure.safeParse(json).data;
}

/** Total: the brake holds whatever its record says. */
export function decodeBrake(json: unknown): BrakeRecord {
  const parsed = brake.safeParse(json);
  return parsed.success ? parsed.data : { silent: 0, of: 0, since: '' };
}

/** Total: a node whose record nobody can read is of no machine and no boot that there is, and never gone. */
export function decodeNode(json: unknown): NodeRecord {
  const parsed = node.safeParse(json);
  return parsed.success ? parsed.data : { machine: UNREADABLE, boot: UNREADABLE, since: '' };
}

/** The machine of a node record that nobody can read, and the node of such a join or part. */
export const UNREADABLE = 'unknown';

/** Total: a claim that nobody can read is somebody's all the same, and is never given to another. */
export function decodeClaim(json: unknown): ClaimRecord {
  const parsed = claim.safeParse(json);
  return parsed.success ? parsed.data : { kind: 'foreign', since: '', token: '' };
}

/** Total: the mark stands whatever its record says, also one that an operator has put by hand. */
export function decodeRestored(json: unknown): RestoredRecord {
  const parsed = restored.safeParse(json);
  return parsed.success ? parsed.data : { node: 'an operator', what: 'a mark by hand', since: '', token: '' };
}

/** Total: what cannot be understood is of no mark. */
export function decodeReconciled(json: unknown): ReconciledRecord {
  const parsed = reconciled.safeParse(json);
  return parsed.success ? parsed.data : { mark: '?' };
}
