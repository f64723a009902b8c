// What is asked for in the words of decisions, and what has to be seen to decide it. Pure.
import { type Address, formatAddress } from '../net/address.js';
import { type AddressAsk, named } from './claiming.js';
import type { Purpose, Verdict, Wanted } from './decide.js';
import { claimKey, holdersAt, nodeKey, poolKey } from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import { decodeHolder } from './records.js';
import { rulesOf } from './rules.js';
import { familyOf, globalSpace, isGlobal } from './spaces.js';
import type { Answers } from './store.js';
import type { Self } from './surroundings.js';
import { type View, viewOf } from './views.js';

export type Facts = Answers<ReturnType<typeof factsOf>>;

/** The last two are the swarm's own claim of the address and its pool, for the networks of its nodes. */
export function factsOf(pool: PoolRef, address: Address, { node, swarm = '' }: Self) {
  const global = { space: globalSpace(familyOf(pool.space), swarm), prefix: pool.prefix };
  return [
    ...viewOf(pool),
    { one: claimKey(pool, address) },
    { span: { ...holdersAt(pool, address), decode: decodeHolder }, limit: 0 },
    { one: nodeKey(node) },
    { one: claimKey(global, address) },
    { one: poolKey(global) },
  ] as const;
}

export function wantedOf(ask: AddressAsk, address: Address, view: View): Wanted {
  const declared = isDeclared(address, view);
  return { address, purpose: ask.purpose, declared, join: ask.pool.join, ...named(ask) };
}

/** Only containers have names and MACs. */
export function reservedFor(ask: AddressAsk, { pool }: View): Address | undefined {
  return ask.purpose === 'endpoint' ? rulesOf(pool.record).reservedFor(ask) : undefined;
}

export function isSame(one: Address | undefined, other: Address | undefined): boolean {
  return one?.value === other?.value;
}

/** The network is the swarm's, so its leader may have given the address that a container is to have. */
export function onSwarm({ pool, purpose }: AddressAsk, { join }: View): boolean {
  return join.record.managed === true && !isGlobal(pool.space) && (purpose === 'endpoint' || purpose === 'unsure');
}

/** What the network declared as auxiliary is that, unless the swarm's leader says otherwise. */
export function purposeOf({ purpose }: AddressAsk, address: Address, view: View, verdict: Verdict): Purpose {
  const given = 'onSwarm' in verdict && verdict.onSwarm;
  return purpose === 'unsure' && !given && isDeclared(address, view) ? 'aux' : purpose;
}

export function isDeclared(address: Address, { join }: View): boolean {
  return join.record.shared?.includes(formatAddress(address)) ?? false;
}
