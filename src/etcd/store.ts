// etcd's room, the record store: keys and JSON to and from transactions, and what to do when an answer is lost. Decides
// nothing about addresses; whatever it may not know for certain it finds out or says so.
import { setTimeout as sleep } from 'node:timers/promises';
import { InDoubtError, IpamError } from '../ipam/errors.js';
import { decodeRestored } from '../ipam/records.js';
import { restoredError } from '../ipam/restoration.js';
import type {
  Answers,
  Change,
  Condition,
  Deadline,
  Found,
  Outcome,
  Query,
  Store,
  Version,
  Write,
} from '../ipam/store.js';
import type { Compare, EtcdClient, KeyValue, RequestOp, ResponseOp, TxnResponse } from './client.js';
import { EtcdFault, ipamErrorOf } from './fault.js';
import { RestoredMark } from './mark.js';
import type { Proof, SessionKeeper } from './session.js';

/** Between attempts that provably did nothing, in ms. */
const RETRY = 50;
const LONGEST_RETRY = 400;
/** A doubt that outlived its call: how long one attempt to settle it may take, and the pause before the next. */
const SETTLE = 5_000;
const SETTLE_PAUSE = 500;

/** No record ever has it. */
const NEVER = String(2n ** 63n - 1n);

/** `refusal`: what keeps a call waiting is then told, rather than that it waited. */
type Session = Pick<SessionKeeper, 'current' | 'mismatch' | 'fence' | 'refusal' | 'node'>;

type ReadOp = { request_range: NonNullable<RequestOp['request_range']> };

export class EtcdStore implements Store {
  readonly #client: EtcdClient;
  readonly #session: Session;
  readonly #prefix: string;
  readonly #patientUntil: Deadline;
  readonly #mark: RestoredMark;
  #closed = false;

  /**
   * `prefix`: IPAM_PREFIX with its slash at the end. Until `patientUntil` (monotonic) an etcd that is known to be away is
   * waited for all the same.
   */
  constructor(client: EtcdClient, session: Session, prefix: string, patientUntil: Deadline = 0) {
    this.#client = client;
    this.#session = session;
    this.#prefix = prefix;
    this.#patientUntil = patientUntil;
    this.#mark = new RestoredMark(client, prefix, session.node);
  }

  seen(): Version | undefined {
    return this.#client.history.seen();
  }

  /** Doubts that are not settled stay so. */
  close(): void {
    this.#closed = true;
    this.#mark.close();
  }

  /** The same records, for what can be put off: an etcd that is known to be away is not waited for at all. */
  get hasty(): Store {
    return {
      seen: () => this.seen(),
      read: (queries, by) => this.#read(queries, by, true),
      commit: (change, by) => this.#commit(change, by, true),
    };
  }

  read<const Q extends readonly Query[]>(queries: Q, by: Deadline): Promise<Answers<Q>> {
    return this.#read(queries, by, false);
  }

  commit<const Q extends readonly Query[]>(change: Change<Q>, by: Deadline): Promise<Outcome<Q>> {
    return this.#commit(change, by, false);
  }

