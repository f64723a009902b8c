// etcd's room, the record store: keys and JSON to and from transactions, and what to do when an answer is lost. Decides
// nothing about addresses; whatever it may not know for certain it finds out or says so.
import { setTimeout as sleep } from 'node:timers/promises';
import { InDoubtError, IpamError } from '../ipam/errors.js';
import { decodeRestored } from '../ipam/records.js';
import { restoredError } from '../ipam/restoration.js';
import type { Answers, Change, Deadline, Found, Outcome, Query, Store, Version } from '../ipam/store.js';
import type { Compare, EtcdClient, RequestOp, TxnRequest, TxnResponse } from './client.js';
import { Company } from './company.js';
import { EtcdFault, ipamErrorOf } from './fault.js';
import { RestoredMark } from './mark.js';
import { KEEPING, Rests } from './rests.js';
import type { Proof, SessionKeeper } from './session.js';
import { type Leases, parsed, Words } from './words.js';

/** Between attempts that provably did nothing, in ms. */
const RETRY = 50;
const LONGEST_RETRY = 400;
/** A doubt that outlived its call: how long one attempt to settle it may take, and the pause before the next. */
const SETTLE = 5_000;
const SETTLE_PAUSE = 500;

/** `refusal`: what keeps a call waiting is then told, rather than that it waited. */
type Session = Pick<SessionKeeper, 'proof' | 'current' | 'mismatch' | 'fence' | 'refusal' | 'node'>;

export class EtcdStore implements Store {
  readonly #client: EtcdClient;
  readonly #session: Session;
  readonly #company: Company;
  readonly #words: Words;
  readonly #patientUntil: Deadline;
  readonly #rests: Rests;
  readonly #keeps: Rests;
  readonly #mark: RestoredMark;
  #closed = false;

