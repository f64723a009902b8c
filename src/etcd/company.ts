// etcd's room, company for transactions: those of concurrent calls that do not touch one another travel as the nested
// transactions of one, so that etcd commits once for all. Refuses to know records, and what becomes of a failure.
import type { Deadline } from '../ipam/store.js';
import type { Compare, EtcdClient, RequestOp, TxnRequest, TxnResponse } from './client.js';
import { EtcdFault } from './fault.js';
import { Nested } from './nested.js';

/**
 * Under way at a time: two single transactions, or what went together. What comes meanwhile waits, and goes together when there
 * is room: the more wait, the more go with one commit, and the less each costs this process.
 */
const UNDER_WAY = 2;
/** When so many wait they go beside a group that is under way: with 256 calls at once that is a tenth more a second. */
const MANY = 32;
/** Nested transactions in one. etcd allows 128 operations, of which the largest of the nested ones takes its share. */
const MOST = 64;
/** Operations on each side of one that may be nested. */
const MOST_OPERATIONS = 16;

interface Waiting {
  readonly request: TxnRequest;
  readonly by: Deadline;
  readonly touched: Touched;
  readonly answered: (reply: TxnResponse | PromiseLike<TxnResponse>) => void;
  readonly failed: (error: unknown) => void;
  /** Its call has ended, be it answered or not. */
  over: boolean;
}

/** The keys that one transaction compares, and those that it writes. */
interface Touched {
  readonly compared: readonly string[];
  readonly written: readonly string[];
}

export class Company {
  readonly #client: Pick<EtcdClient, 'txn' | 'describe'>;
  readonly #waiting = new Set<Waiting>();
  #underWay = 0;

  constructor(client: Pick<EtcdClient, 'txn' | 'describe'>) {
    this.#client = client;
  }

  /**
   * As EtcdClient.txn. With less than two under way it is sent at once and as it is. The reply of a nested one has the header
   * of the whole: all that was written together has one revision.
   */
  async txn(request: TxnRequest, by: Deadline): Promise<TxnResponse> {
    const touched = this.#underWay < UNDER_WAY ? undefined : touchedBy(request);
    if (!touched) return this.#send(request, by);
    let waiting: Waiting | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<TxnResponse>((answered, failed) => {
        waiting = { request, by, touched, answered, failed, over: false };
        this.#waiting.add(waiting);
        if (this.#waiting.size >= MANY) this.#next();
        timer = setTimeout(() => failed(this.#late(waiting!)), Math.max(0, by - performance.now()));
      });
    } finally {
      clearTimeout(timer);
      waiting!.over = true;
      this.#waiting.delete(waiting!);
    }
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
    const [kind, reason] = this.#waiting.has(waiting)
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
      else void this.#sendNested(together);
    }
  }

  /**
   * The longest waiting, and all that go with it: every compare sees what was before the whole, so none may write what another
   * compares or writes. Then the outcome is that of any order of them.
   */
  #takeTogether(): Waiting[] {
    const together: Waiting[] = [];
    const compared = new Set<string>();
    const written = new Set<string>();
    for (const waiting of this.#waiting) {
      if (together.length === MOST) break;
      const { touched } = waiting;
      if (touched.written.some((key) => written.has(key) || compared.has(key))) continue;
      if (touched.compared.some((key) => written.has(key))) continue;
      for (const key of touched.compared) compared.add(key);
      for (const key of touched.written) written.add(key);
      this.#waiting.delete(waiting);
      together.push(waiting);
    }
    return together;
  }

  async #sendNested(together: readonly Waiting[]): Promise<void> {
    // Each watches its own deadline.
    const by = Math.max(...together.map((one) => one.by));
    let left = together;
    try {
      let nested = new Nested(left.map(({ request }) => request));
      let reply = await this.#send(nested.request, by, UNDER_WAY);
      if (!reply.succeeded) {
        left = left.filter(({ over }) => !over);
        if (left.length === 0) return;
        nested = new Nested(
          left.map(({ request }) => request),
          true,
        );
        reply = await this.#send(nested.request, by, UNDER_WAY);
      }
      const answers = nested.answers(reply);
      for (const [i, { answered }] of left.entries()) answered(answers[i]!);
    } catch (error) {
      // Where nothing was executed it may have been for the sake of one: each finds out for itself.
      const executed = !(error instanceof EtcdFault) || error.kind === 'unknown';
      for (const { request, by, answered, failed, over } of left)
        if (executed) failed(error);
        else if (!over) answered(this.#send(request, by));
    }
  }
}

/** Undefined for what goes alone: whatever touches ranges, or much. */
function touchedBy({ compare = [], success = [], failure = [] }: TxnRequest): Touched | undefined {
  if (Math.max(compare.length, success.length, failure.length) > MOST_OPERATIONS) return undefined;
  const compared = compare.map(single);
  const written = success.map((op) => single(writeOf(op)));
  if (compared.includes(undefined) || written.includes(undefined)) return undefined;
  return { compared: compared as string[], written: written as string[] };
}

function writeOf({ request_put: put, request_delete_range: remove }: RequestOp): Pick<Compare, 'key' | 'range_end'> {
  return put ? { key: put.key as Buffer } : ((remove ?? {}) as Pick<Compare, 'key' | 'range_end'>);
}

function single({ key, range_end }: Pick<Compare, 'key' | 'range_end'>): string | undefined {
  return range_end === undefined ? key?.toString('latin1') : undefined;
}