  async #read<const Q extends readonly Query[]>(queries: Q, by: Deadline, hasty: boolean): Promise<Answers<Q>> {
    this.#inTime(by, hasty);
    const impatient = hasty || performance.now() >= this.#patientUntil;
    try {
      const reply = await this.#client.read({ success: queries.map((query) => this.#readOp(query)) }, by, impatient);
      return this.#answers(queries, reply, 0);
    } catch (error) {
      throw this.#worded(error);
    }
  }

  async #commit<const Q extends readonly Query[]>(
    change: Change<Q>,
    by: Deadline,
    hasty: boolean,
  ): Promise<Outcome<Q>> {
    for (let pause = RETRY; ; ) {
      this.#inTime(by, hasty);
      const proof = change.witness || change.signed ? await this.#session.current(by) : undefined;
      if (change.witness && this.#mark.noticed) throw restoredError(this.#mark.noticed);
      const history = this.#client.history.number;
      let reply: TxnResponse;
      try {
        reply = await this.#client.txn(this.#txn(change, proof), by);
      } catch (error) {
        if (!(error instanceof EtcdFault)) throw error;
        if (error.kind === 'unknown')
          return change.witness ? this.#inDoubt(change, history, error, by) : this.#lookAgain(change, by);
        if (!error.traits.elsewhere || performance.now() + pause >= by) throw this.#worded(error);
        await sleep(pause);
        pause = Math.min(2 * pause, LONGEST_RETRY);
        continue;
      }
      if (reply.succeeded) {
        if (change.witness) this.#sameHistory(history, true);
        return { done: true, version: this.#client.history.version(reply.header.revision) };
      }
      const marked = isHeldBack(change) ? reply.responses[1]?.response_range?.kvs[0] : undefined;
      if (marked) throw restoredError(decodeRestored(parsed(marked.value)));
      if (proof && reply.responses[0]?.response_range?.kvs[0]?.mod_revision !== proof.version) {
        await this.#session.mismatch(proof.version, by);
        continue;
      }
      return {
        done: false,
        seen: this.#answers(change.otherwise, reply, (proof ? 1 : 0) + (isHeldBack(change) ? 1 : 0)),
      };
    }
  }

  /** A change without witness is decided anew from what there is now, whichever way this one went. */
  async #lookAgain<const Q extends readonly Query[]>(change: Change<Q>, by: Deadline): Promise<Outcome<Q>> {
    return { done: false, seen: await this.read(change.otherwise, by) };
  }

  /**
   * The answer of a grant was lost. Once the session key has been put anew no copy of the transaction that is stuck
   * somewhere can commit, since it compares the older one: then our token there means committed, and its absence never.
   */
  async #inDoubt<const Q extends readonly Query[]>(
    change: Change<Q>,
    history: number,
    fault: EtcdFault,
    by: Deadline,
  ): Promise<Outcome<Q>> {
    const { key, token } = change.witness!;
    try {
      if (!fault.traits.final) await this.#session.fence(by);
      const [found, ...seen] = await this.read([{ one: key }, ...change.otherwise], by);
      const witness = found as Found<{ readonly token: string }> | undefined;
      this.#sameHistory(history, witness?.record.token === token);
      if (witness?.record.token === token) return { done: true, version: witness.version };
      return { done: false, seen: seen as Answers<Q> };
    } catch (error) {
      if (error instanceof InDoubtError) throw error;
      throw new InDoubtError(this.#worded(fault).message, this.#settle(key, token), { cause: fault });
    }
  }

  /**
   * A grant during which etcd was set back may have compared versions of the one before with what is in this one, and no mark
   * stood yet: nobody is to have it.
   */
  #sameHistory(history: number, committed: boolean): void {
    if (this.#client.history.number === history) return;
    const { latest = { node: this.#session.node, what: '', since: '' } } = this.#mark;
    throw new InDoubtError(restoredError(latest).message, Promise.resolve(committed));
  }

  async #settle(key: NonNullable<Change<[]>['witness']>['key'], token: string): Promise<boolean> {
    while (!this.#closed) {
      try {
        const by = performance.now() + SETTLE;
        await this.#session.fence(by);
        const [found] = await this.read([{ one: key }], by);
        return found?.record.token === token;
      } catch {
        await sleep(SETTLE_PAUSE);
      }
    }
    return false;
  }

  #txn<Q extends readonly Query[]>(change: Change<Q>, proof: Proof | undefined) {
    const session: Compare[] = proof
      ? [{ key: Buffer.from(proof.key), target: 'Mod', result: 'Equal', mod_revision: proof.version }]
      : [];
    const reread = proof ? [{ request_range: { key: Buffer.from(proof.key) } }] : [];
    const unmarked: Compare[] = [];
    if (isHeldBack(change)) {
      unmarked.push({ key: this.#mark.key, target: 'Create', result: 'Equal', create_revision: '0' });
      reread.push({ request_range: { key: this.#mark.key } });
    }
    return {
      compare: [...session, ...unmarked, ...change.when.map((condition) => this.#compare(condition))],
      success: change.write.map((write) => this.#writeOp(write)),
      failure: [...reread, ...change.otherwise.map((query) => this.#readOp(query))],
    };
  }

  #compare(condition: Condition): Compare {
    if ('none' in condition) {
      const { from, to } = condition.none;
      return {
        key: this.#key(from),
        range_end: this.#key(to),
        target: 'Create',
        result: 'Equal',
        create_revision: '0',
      };
    }
    const key = this.#key(condition.key.key);
    return condition.version === null
      ? { key, target: 'Create', result: 'Equal', create_revision: '0' }
      : this.#unchanged(key, condition.version);
  }

  #unchanged(key: Buffer, version: Version): Compare {
    const revision = this.#client.history.revision(version) ?? NEVER;
    return { key, target: 'Mod', result: 'Equal', mod_revision: revision };
  }

  #writeOp(write: Write): RequestOp {
    if ('put' in write) {
      return { request_put: { key: this.#key(write.put.key), value: Buffer.from(JSON.stringify(write.record)) } };
    }
    if ('remove' in write) return { request_delete_range: { key: this.#key(write.remove.key) } };
    return { request_delete_range: { key: this.#key(write.removeAll.from), range_end: this.#key(write.removeAll.to) } };
  }

  #readOp(query: Query): ReadOp {
    if ('one' in query) return { request_range: { key: this.#key(query.one.key) } };
    if ('count' in query) {
      return {
        request_range: { key: this.#key(query.count.from), range_end: this.#key(query.count.to), count_only: true },
      };
    }
    const { from, to } = 'span' in query ? query.span : query.keys;
    const range = { key: this.#key(from), range_end: this.#key(to), limit: query.limit };
    if ('keys' in query) return { request_range: { ...range, keys_only: true } };
    return { request_range: query.last ? { ...range, sort_order: 'Descend', sort_target: 'Key' } : range };
  }

  #answers<Q extends readonly Query[]>(queries: Q, reply: TxnResponse, skip: number): Answers<Q> {
    return queries.map((query, i) => this.#answer(query, reply.responses[i + skip] as ResponseOp)) as Answers<Q>;
  }

  #answer(query: Query, { response_range: range }: ResponseOp): unknown {
    if ('one' in query) return range.kvs[0] && this.#found(range.kvs[0], query.one.decode);
    if ('count' in query) return Number(range.count);
    if ('keys' in query) return { keys: range.kvs.map((kv) => this.#name(kv)), more: range.more };
    return { found: range.kvs.map((kv) => this.#found(kv, query.span.decode)), more: range.more };
  }

  #found(kv: KeyValue, decode: (json: unknown, key: string) => unknown): Found<unknown> {
    const version = this.#client.history.version(kv.mod_revision);
    return { key: this.#name(kv), record: decode(parsed(kv.value), kv.key.toString()), version };
  }

  #key(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  #name(kv: KeyValue): string {
    return kv.key.toString().slice(this.#prefix.length);
  }

  #inTime(by: Deadline, hasty: boolean): void {
    const now = performance.now();
    if (now >= by)
      throw this.#refused() ?? new IpamError('deadline', `${this.#client.describe()} did not answer in time`);
    const outage = now < this.#patientUntil && !hasty ? undefined : this.#client.outage();
    if (outage) throw this.#worded(outage);
  }

  #refused(): IpamError | undefined {
    const { refusal } = this.#session;
    return refusal === undefined ? undefined : new IpamError('node_name_taken', refusal);
  }

  #worded(error: unknown): Error {
    if (error instanceof EtcdFault) return this.#refused() ?? ipamErrorOf(error, this.#client.describe());
    return error as Error;
  }
}

/** Grants are, while the mark of a restored backup stands. */
function isHeldBack({ witness, puttingBack }: Pick<Change<readonly Query[]>, 'witness' | 'puttingBack'>): boolean {
  return witness !== undefined && !puttingBack;
}

function parsed(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString());
  } catch {
    return undefined; // whoever wrote it was none of us: what that means is the decoder's to say
  }
}
