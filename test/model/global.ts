// The rules of a global space as pure functions, from what is in etcd to one transaction. Each odd clause is a flag, so that
// a test can leave it out and see what goes wrong.
import { fresh, type Name, type Store, type Txn } from './explore.js';

export const RULES = {
  /** A second RequestPool in a term is refused from memory. */
  term: true,
  /** RequestPool follows only the epoch that was there when it arrived … */
  base: true,
  /** … of the same incarnation. */
  baseIncarnation: true,
  /** Claims compare pool and join. */
  standing: true,
  /** An address is asked for again once in an epoch. */
  once: true,
  /** A gateway is never given to a task. */
  sharedStays: true,
  /** What a former epoch gave is given on last, and only while no node has asked for it. */
  nodesAsked: true,
  /** A gateway without number over addresses of former epochs is a second network's. */
  secondNetwork: true,
  /** … and a gateway alone, without tasks, is no sign of a network. */
  bareGateway: true,
  /** A release compares that its epoch rules. */
  leaderFrees: true,
  /** A gateway given back before the epoch served stays, and the release does not make the epoch one that served. */
  gatewayStays: true,
  /** ReleasePool of an epoch that has not served goes back to the one before. */
  goBack: true,
  /** … unless its gateway was given back and no address of a former epoch is there: that is the network's end. */
  left: true,
  /** An epoch that was only asked for a gateway may be gone back to … */
  asked: true,
  /** … and then can go back itself, to the one below. */
  nested: true,
  /** An undo puts back what the grant had replaced. */
  restores: true,
  /** The undo of a commit in doubt waits until it cannot land any more. */
  fence: true,
  /** RequestPool waits for the queued releases of its subnet. */
  waits: true,
  /** Queued releases of a subnet are done in their order, and ReleasePool goes behind them. */
  ordered: true,
  /** What rests is nobody's: no former epoch gave it, so it holds up no removal … */
  nobodys: true,
  /** … and an undo that puts it back does so on a lease of its own. */
  restsAnew: true,
};
export type Rules = Readonly<typeof RULES>;

type Stage = 'new' | 'asked' | 'served';
export interface Pool {
  v: Name;
  state: 'open' | 'closing';
  epoch: number;
  leader: Name;
  stage: Stage;
  incarnation: Name;
  gateway?: string;
}
export interface Join {
  v: Name;
  epoch: number;
  left?: true;
  replaces?: { join: Name; stage: Stage; record: Omit<Join, 'v'> };
}
/** `lease`: the record goes when that ends. */
export interface Claim {
  v: Name;
  kind: 'swarm' | 'shared' | 'cooling';
  join?: Name;
  token: Name;
  lease?: true;
}
interface Holder {
  v: Name;
  token: Name;
}

/** What a RequestAddress was given, as its undo needs to know it. */
export interface Grant {
  address: string;
  join: Name;
  token: Name;
  incarnation: Name;
  prior?: Claim;
  holder?: { prior?: Holder; former: Record<string, Holder> };
}

/** `join`: of the PoolID that was given or is meant. */
export type Ask =
  | { do: 'pool'; why: string }
  | { do: 'gateway'; why: string; join: Name; address?: string }
  | { do: 'address'; why: string; join: Name; address?: string }
  | { do: 'free'; join: Name; address: string }
  | { do: 'end'; join: Name };

/** `again`: the call looks once more when this is done. `refused` may come with a transaction as well. */
export interface Verdict {
  refused?: string;
  txn?: Txn;
  again?: boolean;
  join?: Name;
  address?: string;
  grant?: Grant;
}

export const ADDRESSES = ['1', '2', '3'];
const claimKey = (address: string) => `claim/${address}`;
const joinKey = (join: Name) => `join/${join}`;
const holderKey = (address: string, join: Name) => `holder/${address}/${join}`;

