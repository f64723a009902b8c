// What the JSON API answers, as schemas: the page's types and the OpenAPI document are made of them. Knows no store.
import { z } from 'zod';
import { CLAIM_KINDS } from '../ipam/records.js';

const text = z.string();
const count = z.int().min(0);
/** As exact as a double beyond 2^53: an IPv6 subnet has more. */
const amount = z.number().min(0);
const time = z.string().describe('ISO 8601');
const kind = z.enum(CLAIM_KINDS);

export const Problem = z.object({ problem: text.describe('one sentence for a person') });

export const Overview = z.object({
  node: text.describe('the host that answers'),
  version: text,
  problem: text.nullable().describe('what keeps this host from granting addresses'),
  etcdAway: text.nullable().describe('why etcd is known to be away'),
  brake: z.object({ silent: count, of: count, since: time }).optional(),
  restored: text.optional().describe('that etcd was set back to a backup, and what is not granted until it is settled'),
});

export const Trend = z.object({
  points: z.array(z.tuple([count, amount])).describe('seconds since 1970, addresses in use; thinned, the oldest first'),
  perHour: z.number().nullable().describe('the slope of the last hour at most; null before there is enough of it'),
  fullAt: time
    .nullable()
    .describe(
      'when the pool is full at that rate; null where it does not rise, or has not been watched for long enough to say',
    ),
});

const rule = { comment: text.optional() };
export const Rules = z.looseObject({
  excluded: z.array(z.looseObject({ from: text, to: text, ...rule })).optional(),
  reserved: z.array(z.looseObject({ address: text, mac: text.optional(), name: text.optional(), ...rule })).optional(),
  note: text.optional(),
  warnAt: z.number().optional().describe('how full is too full, in percent of what can be given'),
});

export const Pool = z.object({
  space: text,
  pool: text.describe('CIDR'),
  size: amount.describe('addresses that an interface may have'),
  used: count.describe('those of them that have a claim, of whatever kind'),
  cooling: count
    .nullable()
    .describe('those of them that were released and only rest; null where that would take too many claims to read'),
  free: amount.describe('those that whoever asks for any may get'),
  nodes: count.describe('hosts that have a part in it'),
  gateway: text.optional(),
  rules: Rules.optional(),
  unreadable: z.boolean().optional().describe('its record cannot be read: what it says of rules is not known'),
  trend: Trend,
});
export const Pools = z.object({ pools: z.array(Pool) });
export const PoolAlone = Pool.extend({ members: z.array(text).describe('the hosts that have a part in it') });

export const Claim = z.object({
  space: text,
  pool: text,
  address: text,
  kind,
  node: text.optional(),
  name: text.optional(),
  mac: text.optional(),
  join: text.optional(),
  from: text.optional().describe('the node that had it and was gone'),
  since: time,
});
export const Claims = z.object({
  claims: z.array(Claim),
  next: text.nullable().describe('to be given as `after` for what comes next; null: that was all'),
});

export const Addresses = z.object({
  first: text.describe('offsets count from this address'),
  size: amount.describe('addresses of the block that was asked for'),
  nodes: z.array(text),
  offset: z.array(count).describe('each as the distance from the one before, the first from `first`'),
  kind: text.describe('one digit per claim, the place of its kind in `kinds`'),
  kinds: z.array(kind),
  node: z.array(z.int()).describe('the place in `nodes`; -1: no node'),
  next: text.nullable(),
});

export const Blocks = z.object({
  of: text.describe('the block that was asked for'),
  length: count.describe('the prefix length of the parts'),
  used: z.array(count).describe('claims in each of the parts, in their order'),
  occupied: text.nullable().describe('the smallest block of `of` with all its claims in it'),
});

const standing = z.enum(['alive', 'silent', 'gone', 'evicted']);
export const Nodes = z.object({
  nodes: z.array(
    z.object({
      node: text,
      state: standing,
      since: time.optional(),
      silence: count.describe('rounds without a session, of 30 s each'),
      joins: count,
      machine: text,
    }),
  ),
});

const tenure = z.object({
  kind,
  role: text.optional(),
  node: text.optional(),
  join: text.optional(),
  epoch: count.optional(),
  name: text.optional(),
  mac: text.optional(),
  since: time,
  until: time.optional(),
  how: text.optional().describe('how it ended'),
});

export const Who = z.object({
  address: text,
  in: z.array(
    z.object({
      space: text,
      pool: text,
      claim: Claim.optional(),
      holders: z.array(z.object({ node: text.optional(), role: text, join: text, since: time })),
      state: standing.optional(),
      reserved: text.optional().describe('why nobody can have it'),
      rule: z
        .object({ kind: z.enum(['excluded', 'reserved']), for: text.optional(), comment: text.optional() })
        .optional()
        .describe('what an operator has laid down about it'),
      removed: z.literal(true).optional().describe('there is no such pool any more, and only the past is known'),
      past: z.array(tenure).describe('who had it before, the latest first'),
    }),
  ),
});

export const Search = z.object({
  claims: z.array(Claim),
  nodes: z.array(text),
  pools: z.array(z.object({ space: text, pool: text })),
  complete: z.boolean().describe('false: there may be more'),
});

const change = z.object({
  what: z.enum(['claim', 'pool', 'join', 'node', 'session', 'brake', 'restored', 'rules']),
  gone: z.boolean(),
  /** Not there before. */
  fresh: z.boolean(),
  space: text.optional(),
  pool: text.optional(),
  address: text.optional(),
  kind: kind.optional(),
  node: text.optional(),
  name: text.optional(),
  mac: text.optional(),
});
export const Changes = z.object({ at: time, changes: z.array(change) });

export type Overview = z.infer<typeof Overview>;
export type Trend = z.infer<typeof Trend>;
export type Rules = z.infer<typeof Rules>;
export type Pool = z.infer<typeof Pool>;
export type Pools = z.infer<typeof Pools>;
export type PoolAlone = z.infer<typeof PoolAlone>;
export type Claim = z.infer<typeof Claim>;
export type Claims = z.infer<typeof Claims>;
export type Addresses = z.infer<typeof Addresses>;
export type Blocks = z.infer<typeof Blocks>;
export type Nodes = z.infer<typeof Nodes>;
export type Who = z.infer<typeof Who>;
export type Search = z.infer<typeof Search>;
export type Change = z.infer<typeof change>;
export type Changes = z.infer<typeof Changes>;
