// From the words of an engine to what the allocator understands, and strict about them. Decides nothing.

import type { AddressAsk } from '../ipam/claiming.js';
import { type Code, IpamError, outside } from '../ipam/errors.js';
import { plain } from '../ipam/plain.js';
import { type PoolRef, parsePoolId } from '../ipam/pool-id.js';
import type { PoolAsk } from '../ipam/pools.js';
import { globalSpace, isGlobal, localSpace } from '../ipam/spaces.js';
import { type Address, BITS, NetError, parseAddress, shortened } from '../net/address.js';
import { parseMac } from '../net/mac.js';
import {
  contains,
  equal,
  formatPrefix,
  intersect,
  isInside,
  type Prefix,
  parsePrefix,
  rangeOf,
  usable,
} from '../net/prefix.js';
import { specialIn } from '../net/special.js';
import type { AddressRequest, AddressSpaces, Options, PoolRequest } from './ipam.js';

export const SPACES: AddressSpaces = { local: 'local', global: 'global' };

/** Keys of libnetwork (netlabel/labels.go, ipamapi/labels.go); the name comes from engines 29 on. */
const TYPE = 'RequestAddressType';
const GATEWAY = 'com.docker.network.gateway';
const NAME = 'com.docker.network.endpoint.name';
const MAC = 'com.docker.network.endpoint.macaddress';
const SERIAL = 'com.docker.network.ipam.serial';
/** Ours: `--ipam-opt`. */
export const OPTIONS = ['space', 'aux'] as const;

const SPACE_NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
const LONGEST_NAME = 255;

/** `swarm`: IPAM_SWARM. Errors: unknown_space, bad_pool, bad_address, bad_request. */
export function poolAsk(request: PoolRequest, swarm: string): PoolAsk {
  const space = spaceOf(request, swarm);
  // Auxiliary addresses are a matter of the nodes: a leader is not told them.
  const shared = isGlobal(space) ? [] : sharedOf(request.options);
  return {
    ...subnetOf(request, space, shared),
    ...(!isGlobal(space) && isManaged(request.options) && { managed: true }),
  };
}

/** The swarm's agent sends no options where there are none, or those of the leader; an engine's own network always some. */
function isManaged(options: Options): boolean {
  return options === null || options.has(SERIAL);
}

function subnetOf(request: PoolRequest, space: string, shared: Address[]): PoolAsk {
  if (request.pool === '') {
    if (request.subPool !== '')
      throw new IpamError(
        'bad_pool',
        `range ${shortened(request.subPool)} needs a pool: pass --subnet with --ip-range`,
      );
    return { space, pool: { any: request.v6 ? 6 : 4 }, shared };
  }
  const pool = door('bad_pool', 'pool', () => parsePrefix(request.pool));
  if (pool.first === 0n && request.pool.startsWith(pool.family === 4 ? '0.0.0.0/' : '::/')) {
    const longest = BITS[pool.family] - 2;
    if (pool.length < 1 || pool.length > longest) {
      throw new IpamError(
        'bad_pool',
        `pool ${request.pool} asks for any network of /${pool.length}; the size must be between /1 and /${longest}`,
      );
    }
    if (request.subPool !== '')
      throw new IpamError(
        'bad_pool',
        `range ${shortened(request.subPool)} needs a pool that is known beforehand, not ${request.pool}`,
      );
    return { space, pool: { any: pool.family, length: pool.length }, shared };
  }
  const special = specialIn(pool);
  if (special)
    throw new IpamError('bad_pool', `pool ${formatPrefix(pool)} holds addresses that no host can have: ${special}`);
  const stray = shared.find((address) => !contains(pool, address));
  if (stray) throw outside(stray, pool);
  const range = request.subPool === '' ? undefined : rangeIn(pool, request.subPool);
  return { space, pool, ...(range && { range }), shared };
}