export const poolOf = (s: Store) => s.kv.pool as Pool | undefined;
export const claimOf = (s: Store, address: string) => s.kv[claimKey(address)] as Claim | undefined;
const joinOf = (s: Store, join: Name) => s.kv[joinKey(join)] as Join | undefined;
export function holdersOf(s: Store, address: string): Record<string, Holder> {
  const prefix = `holder/${address}/`;
  const all = Object.entries(s.kv).filter(([key]) => key.startsWith(prefix));
  return Object.fromEntries(all.map(([key, holder]) => [key.slice(prefix.length), holder as Holder]));
}
export function hasFormer(s: Store, rules: Rules, join: Name): boolean {
  return ADDRESSES.some(
    (address) => isFormer(claimOf(s, address), join) || (!rules.nobodys && rests(claimOf(s, address))),
  );
}
const isFormer = (claim: Claim | undefined, join: Name) => claim?.kind === 'swarm' && claim.join !== join;
const rests = (claim: Claim | undefined) => claim?.kind === 'cooling';

/** The lease of what was released ends: whatever is on it goes. */
export function leaseEnds(s: Store, address: string): Txn | undefined {
  const claim = claimOf(s, address);
  return claim?.lease && { when: {}, put: { [claimKey(address)]: null } };
}
/** What was given back last of all that is free. */
const resting = (s: Store) => ADDRESSES.find((one) => rests(claimOf(s, one)));

/** Which epoch of which incarnation the pool is in. */
export function base(s: Store, rules: Rules): string {
  const pool = poolOf(s);
  if (pool?.state !== 'open') return rules.baseIncarnation ? 'none' : '0';
  return rules.baseIncarnation ? `${pool.incarnation} ${pool.epoch}` : `${pool.epoch}`;
}

/** `held`: the process already has an epoch of this pool in this term. `aged`: the epoch has served for 30 rounds. */
export function judge(
  s: Store,
  rules: Rules,
  ask: Ask,
  known: { base?: string; held?: boolean; aged?: boolean },
): Verdict {
  switch (ask.do) {
    case 'pool':
      return requestPool(s, rules, known);
    case 'gateway':
      return requestGateway(s, rules, ask.join, ask.address);
    case 'address':
      return requestAddress(s, rules, ask.join, ask.address, known.aged === true);
    case 'free':
      return releaseAddress(s, rules, ask.join, ask.address);
    case 'end':
      return releasePool(s, rules, ask.join);
  }
}

function requestPool(s: Store, rules: Rules, known: { base?: string; held?: boolean }): Verdict {
  const pool = poolOf(s);
  if (pool?.state === 'closing') return { txn: closed(s, pool), again: true };
  if (pool && rules.term && known.held) return { refused: 'overlap' };
  if (pool && rules.base && known.base !== base(s, rules)) return { refused: 'superseded' };
  const join = fresh(s);
  const epoch = (pool?.epoch ?? 0) + 1;
  const ruled = { epoch, leader: join, stage: 'new' };
  if (!pool) {
    const made = { state: 'open', ...ruled, incarnation: join };
    return { join, txn: { when: { pool: null }, put: { pool: made, [joinKey(join)]: { epoch } } } };
  }
  const back = replacedBy(s, rules, pool);
  const put = {
    pool: { ...pool, ...ruled },
    [joinKey(pool.leader)]: null,
    [joinKey(join)]: { epoch, ...(back && { replaces: back }) },
  };
  return { join, txn: { when: { pool: pool.v }, put } };
}

/** What the next epoch goes back to if it ends before it has served: the last whose engine knows its PoolID. */
function replacedBy(s: Store, rules: Rules, { leader, stage }: Pool): Join['replaces'] {
  const own = joinOf(s, leader);
  if (!own) return undefined;
  const { v: _, replaces, ...rest } = own;
  if (stage !== 'served' && !(rules.asked && stage === 'asked')) return replaces;
  const { replaces: __, ...below } = replaces?.record ?? { epoch: 0 };
  const keeps = stage === 'asked' && replaces && rules.nested;
  return { join: leader, stage, record: { ...rest, ...(keeps && { replaces: { ...replaces, record: below } }) } };
}

