// The parts of a request's path and query, as what they stand for; refuses what is not written as it should be.
import type { RouterContext } from '@koa/router';
import { IpamError } from '../ipam/errors.js';
import type { Subnet } from '../ipam/keyspace.js';
import { isSpace } from '../ipam/spaces.js';
import { type Address, parseAddress } from '../net/address.js';
import { contains, formatPrefix, isInside, type Prefix, parsePrefix } from '../net/prefix.js';

type Asked = Pick<RouterContext, 'params' | 'query'>;

export function subnetAt({ params: { space, network, length } }: Asked): Subnet {
  return subnetNamed(space!, `${network}/${length}`);
}

export function subnetNamed(space: string, pool: string): Subnet {
  if (!isSpace(space)) throw new IpamError('unknown_space', `"${space}" is no address space`);
  return { space, prefix: parsePrefix(pool) };
}

export function textAt({ query }: Asked, name: string): string | undefined {
  const text = query[name];
  if (Array.isArray(text)) throw new IpamError('bad_request', `${name} is given more than once`);
  return text === '' ? undefined : text;
}

export function numberAt(asked: Asked, name: string, otherwise: number, most: number): number {
  const text = textAt(asked, name);
  if (text === undefined) return otherwise;
  const number = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > most)
    throw new IpamError('bad_request', `${name} is "${text}": a number from 1 to ${most}`);
  return number;
}

/** The pool itself, where no block of it is named. */
export function blockAt(asked: Asked, { prefix }: Subnet): Prefix {
  const text = textAt(asked, 'of');
  if (text === undefined) return prefix;
  const of = parsePrefix(text);
  if (of.family === prefix.family && isInside(of, prefix)) return of;
  throw new IpamError('bad_request', `${formatPrefix(of)} is no block of ${formatPrefix(prefix)}`);
}

export function afterAt(asked: Asked, of: Prefix): Address | undefined {
  const text = textAt(asked, 'after');
  if (text === undefined) return undefined;
  const after = parseAddress(text);
  if (contains(of, after)) return after;
  throw new IpamError('bad_request', `after is "${text}": an address of ${formatPrefix(of)}`);
}
