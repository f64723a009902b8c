// The port to the record store: an ordered map of typed records, read at one revision, changed by guarded commits.
// Refuses to know what a record means. etcd/ implements it; so does the in-memory double of the tests.

/** A monotonic instant in milliseconds (the scale of `performance.now()`) by which a call must have ended. */
export type Deadline = number;

/**
 * The revision that last wrote a record, as etcd's mod_revision in decimal: never a number, it outgrows 2^53. Should the
 * store be set back to a backup, it names revisions anew, so that none that is remembered is met with other contents.
 */
export type Version = string;

/** Where one record lives, and how its JSON is understood. Keys are relative to IPAM_PREFIX and contain no wildcard. */
export interface Key<R> {
  readonly key: string;
  /** Total for kinds that may be skipped, throwing (`bad_record`) for those that may not. */
  readonly decode: (json: unknown, key: string) => R;
}

/** All keys `from <= key < to`, in the byte order of their UTF-8. */
export interface Span<R> {
  readonly from: string;
  readonly to: string;
  readonly decode: (json: unknown, key: string) => R;
}

export interface Found<R> {
  readonly key: string;
  readonly record: R;
  readonly version: Version;
}

/** One read. `last` asks for the greatest key of the span first. A `limit` of 0 means all. */
export type Query<R = unknown> =
  | { readonly one: Key<R> }
  | { readonly span: Span<R>; readonly limit: number; readonly last?: boolean }
  | { readonly keys: Span<R>; readonly limit: number }
  | { readonly count: Span<R> };

export type Answer<Q> = Q extends { one: Key<infer R> }
  ? Found<R> | undefined
  : Q extends { span: Span<infer R> }
    ? { readonly found: readonly Found<R>[]; readonly more: boolean }
    : Q extends { keys: Span<unknown> }
      ? { readonly keys: readonly string[]; readonly more: boolean }
      : Q extends { count: Span<unknown> }
        ? number
        : never;

export type Answers<Q extends readonly Query[]> = { -readonly [I in keyof Q]: Answer<Q[I]> };

/**
 * What must hold at the instant of the commit. `version: null` means: no such record. `newerThan`: none of the span that was
 * written since that version; what was there by then, or has gone since, does not matter.
 */
export type Condition =
  | { readonly key: { readonly key: string }; readonly version: Version | null }
  | { readonly none: Span<unknown>; readonly newerThan?: Version };

/**
 * `rests`: after so many ms, or somewhat more, the record goes by itself, unless it has been written again. Where the store
 * cannot see to that the record is removed at once: what is given back waits for nothing. `kept`: the same, for what is only
 * told of the change that it is written with, which is made without it where the store cannot see to its end.
 */
export type Write =
  | { readonly put: Key<unknown>; readonly record: object; readonly rests?: number; readonly kept?: number }
  | { readonly remove: Key<unknown> }
  | { readonly removeAll: Span<unknown> };

/** One transaction: all of `write` if all of `when`, otherwise nothing but the reads of `otherwise`. */
export interface Change<Q extends readonly Query[]> {
  readonly when: readonly Condition[];
  readonly write: readonly Write[];
  readonly otherwise: Q;
  /**
   * Names the record, among those put, that carries this change's token. Its presence makes the change a *grant*: it
   * also compares this process's own session, and when its answer is lost the store fences and looks for the token.
   * A change without witness must be harmless to find half-known: the caller decides anew from what it sees.
   */
  readonly witness?: { readonly key: Key<{ readonly token: string }>; readonly token: string };
  /**
   * Compares this process's own session without being a grant. A process whose node name belongs to another machine may
   * hold that machine's PoolIDs, as a clone does, and must not free by them.
   */
  readonly signed?: boolean;
  /**
   * Most losses are told by `otherwise` alone: nothing is read of why else it was lost, which is much of what a claim says. Whoever
   * cannot tell by it tries again without this.
   */
  readonly brief?: boolean;
  /** A grant of what is in use already, so that it is made also while the mark of a restored backup stands. */
  readonly puttingBack?: boolean;
}

/**
 * `certain`: a condition did not hold when the change arrived, and `seen` is what there was then. Else the answer of a change without
 * witness may have been lost: it may have been made, or may yet be, and `seen` is what there was some time later.
 */
export type Outcome<Q extends readonly Query[]> =
  | { readonly done: true; readonly version: Version }
  | { readonly done: false; readonly seen: Answers<Q>; readonly certain?: true };

/**
 * Errors of both calls: `deadline` or `unavailable` when the store did not answer in time, `denied`, `bad_record`,
 * `node_name_taken` (grants and signed changes only), `restored` (grants only, while the mark of a backup stands). `commit`
 * may throw an InDoubtError. Nothing is ever repeated blindly.
 */
export interface Store {
  /** All queries answered at one revision, linearizable: nothing committed before the call is missing. */
  read<const Q extends readonly Query[]>(queries: Q, by: Deadline): Promise<Answers<Q>>;
  commit<const Q extends readonly Query[]>(change: Change<Q>, by: Deadline): Promise<Outcome<Q>>;
  /** The highest revision any answer has carried, or undefined before the first. What is newer was not known here. */
  seen(): Version | undefined;
}
