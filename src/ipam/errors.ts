// The closed set of what can go wrong. Knows no wire and no store; docker/ turns a kind into a status.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix, type Prefix } from '../net/prefix.js';
import { plain } from './plain.js';

/** Kinds after moby's errdefs: what the caller can do about it. */
export type Kind = 'invalid' | 'conflict' | 'exhausted' | 'unavailable' | 'broken';

/** Every code there is, with its kind. Adding a code without a kind does not compile. */
export const KINDS = {
  bad_request: 'invalid',
  bad_pool: 'invalid',
  bad_address: 'invalid',
  bad_rule: 'invalid',
  unknown_space: 'invalid',
  unknown_pool: 'invalid',
  unknown_node: 'invalid',
  outside_pool: 'invalid',
  not_assignable: 'invalid',
  overlap: 'conflict',
  taken: 'conflict',
  excluded: 'conflict',
  reserved: 'conflict',
  in_use: 'conflict',
  contended: 'conflict',
  superseded: 'conflict',
  node_name_taken: 'conflict',
  node_alive: 'conflict',
  pool_exhausted: 'exhausted',
  no_pool_left: 'exhausted',
  unavailable: 'unavailable',
  deadline: 'unavailable',
  restored: 'unavailable',
  bad_record: 'broken',
  denied: 'broken',
  internal: 'broken',
} as const satisfies Record<string, Kind>;

export type Code = keyof typeof KINDS;

/**
 * A refusal or a failure that Docker's user reads as one sentence: lower case, without full stop, naming the value and
 * the limit ("10.9.0.7 is outside pool 10.8.0.0/16"). Names in it are others' text: it stays one line.
 */
export class IpamError extends Error {
  override readonly name: string = 'IpamError';
  constructor(
    readonly code: Code,
    message: string,
    options?: ErrorOptions,
  ) {
    super(plain(message), options);
  }

  get kind(): Kind {
    return KINDS[this.code];
  }
}

/**
 * A commit whose answer never came and that could not be recognised before the call's deadline. `settled` tells later,
 * once no stuck copy of the transaction can land any more: true if it had committed.
 */
export class InDoubtError extends IpamError {
  override readonly name = 'InDoubtError';
  constructor(
    message: string,
    readonly settled: Promise<boolean>,
    options?: ErrorOptions,
  ) {
    super('unavailable', message, options);
  }
}

export function outside(address: Address, pool: Prefix): IpamError {
  const family = address.family === pool.family ? '' : `IPv${address.family} address `;
  return new IpamError('outside_pool', `${family}${formatAddress(address)} is outside pool ${formatPrefix(pool)}`);
}
