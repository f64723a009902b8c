// What is recorded of one address, and how a join's part of it goes. Every change compares the claim it was decided on, so
// that it is harmless however late it lands. Refuses to know why something is to go.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import { IpamError } from './errors.js';
import { claimKey, holderKey, holdersAt, joinOf } from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import type { ClaimRecord, HolderRecord } from './records.js';
import type { Answers, Condition, Deadline, Found, Store, Version, Write } from './store.js';
import type { Surroundings } from './surroundings.js';

const MOST_ATTEMPTS = 64;

/** What one revision says of the address. */
export interface Held {
  readonly claim: Found<ClaimRecord> | undefined;
  readonly holders: readonly Found<HolderRecord>[];
  /** Not looked at: as this process wrote it. */
  readonly remembered?: true;
  /** The version that a change was to end whose answer was lost. */
  readonly before?: Version;
}

export interface HeldChange {
  /** What it rests on besides the claim. */
  readonly when: readonly Condition[];
  readonly write: readonly Write[];
  /** As {@link Store} has it. */
  readonly signed?: boolean;
}

export class Holding {
  readonly #store: Store;
  readonly #around: Surroundings;

  constructor(store: Store, around: Surroundings) {
    this.#store = store;
    this.#around = around;
  }

  /**
   * Looks, has `decide` say what to do about the claim, and does it; again when others were faster. False when there is
   * nothing to do. With a `remembered` claim, which nobody shares, the commit is the first look.
   */
  async change(
    pool: PoolRef,
    address: Address,
    decide: (claim: Found<ClaimRecord>, held: Held) => Promise<HeldChange | undefined>,
    by: Deadline,
    remembered?: Found<ClaimRecord>,
  ): Promise<boolean> {
    const look = [{ one: claimKey(pool, address) }, { span: holdersAt(pool, address), limit: 0 }] as const;
    const heldBy = ([claim, { found: holders }]: Answers<typeof look>): Held => ({ claim, holders });
    let held: Held = remembered
      ? { claim: remembered, holders: [], remembered: true }
      : heldBy(await this.#store.read(look, by));
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const { claim } = held;
      const change = claim && (await decide(claim, held));
      if (!claim || !change) return false;
      const when = [{ key: claim, version: claim.version }, ...change.when];
      const outcome = await this.#store.commit({ ...change, when, otherwise: look }, by);
      if (outcome.done) return true;
      held = { ...heldBy(outcome.seen), ...(!outcome.certain && { before: claim.version }) };
    }
    throw new IpamError(
      'contended',
      `${formatAddress(address)} of pool ${formatPrefix(pool.prefix)} changed ${MOST_ATTEMPTS} times while it was released`,
    );
  }

  /** The last holder takes the claim along; otherwise the claim is rewritten, so that its version orders all changes. */
  withoutHolder(pool: PoolRef, address: Address, held: Held): Write[] {
    const gone: Write = { remove: holderKey(pool, address, pool.join) };
    if (held.holders.every(({ key }) => joinOf(key) === pool.join)) return [gone, { remove: claimKey(pool, address) }];
    return [gone, this.touched(pool, address, held)];
  }

  touched(pool: PoolRef, address: Address, { claim }: Held): Write {
    return { put: claimKey(pool, address), record: { ...claim!.record, token: this.#around.token() } };
  }
}