function requestAddress(s: Store, rules: Rules, join: Name, number: string | undefined, aged: boolean): Verdict {
  const stands = standing(s, rules, join);
  if (!stands) return { refused: 'superseded' };
  const free = ADDRESSES.find((one) => !claimOf(s, one)) ?? resting(s);
  const address = number ?? free ?? (aged ? lastOf(s, rules, join) : undefined);
  if (!address) return { refused: 'pool_exhausted' };
  const prior = claimOf(s, address);
  const mayTake =
    !prior || rests(prior) || isFormer(prior, join) || (prior.kind === 'shared' ? !rules.sharedStays : !rules.once);
  if (!mayTake) return { refused: 'taken' };
  const token = fresh(s);
  const { pool } = stands;
  const served = pool.stage === 'served' ? {} : { pool: { ...pool, stage: 'served' } };
  const local = `local/${address}`;
  return {
    address,
    grant: { address, join, token, incarnation: pool.incarnation, ...(prior && { prior }) },
    txn: {
      when: {
        ...stands.when,
        [claimKey(address)]: prior?.v ?? null,
        ...(!number && prior && !rests(prior) && rules.nodesAsked && { [local]: null }),
      },
      put: { ...served, [claimKey(address)]: { kind: 'swarm', join, token } },
    },
  };
}

function lastOf(s: Store, rules: Rules, join: Name): string | undefined {
  return ADDRESSES.find((one) => isFormer(claimOf(s, one), join) && !(rules.nodesAsked && s.kv[`local/${one}`]));
}

function requestGateway(s: Store, rules: Rules, join: Name, number: string | undefined): Verdict {
  const stands = standing(s, rules, join);
  if (!stands) return { refused: 'superseded' };
  const { pool } = stands;
  if (!number && pool.stage === 'new' && rules.secondNetwork) {
    const others = ADDRESSES.some((one) => Object.keys(holdersOf(s, one)).some((holder) => holder !== join));
    if (hasFormer(s, rules, join) || (!rules.bareGateway && others))
      return { ...releasePool(s, rules, join), again: false, refused: 'overlap' };
  }
  const remembered = pool.gateway && claimOf(s, pool.gateway)?.kind !== 'swarm' ? pool.gateway : undefined;
  const address = number ?? remembered ?? ADDRESSES.find((one) => !claimOf(s, one)) ?? resting(s);
  if (!address) return { refused: 'pool_exhausted' };
  const prior = claimOf(s, address);
  if (prior?.kind === 'swarm') return { refused: 'taken' };
  const { [join]: mine, ...former } = holdersOf(s, address);
  const token = fresh(s);
  const stage = pool.stage === 'new' ? 'asked' : pool.stage;
  const put: Record<string, object | null> = {
    pool: { ...pool, stage, gateway: pool.gateway ?? address },
    [claimKey(address)]: { kind: 'shared', token },
    [holderKey(address, join)]: { token },
  };
  for (const holder of Object.keys(former)) put[holderKey(address, holder)] = null;
  return {
    address,
    grant: { address, join, token, incarnation: pool.incarnation, holder: { former, ...(mine && { prior: mine }) } },
    txn: { when: { ...stands.when, [claimKey(address)]: prior?.v ?? null }, put },
  };
}

/** What a claim rests on besides the address. */
function standing(s: Store, rules: Rules, join: Name): { pool: Pool; when: Txn['when'] } | undefined {
  const pool = poolOf(s);
  const own = joinOf(s, join);
  if (!rules.standing) return pool && { pool, when: {} };
  if (pool?.state !== 'open' || !own || pool.leader !== join) return undefined;
  return { pool, when: { pool: pool.v, [joinKey(join)]: own.v } };
}

