// The PoolID: all that a later process, of any version, must know of a join. Engines store it for years.
import { equal, formatPrefix, isInside, type Prefix, parsePrefix } from '../net/prefix.js';
import type { Subnet } from './keyspace.js';

/** One join of a subnet, with the range its dynamic choice is limited to. */
export interface PoolRef extends Subnet {
  readonly range?: Prefix;
  readonly join: string;
}

const SHAPE =
  /^([a-z0-9][a-z0-9.-]{0,63})\/([0-9a-f.:]+\/[0-9]{1,3})\?(?:range=([0-9a-f.:]+\/[0-9]{1,3})&)?join=([0-9a-f]{16})$/;

/** `local/10.66.0.0/24?range=10.66.0.128/25&join=9f3c5a7e11d00b42` */
export function formatPoolId({ space, prefix, range, join }: PoolRef): string {
  return `${space}/${formatPrefix(prefix)}?${range ? `range=${formatPrefix(range)}&` : ''}join=${join}`;
}

/** Undefined for text that this driver never wrote. */
export function parsePoolId(text: string): PoolRef | undefined {
  const match = SHAPE.exec(text);
  if (!match) return undefined;
  try {
    const [, space, pool, range, join] = match as unknown as [string, string, string, string | undefined, string];
    const ref: PoolRef = { space, prefix: parsePrefix(pool), ...(range && { range: parsePrefix(range) }), join };
    if (ref.range && (!isInside(ref.range, ref.prefix) || equal(ref.range, ref.prefix))) return undefined;
    return formatPoolId(ref) === text ? ref : undefined;
  } catch {
    return undefined;
  }
}
