// The PoolID: all that a later process, of any version, must know of a join. Engines store it for years.
import { equal, formatPrefix, isInside, type Prefix, parsePrefix } from '../net/prefix.js';
import type { Subnet } from './keyspace.js';
import { isGlobal } from './spaces.js';

/** One join of a subnet, with the range its dynamic choice is limited to. `epoch`: in a global space, and only there. */
export interface PoolRef extends Subnet {
  readonly range?: Prefix;
  readonly epoch?: number;
  readonly join: string;
}

const NAME = '(?:\\.[a-z0-9-]{1,32})?';
const SHAPE = new RegExp(
  `^(local${NAME}|global${NAME}(?:@[A-Za-z0-9_-]{1,63})?)/([0-9a-f.:]+/[0-9]{1,3})\\?` +
    '(?:range=([0-9a-f.:]+/[0-9]{1,3})&)?(?:epoch=([1-9][0-9]{0,14})&)?join=([0-9a-f]{16})$',
);

/** `local/10.66.0.0/24?range=10.66.0.128/25&join=9f3c5a7e11d00b42`, `global/10.80.0.0/24?epoch=3&join=…` */
export function formatPoolId({ space, prefix, range, epoch, join }: PoolRef): string {
  const limits = `${range ? `range=${formatPrefix(range)}&` : ''}${epoch === undefined ? '' : `epoch=${epoch}&`}`;
  return `${space}/${formatPrefix(prefix)}?${limits}join=${join}`;
}

/** Every call brings one, and few are in use: reading one costs more than the rest of what a claim takes to be worded. */
const READ = new Map<string, PoolRef>();
const MOST_READ = 1_000;

/** Undefined for text that this driver never wrote. */
export function parsePoolId(text: string): PoolRef | undefined {
  const known = READ.get(text);
  if (known) return known;
  const ref = read(text);
  if (READ.size >= MOST_READ) READ.clear();
  if (ref) READ.set(text, ref);
  return ref;
}

function read(text: string): PoolRef | undefined {
  const match = SHAPE.exec(text);
  if (!match) return undefined;
  try {
    const [, space, pool, range, epoch, join] = match as unknown as [string, string, string, string?, string?, string?];
    const ref: PoolRef = {
      space,
      prefix: parsePrefix(pool),
      ...(range && { range: parsePrefix(range) }),
      ...(epoch && { epoch: Number(epoch) }),
      join: join!,
    };
    if (isGlobal(space) !== (ref.epoch !== undefined)) return undefined;
    if (ref.range && (!isInside(ref.range, ref.prefix) || equal(ref.range, ref.prefix))) return undefined;
    return formatPoolId(ref) === text ? ref : undefined;
  } catch {
    return undefined;
  }
}
