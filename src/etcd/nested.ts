// etcd's room, several transactions as one: how it is said, and which part of the answer is whose. Refuses to know when it is
// sent, and whether they may go together.
import type { Compare, RequestOp, TxnRequest, TxnResponse } from './client.js';

/**
 * What all of them compare first and alike, such as the session and mostly the pool, is compared once for all, and what they
 * would read of that when they lose is read once: it is most of what a claim says, to us and to etcd. `apart`: each says
 * all of it by itself, for when what they share does not hold.
 */
export class Nested {
  readonly request: TxnRequest;
  readonly #together: readonly TxnRequest[];
  readonly #reads: number;

  constructor(together: readonly TxnRequest[], apart = false) {
    this.#together = together;
    const [{ compare = [], failure = [] }, ...others] = together as [TxnRequest, ...TxnRequest[]];
    const shared = apart ? 0 : lengthOf(compare, (one, i) => others.every((other) => isSame(one, other.compare?.[i])));
    const keys = compare.slice(0, shared).map(({ key }) => key as Buffer);
    this.#reads = lengthOf(failure, (op, i) => {
      const key = keyRead(op);
      if (!key || !keys.some((one) => isSameKey(one, key))) return false;
      return others.every((other) => {
        const read = keyRead(other.failure?.[i]);
        return read !== undefined && isSameKey(read, key);
      });
    });
    const nested = together.map(({ compare: own = [], success = [], failure: reads = [] }) => ({
      request_txn: { compare: own.slice(shared), success, failure: reads.slice(this.#reads) },
    }));
    this.request = { compare: compare.slice(0, shared), success: [...failure.slice(0, this.#reads), ...nested] };
  }

  /** Each one's, if what they share held. All that was written together has one revision, and so one header. */
  answers({ header, responses }: TxnResponse): TxnResponse[] {
    const shared = responses.slice(0, this.#reads);
    return this.#together.map((_, i) => {
      const { succeeded, responses: own } = responses[this.#reads + i]!.response_txn;
      return { header, succeeded, responses: succeeded ? own : [...shared, ...own] };
    });
  }
}

/** What etcd takes of compares, and of operations, in one transaction. */
const MOST = 128;

/**
 * One without parts: it does all if whatever any of them compares holds, and otherwise nothing, nor does it say why. Where nobody
 * is in the way that is a third less to write and to read, for us and for etcd.
 */
export class Whole {
  readonly request: TxnRequest;
  readonly #together: readonly TxnRequest[];

  private constructor(together: readonly TxnRequest[], request: TxnRequest) {
    this.#together = together;
    this.request = request;
  }

  /** What all compare in the same place as the first one is compared once. Undefined where it is too much for one. */
  static of(together: readonly TxnRequest[]): Whole | undefined {
    const [{ compare: first = [] }, ...others] = together as [TxnRequest, ...TxnRequest[]];
    const compare = [...first];
    for (const { compare: own = [] } of others)
      for (let i = 0; i < own.length; i++) if (!isSame(own[i]!, first[i])) compare.push(own[i]!);
    const success = together.flatMap((one) => one.success ?? []);
    if (Math.max(compare.length, success.length) > MOST) return undefined;
    return new Whole(together, { compare, success });
  }

  /** Each one's, if it was done. */
  answers({ header, responses }: TxnResponse): TxnResponse[] {
    let at = 0;
    return this.#together.map(({ success = [] }) => {
      const from = at;
      at += success.length;
      return { header, succeeded: true, responses: responses.slice(from, at) };
    });
  }
}

/** Of how many from the first on it is true. */
function lengthOf<T>(list: readonly T[], isTrue: (one: T, at: number) => boolean): number {
  const end = list.findIndex((one, at) => !isTrue(one, at));
  return end < 0 ? list.length : end;
}

function isSame(one: Compare, other: Compare | undefined): boolean {
  if (!other || !isSameKey(one.key as Buffer, other.key as Buffer)) return false;
  if (one.range_end || other.range_end || one.result !== other.result || one.target !== other.target) return false;
  if (one.target !== 'Mod' && one.target !== 'Create') return false;
  return one.mod_revision === other.mod_revision && one.create_revision === other.create_revision;
}

/** Mostly it is the same object. */
function isSameKey(one: Buffer, other: Buffer): boolean {
  return one === other || one.equals(other);
}

/** Of an operation that gets one record as it is. */
function keyRead(op: RequestOp | undefined): Buffer | undefined {
  const range = op?.request_range;
  return range && Object.keys(range).length === 1 ? (range.key as Buffer) : undefined;
}
