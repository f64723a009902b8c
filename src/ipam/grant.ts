// What a granted request brings back: the thing, and how to give it back should nobody have received it.
import type { Prefix } from '../net/prefix.js';
import type { Deadline } from './store.js';

export interface Grant<R> {
  readonly reply: R;
  /** The pool that the address is of, where that is a sibling of the one that was asked. */
  readonly within?: Prefix | undefined;
  /** The node that had it, and is gone or has booted anew: should it come back, it is to learn that it has lost it. */
  readonly from?: string | undefined;
  /** Written by this grant and by no other; what an undo looks for. */
  readonly token: string;
  /** Transactions it took, the winning one included. */
  readonly attempts: number;
  /** How many of them lost what was to be had when it was chosen to somebody else; of a pool none are counted. */
  readonly races?: number;
  /** Safe to repeat. Takes back this very grant only, and puts back what it replaced. */
  undo(by: Deadline): Promise<void>;
}
