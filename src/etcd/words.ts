// etcd's room, the words of a transaction: the port's conditions, writes and queries as etcd has them, and its answers back.
// Knows keys and bytes; refuses to know what is sent when.
import type { Answers, Condition, Found, Query, Version, Write } from '../ipam/store.js';
import type { Compare, KeyValue, RequestOp, ResponseOp, TxnResponse } from './client.js';
import type { History } from './history.js';

/** No record ever has it. */
const NEVER = String(2n ** 63n - 1n);

type ReadOp = { request_range: NonNullable<RequestOp['request_range']> };

/** What there is of leases to put on what goes by itself. */
export interface Leases {
  readonly rests?: string | undefined;
  readonly keeps?: string | undefined;
}

export class Words {
  readonly #prefix: string;
  readonly #history: History;
  readonly #bytes = new WeakMap<object, Buffer>();
  #last: { readonly key: string; readonly bytes: Buffer } | undefined;

  /** `prefix`: IPAM_PREFIX with its slash at the end. `history`: what revisions are called. */
  constructor(prefix: string, history: History) {
    this.#prefix = prefix;
    this.#history = history;
  }

  compare(condition: Condition): Compare {
    if ('none' in condition) {
      const { none, newerThan } = condition;
      const range = { key: this.#key(none.from), range_end: this.#key(none.to) };
      if (newerThan === undefined) return { ...range, target: 'Create', result: 'Equal', create_revision: '0' };
      // A version of another history says nothing of this one.
      const known = BigInt(this.#history.revision(newerThan) ?? -1);
      return { ...range, target: 'Mod', result: 'Less', mod_revision: String(known + 1n) };
    }
    const { key, version } = condition;
    return version === null
      ? { key: this.#key(key.key), target: 'Create', result: 'Equal', create_revision: '0' }
      : this.#unchanged(this.#keyOf(key), version);
  }

  #unchanged(key: Buffer, version: Version): Compare {
    const revision = this.#history.revision(version) ?? NEVER;
    return { key, target: 'Mod', result: 'Equal', mod_revision: revision };
  }

  /** What is to rest, or to be kept for a while, is removed where there is no lease for it. */
  writeOp(write: Write, { rests, keeps }: Leases): RequestOp {
    if ('put' in write) {
      const key = this.#key(write.put.key);
      const passing = write.rests !== undefined || write.kept !== undefined;
      const lease = write.rests !== undefined ? rests : keeps;
      if (passing && lease === undefined) return { request_delete_range: { key } };
      const value = Buffer.from(JSON.stringify(write.record));
      return { request_put: passing && lease !== undefined ? { key, value, lease } : { key, value } };
    }
    if ('remove' in write) return { request_delete_range: { key: this.#key(write.remove.key) } };
    return { request_delete_range: { key: this.#key(write.removeAll.from), range_end: this.#key(write.removeAll.to) } };
  }

  readOp(query: Query): ReadOp {
    if ('one' in query) return { request_range: { key: this.#keyOf(query.one) } };
    const range = this.#range('count' in query ? query.count : 'span' in query ? query.span : query.keys);
    if ('count' in query) range.count_only = true;
    else {
      range.limit = query.limit;
      if ('keys' in query) range.keys_only = true;
      else if (query.last) Object.assign(range, { sort_order: 'Descend', sort_target: 'Key' });
    }
    return { request_range: range };
  }

  /** One of a single key needs no end, which is half of what such a question says. */
  #range({ from, to }: { readonly from: string; readonly to: string }): ReadOp['request_range'] {
    return to === `${from}\0` ? { key: this.#key(from) } : { key: this.#key(from), range_end: this.#key(to) };
  }

  /** `skip`: answers of the reply that come before. */
  answers<Q extends readonly Query[]>(queries: Q, reply: TxnResponse, skip: number): Answers<Q> {
    return queries.map((query, i) => this.#answer(query, reply.responses[i + skip] as ResponseOp)) as Answers<Q>;
  }

  #answer(query: Query, { response_range: range }: ResponseOp): unknown {
    if ('one' in query) return range.kvs[0] && this.#found(range.kvs[0], query.one.decode);
    if ('count' in query) return Number(range.count);
    if ('keys' in query) return { keys: range.kvs.map((kv) => this.#name(kv)), more: range.more };
    return { found: range.kvs.map((kv) => this.#found(kv, query.span.decode)), more: range.more };
  }

  #found(kv: KeyValue, decode: (json: unknown, key: string) => unknown): Found<unknown> {
    const version = this.#history.version(kv.mod_revision);
    return { key: this.#name(kv), record: decode(parsed(kv.value), kv.key.toString()), version };
  }

  /** The keys of a pool and a join come with every claim, as the same objects. */
  #keyOf(key: { readonly key: string }): Buffer {
    let bytes = this.#bytes.get(key);
    if (!bytes) {
      bytes = this.#key(key.key);
      this.#bytes.set(key, bytes);
    }
    return bytes;
  }

  /** That of a claim is said three times in a row: it is absent, it is put, and who has it instead. */
  #key(key: string): Buffer {
    if (this.#last?.key === key) return this.#last.bytes;
    const bytes = Buffer.from(this.#prefix + key);
    this.#last = { key, bytes };
    return bytes;
  }

  #name(kv: KeyValue): string {
    return kv.key.toString().slice(this.#prefix.length);
  }
}

/** Undefined where it is no JSON: whoever wrote it was none of us, and what that means is the decoder's to say. */
export function parsed(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString());
  } catch {
    return undefined;
  }
}