/** `named`: its engine names whatever is for a container. Errors: unknown_pool, outside_pool, bad_address, bad_request. */
export function addressAsk(request: AddressRequest, named: boolean): AddressAsk {
  const pool = knownPool(request.poolId);
  const address =
    request.address === '' ? undefined : door('bad_address', 'address', () => parseAddress(request.address));
  const gateway = request.options?.get(TYPE) === GATEWAY;
  // Only a leader may ask one pool for an address of another.
  if (isGlobal(pool.space) && !gateway) return { pool, address, purpose: 'swarm' };
  if (address && !contains(pool.prefix, address)) throw outside(address, pool.prefix);
  if (gateway) return { pool, address, purpose: 'gateway' };
  const name = nameOf(request.options);
  const mac = macOf(request.options);
  if (name || mac || !address) return { pool, address, purpose: 'endpoint', name, mac };
  return { pool, address, purpose: named ? 'aux' : 'unsure' };
}

/** Undefined where there cannot be anything to release. */
export function releaseAsk(request: {
  readonly poolId: string;
  readonly address: string;
}): { pool: PoolRef; address: Address } | undefined {
  const pool = parsePoolId(request.poolId);
  try {
    const address = parseAddress(request.address);
    return pool && (isGlobal(pool.space) || contains(pool.prefix, address)) ? { pool, address } : undefined;
  } catch {
    return undefined;
  }
}

function spaceOf({ addressSpace, options }: PoolRequest, swarm: string): string {
  const known = [SPACES.local, SPACES.global];
  if (!known.includes(addressSpace)) {
    throw new IpamError(
      'unknown_space',
      `address space "${shortened(addressSpace)}" is not known: this driver serves ${known.join(' and ')}`,
    );
  }
  const name = options?.get('space') ?? '';
  if (options?.has('space') && (!SPACE_NAME.test(name) || known.includes(name))) {
    throw new IpamError(
      'bad_request',
      `--ipam-opt space=${shortened(name)} is not a name of 1 to 32 characters of a-z, 0-9 and -, other than local and global`,
    );
  }
  return addressSpace === SPACES.global ? globalSpace(name, swarm) : localSpace(name);
}

function sharedOf(options: Options): Address[] {
  const text = options?.get('aux') ?? '';
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => door('bad_address', '--ipam-opt aux', () => parseAddress(part)));
}

function rangeIn(pool: Prefix, text: string): Prefix | undefined {
  const range = door('bad_pool', 'range', () => parsePrefix(text));
  if (!isInside(range, pool))
    throw new IpamError('bad_pool', `range ${formatPrefix(range)} is not inside pool ${formatPrefix(pool)}`);
  if (equal(range, pool)) return undefined;
  const { from, to } = intersect(rangeOf(range), usable(pool));
  if (to < from)
    throw new IpamError('bad_pool', `range ${formatPrefix(range)} of pool ${formatPrefix(pool)} has no usable address`);
  return range;
}

function knownPool(poolId: string): PoolRef {
  const pool = parsePoolId(poolId);
  if (!pool)
    throw new IpamError(
      'unknown_pool',
      `pool id ${JSON.stringify(poolId.slice(0, 120))} was not made by this driver; re-create the network`,
    );
  return pool;
}

function nameOf(options: Options): string | undefined {
  const name = options?.get(NAME);
  if (name !== undefined && name.length > LONGEST_NAME) {
    throw new IpamError(
      'bad_request',
      `the endpoint name has ${name.length} characters; at most ${LONGEST_NAME} are allowed`,
    );
  }
  // Docker's own rule for names is stricter; what is recorded stands in tables and in the sentences of others.
  if (name !== undefined && plain(name) !== name)
    throw new IpamError(
      'bad_request',
      `the endpoint name "${shortened(name)}" has a control character or a line break`,
    );
  return name === '' ? undefined : name;
}

function macOf(options: Options): string | undefined {
  const mac = options?.get(MAC);
  return mac ? door('bad_request', '', () => parseMac(mac)) : undefined;
}

function door<T>(code: Code, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof NetError) throw new IpamError(code, `${what} ${error.message}`.trimStart(), { cause: error });
    throw error;
  }
}
