// The gateway of a network that names none: the one its subnet has, otherwise the lowest free address of the pool.
import { type Address, formatAddress, parseAddress } from '../net/address.js';
import { freeIn } from '../net/gaps.js';
import { formatPrefix, usable } from '../net/prefix.js';
import { type AddressAsk, contended, exhausted, MOST_ATTEMPTS } from './claiming.js';
import { isOfFormerEpoch, type Verdict } from './decide.js';
import { IpamError } from './errors.js';
import { addressOfClaim, claimKey, claimsIn, claimsOf, isOurs, poolKey } from './keyspace.js';
import { all } from './pages.js';
import type { PoolRef } from './pool-id.js';
import { isResting } from './resting.js';
import { rulesOf } from './rules.js';
import type { Deadline, Store } from './store.js';
import { type View, type Views, viewOf } from './views.js';

/**
 * A new leader names the gateway of a network that it takes over. One that names none makes a network: it is refused where
 * tasks of another one have addresses, and its epoch then ends. True if so.
 */
export async function isSecondNetwork(pool: PoolRef, store: Store, by: Deadline): Promise<boolean> {
  const [record] = await store.read([{ one: poolKey(pool) }], by);
  return record?.record.leader === pool.join && record.record.stage === 'new' && hasFormer(pool, store, by);
}

/** Whether tasks, services or load balancers have addresses that another epoch than this one gave. */
export async function hasFormer(pool: PoolRef, store: Store, by: Deadline): Promise<boolean> {
  for await (const claim of all(store, claimsOf(pool), by)) if (isOfFormerEpoch(claim, pool.join)) return true;
  return false;
}

/** Addresses looked at in one read. */
const WINDOW = 256n;

/** Tries candidates by `claim`, which throws `taken` for one that is not to be had (any more); `rests` if it is picked though it rests. */
export async function chooseGateway<T>(
  ask: AddressAsk,
  store: Store,
  views: Views,
  claim: (address: Address, view: View, rests: boolean) => Promise<T>,
  by: Deadline,
): Promise<T> {
  const { family } = ask.pool.prefix;
  let view: View | undefined;
  let hint: string | undefined;
  let rest = usable(ask.pool.prefix);
  let candidates: bigint[] = [];
  let resting: bigint[] = [];
  let rests = false;
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    while (!view || candidates.length === 0) {
      if (view) rest = { ...rest, from: rulesOf(view.pool.record).nextOpen(rest.from) };
      if (rest.to < rest.from) {
        // What rests comes last.
        if (!view || resting.length === 0) throw exhausted(ask.pool, view && rulesOf(view.pool.record));
        [candidates, rests] = [resting.splice(0), true];
        continue;
      }
      const end = rest.from + WINDOW - 1n < rest.to ? rest.from + WINDOW - 1n : rest.to;
      const window = { ...rest, to: end };
      const queries = [...viewOf(ask.pool), { span: claimsIn(ask.pool, window), limit: 0 }] as const;
      // At one revision: a remembered view may be older than the choice of another host, and no room would not show it.
      const [pool, join, claims] = await store.read(queries, by);
      view = views.set(ask.pool, pool, join);
      rests = false;
      const { gateway } = view.pool.record;
      const rules = rulesOf(view.pool.record);
      if (gateway !== undefined && gateway !== hint) {
        hint = gateway;
        const { value } = parseAddress(gateway);
        // Networks have it, or had it, so it may be excluded; where it is reserved the claim is refused.
        const [held] = await store.read([{ one: claimKey(ask.pool, { family, value }) }], by);
        if (!held || held.record.kind === 'shared' || isResting(held)) candidates = [value];
        rest = usable(ask.pool.prefix);
        resting = [];
      } else {
        const { shared = [] } = view.join.record;
        const isNot = (value: bigint) => rules.isBarred(value) || shared.includes(formatAddress({ family, value }));
        const found = claims.found.filter(({ key }) => isOurs(key));
        const numberOf = ({ key }: { key: string }) => addressOfClaim(key).value;
        candidates = freeIn(window, found.map(numberOf)).filter((value) => !isNot(value));
        resting.push(
          ...found
            .filter(isResting)
            .map(numberOf)
            .filter((value) => !isNot(value)),
        );
        rest = { ...rest, from: end + 1n };
      }
    }
    const chosen = view;
    const address = { family, value: candidates.shift()! };
    try {
      return await claim(address, chosen, rests);
    } catch (error) {
      if (!(error instanceof IpamError) || (error.code !== 'taken' && error.code !== 'reserved')) throw error;
      view = await views.of(ask.pool, by);
      const { record } = view.pool;
      if (record.gateway === hint && rulesOf(record).same(rulesOf(chosen.pool.record))) continue;
      candidates = [];
      resting = [];
      rest = usable(ask.pool.prefix);
    }
  }
  throw contended(ask.pool);
}

/**
 * Whether an address picked for a gateway is the pool's gateway yet, or still nobody's where the pool has none. What was free and
 * rests by now is not to be had before all that is free.
 */
export function isStillMeant(address: Address, verdict: Verdict, { pool }: View, first: View, rests: boolean): boolean {
  const { gateway } = pool.record;
  if (gateway !== formatAddress(address) && rulesOf(pool.record).isBarred(address.value)) return false;
  const nobodys = verdict.kind === 'free' || (rests && verdict.kind === 'take' && isResting(verdict.claim));
  return gateway === first.pool.record.gateway && (nobodys || formatAddress(address) === gateway);
}

/** Caught by whatever had picked the address, or any, which goes on to another one. */
export function overtaken({ prefix }: PoolRef, address?: Address): IpamError {
  const what = address ? formatAddress(address) : 'an address';
  return new IpamError('taken', `${what} was picked in pool ${formatPrefix(prefix)} too late`);
}
