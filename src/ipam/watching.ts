// The port to what changes in the record store: every revision in its order, or the word that some were missed. Refuses to
// know what a record means. etcd/ implements it.
import type { Version } from './store.js';

/** One key that a revision wrote or removed, relative to IPAM_PREFIX, with its JSON as text. */
export interface Changed {
  readonly key: string;
  /** Absent: it was removed, or went by itself. */
  readonly text?: string;
  /** Absent: it was not there, or what was there before is not kept any more. */
  readonly before?: string;
}

/**
 * What one revision changed; the first one is empty, and says from where on nothing is missing. `missed`: why what happened
 * up to that version cannot be told, so that what is there has to be read anew.
 */
export type Revised =
  | { readonly version: Version; readonly changed: readonly Changed[] }
  | { readonly version: Version; readonly missed: string };

export interface WatchOptions {
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Begins behind that version, which this process has been told of; without, now. */
  readonly after?: Version;
  /** Hears why nothing comes, at each attempt, and `undefined` when it comes again. */
  readonly report?: (problem: string | undefined) => void;
}

/** Waits while the store is away. Throws `denied` alone: all else may pass. */
export type Watching = (options: WatchOptions) => AsyncGenerator<Revised, void, undefined>;