function releaseAddress(s: Store, rules: Rules, join: Name, address: string): Verdict {
  const claim = claimOf(s, address);
  const holders = holdersOf(s, address);
  if (!claim || !(holders[join] || claim.join === join || (!rules.leaderFrees && claim.kind === 'swarm'))) return {};
  const pool = poolOf(s);
  const own = joinOf(s, join);
  if (rules.leaderFrees && (!own || pool?.leader !== join)) return {};
  const when = { [claimKey(address)]: claim.v, ...(own && rules.leaderFrees && { [joinKey(join)]: own.v }) };
  const rest = { kind: 'cooling', token: fresh(s), lease: true };
  if (!holders[join]) return { txn: { when, put: { [claimKey(address)]: rest } } };
  if (pool && pool.stage !== 'served' && own?.replaces && rules.gatewayStays) {
    if (own.left) return {};
    return { txn: { when: { ...when, pool: pool.v }, put: { [joinKey(join)]: { ...own, left: true } } } };
  }
  const put: Record<string, object | null> = {
    [holderKey(address, join)]: null,
    [claimKey(address)]: Object.keys(holders).length === 1 ? null : { ...claim, token: fresh(s) },
  };
  if (pool && !rules.gatewayStays) put.pool = { ...pool, stage: 'served' };
  return { txn: { when: { ...when, ...(pool && { pool: pool.v }) }, put } };
}

function releasePool(s: Store, rules: Rules, join: Name): Verdict {
  const pool = poolOf(s);
  const own = joinOf(s, join);
  if (pool?.state === 'closing') return { txn: closed(s, pool) };
  if (!pool || !own) return {};
  if (pool.stage !== 'served' && rules.goBack) {
    const former = hasFormer(s, rules, join);
    if (former && !own.replaces) return {};
    if (own.replaces && (former || !own.left || !rules.left)) return { txn: wentBack(s, pool, join, own) };
  }
  const when = { pool: pool.v, [joinKey(join)]: own.v };
  return { txn: { when, put: { pool: { ...pool, state: 'closing' }, [joinKey(join)]: null } }, again: true };
}

function wentBack(s: Store, pool: Pool, join: Name, { v, replaces }: Join): Txn {
  const { join: leader, stage, record } = replaces!;
  const put: Record<string, object | null> = {
    pool: { ...pool, leader, stage },
    [joinKey(join)]: null,
    [joinKey(leader)]: record,
  };
  for (const address of ADDRESSES) {
    const own = holdersOf(s, address)[join];
    if (own) Object.assign(put, { [holderKey(address, join)]: null, [holderKey(address, leader)]: own });
  }
  return { when: { pool: pool.v, [joinKey(join)]: v }, put };
}

/** The chunks of a removal as one: all of them compare `closing`, and no claim can be made under it. */
function closed(s: Store, pool: Pool): Txn {
  const gone = Object.keys(s.kv).filter((key) => key === 'pool' || /^(claim|holder|join)/.test(key));
  return { when: { pool: pool.v }, put: Object.fromEntries(gone.map((key) => [key, null])) };
}

/** `undone`: what grants had replaced that were undone after another had replaced them. */
export function undo(
  s: Store,
  rules: Rules,
  grant: Grant,
  undone: Record<Name, Claim | Holder | null>,
): Txn | undefined {
  const { address, join, token, holder, incarnation } = grant;
  const claim = claimOf(s, address);
  const holders = holdersOf(s, address);
  const mine = holder ? holders[join] : claim;
  if (!claim || mine?.token !== token) {
    undone[token] = (holder ? holder.prior : grant.prior) ?? null;
    return undefined;
  }
  let heir: Claim | Holder | null = (holder ? holder.prior : grant.prior) ?? null;
  while (heir && undone[heir.token] !== undefined) heir = undone[heir.token]!;
  const pool = poolOf(s);
  const same = pool?.incarnation === incarnation;
  if (!same || !rules.restores) heir = null;
  const when = { [claimKey(address)]: claim.v, ...(pool && { pool: pool.v }) };
  const back = heir && 'lease' in heir && !rules.restsAnew ? { ...heir, lease: undefined } : heir;
  if (!holder) return { when, put: { [claimKey(address)]: back } };
  const put: Record<string, object | null> = { [holderKey(address, join)]: heir };
  for (const [key, record] of same ? Object.entries(holder.former) : []) put[holderKey(address, key)] = record;
  const others = Object.keys(holders).some((key) => key !== join);
  const left = heir || others || (same && Object.keys(holder.former).length > 0);
  put[claimKey(address)] = left ? { ...claim, token: fresh(s) } : null;
  return { when, put };
}