  /**
   * `prefix`: IPAM_PREFIX with its slash at the end. Until `patientUntil` (monotonic) an etcd that is known to be away is
   * waited for all the same.
   */
  constructor(client: EtcdClient, session: Session, prefix: string, patientUntil: Deadline = 0) {
    this.#client = client;
    this.#session = session;
    this.#company = new Company(client);
    this.#words = new Words(prefix, client.history);
    this.#patientUntil = patientUntil;
    this.#rests = new Rests(client);
    this.#keeps = new Rests(client, KEEPING);
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
      const asked = queries.map((query) => this.#words.readOp(query));
      // Who waits for an answer is to have one from a member that takes part: any other answers who asks for nothing.
      const success = asked.length > 0 ? asked : [{ request_range: { key: this.#mark.key, keys_only: true } }];
      const reply = await this.#client.read({ success }, by, impatient);
      return this.#words.answers(queries, reply, 0);
    } catch (error) {
      throw this.#worded(error);
    }
  }

  async #commit<const Q extends readonly Query[]>(
    change: Change<Q>,
    by: Deadline,
    hasty: boolean,
  ): Promise<Outcome<Q>> {
    this.#inTime(by, hasty);
    let leases = needsLease(change) ? await this.#leasesFor(change, by) : {};
    let anew = false;
    let before: EtcdFault | undefined;
    for (let pause = RETRY; ; ) {
      this.#inTime(by, hasty, before);
      const proof =
        change.witness || change.signed ? (this.#session.proof ?? (await this.#session.current(by))) : undefined;
      if (change.witness && this.#mark.noticed) throw restoredError(this.#mark.noticed);
      const history = this.#client.history.number;
      let reply: TxnResponse;
      try {
        reply = await this.#company.txn(this.#txn(change, proof, leases), by);
      } catch (error) {
        if (!(error instanceof EtcdFault)) throw error;
        const without = error.traits.leaseGone || (error.kind === 'unknown' && error.traits.final);
        if (without && (leases.rests ?? leases.keeps) !== undefined) {
          this.#rests.refused(leases.rests);
          this.#keeps.refused(leases.keeps);
          // All may have gone at once, and others are to be had: who had the address is worth another attempt.
          leases = error.traits.leaseGone && !anew ? { keeps: await this.#keepsFor(change, by) } : {};
          anew = true;
          continue;
        }
        if (error.kind === 'unknown')
          return change.witness ? this.#inDoubt(change, history, error, by) : this.#lookAgain(change, error, by, hasty);
        if (!error.traits.elsewhere || performance.now() + pause >= by) throw this.#worded(error);
        before = error;
        await sleep(pause);
        pause = Math.min(2 * pause, LONGEST_RETRY);
        continue;
      }
      if (reply.succeeded) {
        if (change.witness) this.#sameHistory(history, true);
        return { done: true, version: this.#client.history.version(reply.header.revision) };
      }
      if (change.brief) return { done: false, certain: true, seen: this.#words.answers(change.otherwise, reply, 0) };
      const marked = isHeldBack(change) ? reply.responses[1]?.response_range?.kvs[0] : undefined;
      if (marked) throw restoredError(decodeRestored(parsed(marked.value)));
      if (proof && reply.responses[0]?.response_range?.kvs[0]?.mod_revision !== proof.version) {
        await this.#session.mismatch(proof.version, by);
        continue;
      }
      return {
        done: false,
        certain: true,
        seen: this.#words.answers(change.otherwise, reply, (proof ? 1 : 0) + (isHeldBack(change) ? 1 : 0)),
      };
    }
  }

  /** A change without witness is decided anew from what there is now, whichever way this one went. */
  async #lookAgain<const Q extends readonly Query[]>(
    change: Change<Q>,
    fault: EtcdFault,
    by: Deadline,
    hasty: boolean,
  ): Promise<Outcome<Q>> {
    // An answer all the same, and another attempt would get it again.
    if (fault.traits.final) throw this.#worded(fault);
    return { done: false, seen: await this.#read(change.otherwise, by, hasty) };
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
      if (!fault.traits.final) return { done: false, seen: seen as Answers<Q> };
    } catch (error) {
      if (error instanceof InDoubtError) throw error;
      throw new InDoubtError(this.#worded(fault).message, this.#settle(key, token), { cause: fault });
    }
    throw this.#worded(fault);
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

  async #leasesFor(change: Change<readonly Query[]>, by: Deadline): Promise<Leases> {
    const times = change.write.flatMap((one) => ('put' in one ? (one.rests ?? []) : []));
    const [rests, keeps] = [leaseOf(this.#rests, times, by), this.#keepsFor(change, by)];
    return { rests: await rests, keeps: await keeps };
  }

  #keepsFor({ write }: Change<readonly Query[]>, by: Deadline): Promise<string | undefined> | undefined {
    const times = write.flatMap((one) => ('put' in one ? (one.kept ?? []) : []));
    return leaseOf(this.#keeps, times, by);
  }

  #txn<Q extends readonly Query[]>(change: Change<Q>, proof: Proof | undefined, leases: Leases): TxnRequest {
    const compare: Compare[] = [];
    const failure: RequestOp[] = [];
    if (proof) {
      const { key, version } = proof;
      compare.push({ key, target: 'Mod', result: 'Equal', mod_revision: version });
      if (!change.brief) failure.push({ request_range: { key } });
    }
    if (isHeldBack(change)) {
      const { key } = this.#mark;
      compare.push({ key, target: 'Create', result: 'Equal', create_revision: '0' });
      if (!change.brief) failure.push({ request_range: { key } });
    }
    for (const condition of change.when) compare.push(this.#words.compare(condition));
    for (const query of change.otherwise) failure.push(this.#words.readOp(query));
    return { compare, success: change.write.map((write) => this.#words.writeOp(write, leases)), failure };
  }

  /** `before`: what was in the way at the attempt before, which says more than that there is no time left. */
  #inTime(by: Deadline, hasty: boolean, before?: EtcdFault): void {
    const now = performance.now();
    if (now >= by && before) throw this.#worded(before);
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

function needsLease({ write }: Change<readonly Query[]>): boolean {
  return write.some((one) => 'put' in one && (one.rests ?? one.kept) !== undefined);
}

/** For records that are to last so long; without one they are removed, or not written. */
function leaseOf(leases: Rests, times: readonly number[], by: Deadline): Promise<string | undefined> | undefined {
  return times.length > 0 ? leases.lease(Math.max(...times), times.length, by) : undefined;
}

/** Grants are, while the mark of a restored backup stands. */
function isHeldBack({ witness, puttingBack }: Pick<Change<readonly Query[]>, 'witness' | 'puttingBack'>): boolean {
  return witness !== undefined && !puttingBack;
}
