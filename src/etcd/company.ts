// etcd's room, company for transactions: those of concurrent calls that do not touch one another travel as one, so that etcd
// commits once for all; as its nested ones where one of them may be lost. Refuses to know records, and what becomes of a failure.
import type { Deadline } from '../ipam/store.js';
import type { Compare, EtcdClient, RequestOp, TxnRequest, TxnResponse } from './client.js';
import { EtcdFault } from './fault.js';
import { Nested, Whole } from './nested.js';

/**
 * Under way at a time: two single transactions, or what went together. What comes meanwhile waits, and goes together when there
 * is room: the more wait, the more go with one commit, and the less each costs this process.
 */
const UNDER_WAY = 2;
/** When so many wait they go beside a group that is under way: with 256 calls at once that is a tenth more a second. */
const MANY = 32;
/** In one. etcd allows 128 operations, of which the largest of nested ones takes its share. */
const MOST = 64;
/** Operations on each side of one that may be nested. */
const MOST_OPERATIONS = 16;

/** Once so many groups in a row were done as they were asked, each of their parts, the next one goes without parts. */
const CALM = 64;

type Form = (together: readonly TxnRequest[]) => Whole | Nested | undefined;
/** Each where the one before it was not done. The last one always is, since it compares nothing but in its parts. */
const NESTED: readonly Form[] = [(together) => new Nested(together), (together) => new Nested(together, true)];
const WHOLE_FIRST: readonly Form[] = [(together) => Whole.of(together), ...NESTED];

export class Company {
  readonly #client: Pick<EtcdClient, 'txn' | 'describe'>;
  readonly #waiting = new Set<Waiting>();
  #underWay = 0;
  /** Groups since a part of one was lost. */
  #calm = CALM;

  constructor(client: Pick<EtcdClient, 'txn' | 'describe'>) {
    this.#client = client;
  }

  /**
   * As EtcdClient.txn. With less than two under way it is sent at once and as it is. The reply of a nested one has the header
   * of the whole: all that was written together has one revision.
   */
  txn(request: TxnRequest, by: Deadline): Promise<TxnResponse> {
    // What goes alone does not count, or as much of it as there may be would let nothing else go.
    if (goesAlone(request)) return this.#send(request, by, 0);
    if (this.#underWay < UNDER_WAY) return this.#send(request, by);
    return new Promise((resolve, reject) => {
      const waiting = new Waiting(request, by, resolve, reject, () => this.#late(waiting));
      this.#waiting.add(waiting);
      if (this.#waiting.size >= MANY) this.#next();
    });
  }

  async #send(request: TxnRequest, by: Deadline, weight = 1): Promise<TxnResponse> {
    this.#underWay += weight;
    try {
      return await this.#client.txn(request, by);
    } finally {
      this.#underWay -= weight;
      this.#next();
    }
  }

  #late(waiting: Waiting): EtcdFault {
    const [kind, reason] = this.#waiting.delete(waiting)
      ? (['not_sent', 'no time left'] as const)
      : (['unknown', 'no answer in time'] as const);
    return new EtcdFault(kind, reason, this.#client.describe(), { final: kind === 'not_sent', elsewhere: false });
  }

  get #hasRoom(): boolean {
    const most = this.#waiting.size >= MANY ? 2 * UNDER_WAY : UNDER_WAY;
    return this.#waiting.size > 0 && this.#underWay < most;
  }

  #next(): void {
    while (this.#hasRoom) {
      const together = this.#takeTogether();
      const [first] = together;
      if (first && together.length === 1) first.answered(this.#send(first.request, first.by));
      else void this.#sendTogether(together);
    }
  }

  /**
   * The longest waiting, and all that go with it: every compare sees what was before the whole, so none may write what another
   * compares or writes. Then the outcome is that of any order of them.
   */
  #takeTogether(): Waiting[] {
    const together: Waiting[] = [];
    const touched = new Touched();
    for (const waiting of this.#waiting) {
      if (together.length === MOST) break;
      if (!touched.add(waiting.request)) continue;
      this.#waiting.delete(waiting);
      together.push(waiting);
    }
    return together;
  }

