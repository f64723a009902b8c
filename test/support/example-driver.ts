// The smallest driver a real engine is content with, on nothing but what `etcd-ipam/docker` offers: IPv4, in memory,
// lowest free address, one automatic pool.
import { type Ipam, serve } from '../../src/docker/index.js';

const toNumber = (ip: string) => ip.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
const toText = (ip: number) => [24, 16, 8, 0].map((shift) => (ip >>> shift) & 255).join('.');

export function exampleDriver(automatic = '10.200.0.0/24'): Ipam {
  const pools = new Map<string, { first: number; bits: number; taken: Set<number> }>();
  return {
    getCapabilities: () => ({ requiresMacAddress: false, requiresRequestReplay: false }),
    getDefaultAddressSpaces: () => ({ local: 'example-local', global: 'example-global' }),
    async requestPool({ addressSpace, pool }) {
      const [address = '', prefix = ''] = (pool || automatic).split('/');
      const bits = Number(prefix);
      const first = toNumber(address) - (toNumber(address) % 2 ** (32 - bits));
      const poolId = `${addressSpace}/${toText(first)}/${bits}`;
      if (pool === '' && pools.has(poolId)) throw new Error(`no pool left: ${automatic} is in use`);
      if (!pools.has(poolId)) pools.set(poolId, { first, bits, taken: new Set() });
      return { poolId, pool: `${toText(first)}/${bits}` };
    },
    async releasePool({ poolId }) {
      pools.delete(poolId);
    },
    async requestAddress({ poolId, address }, call) {
      const pool = pools.get(poolId);
      if (pool === undefined) throw new Error(`pool ${poolId} is unknown`);
      let granted = address === '' ? pool.first + 1 : toNumber(address);
      while (address === '' && pool.taken.has(granted)) granted++;
      if (granted <= pool.first || granted >= pool.first + 2 ** (32 - pool.bits) - 1) {
        throw new Error(address === '' ? `pool ${poolId} is full` : `${address} is outside pool ${poolId}`);
      }
      if (pool.taken.has(granted)) throw new Error(`${address} is taken`);
      pool.taken.add(granted);
      call.onUndelivered(async () => void pool.taken.delete(granted));
      return { address: `${toText(granted)}/${pool.bits}` };
    },
    async releaseAddress({ poolId, address }) {
      pools.get(poolId)?.taken.delete(toNumber(address));
    },
  };
}

/** `serveExample('example')` is a whole plugin: `docker network create --ipam-driver example …` works with it. */
export const serveExample = (nameOrPath: string) => serve(exampleDriver()).serveUnix(nameOrPath);