  async #sendTogether(together: readonly Waiting[]): Promise<void> {
    // Each watches its own deadline.
    const by = Math.max(...together.map((one) => one.by));
    let left = together;
    try {
      for (const form of this.#calm < CALM ? NESTED : WHOLE_FIRST) {
        const parts = form(left.map(({ request }) => request));
        if (!parts) continue;
        const reply = await this.#send(parts.request, by, UNDER_WAY);
        if (reply.succeeded) {
          this.#answer(left, parts.answers(reply));
          return;
        }
        left = left.filter(({ over }) => !over);
        if (left.length === 0) return;
      }
    } catch (error) {
      // Where nothing was executed it may have been for the sake of one: each finds out for itself.
      const executed = !(error instanceof EtcdFault) || error.kind === 'unknown';
      for (const one of left)
        if (executed) one.failed(error);
        else if (!one.over) one.answered(this.#send(one.request, one.by));
    }
  }

  #answer(those: readonly Waiting[], answers: readonly TxnResponse[]): void {
    this.#calm = answers.every(({ succeeded }) => succeeded) ? this.#calm + 1 : 0;
    for (const [i, one] of those.entries()) one.answered(answers[i]!);
  }
}

class Waiting {
  readonly request: TxnRequest;
  readonly by: Deadline;
  /** Its call has ended, be it answered or not. */
  over = false;
  readonly #resolve: (reply: TxnResponse | PromiseLike<TxnResponse>) => void;
  readonly #reject: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;

  constructor(
    request: TxnRequest,
    by: Deadline,
    resolve: (reply: TxnResponse | PromiseLike<TxnResponse>) => void,
    reject: (error: unknown) => void,
    late: () => EtcdFault,
  ) {
    this.request = request;
    this.by = by;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = setTimeout(() => this.failed(late()), Math.max(0, by - performance.now()));
  }

  answered(reply: TxnResponse | PromiseLike<TxnResponse>): void {
    this.#end();
    this.#resolve(reply);
  }

  failed(error: unknown): void {
    this.#end();
    this.#reject(error);
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.over = true;
  }
}

/** The keys that transactions which go together compare or write; true of those that are written. */
class Touched {
  readonly #keys = new Map<string, boolean>();
  /** Those in the first one's compares that it does not write: mostly the others have the same objects there. */
  #common: readonly (Buffer | undefined)[] | undefined;

  /** False, and nothing is added, if it writes what another one compares or writes, or compares what another one writes. */
  add({ compare = [], success = [] }: TxnRequest): boolean {
    const written: string[] = [];
    for (const op of success) {
      const text = textOf(writeOf(op).key);
      if (this.#keys.has(text)) return false;
      written.push(text);
    }
    const compared: string[] = [];
    for (let i = 0; i < compare.length; i++) {
      const { key } = compare[i]!;
      if (key === this.#common?.[i] || success.some((op) => writeOf(op).key === key)) continue;
      const text = textOf(key);
      if (this.#keys.get(text)) return false;
      compared.push(text);
    }
    for (const key of compared) this.#keys.set(key, false);
    for (const key of written) this.#keys.set(key, true);
    this.#common ??= compare.map(({ key }) => (this.#keys.get(textOf(key)) ? undefined : key));
    return true;
  }
}

/** What touches ranges, or much. */
function goesAlone({ compare = [], success = [], failure = [] }: TxnRequest): boolean {
  if (Math.max(compare.length, success.length, failure.length) > MOST_OPERATIONS) return true;
  return !compare.every(isSingle) || !success.every((op) => isSingle(writeOf(op)));
}

function writeOf({ request_put: put, request_delete_range: remove }: RequestOp): Pick<Compare, 'key' | 'range_end'> {
  return (put ?? remove ?? {}) as Pick<Compare, 'key' | 'range_end'>;
}

function isSingle({ key, range_end }: Pick<Compare, 'key' | 'range_end'>): boolean {
  return key !== undefined && range_end === undefined;
}

function textOf(key: Buffer | undefined): string {
  return key!.toString('latin1');
}
