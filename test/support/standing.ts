// Who has a part in which local subnet, and which address: as etcd has it, and as engines and kernels show it, in the same
// words. Any line that only one of the two has is a leak, or an address that nobody keeps. Refuses to know how either came about.
import { entries } from './etcd.js';
import type { Hosts, LanHost } from './hosts.js';

const PREFIX = '/etcd-ipam/';
const DRIVER = 'etcd-ipam';

interface Written {
  readonly kind?: string;
  readonly node?: string;
  readonly join?: string;
}

/** All that these nodes have in etcd, sorted: `c in 10.66.0.0/24` for a join, `c has 10.66.0.2` for a claim. */
export async function recorded(etcd: Hosts['etcd'], nodes: readonly string[]): Promise<string[]> {
  const all = (await entries(etcd, PREFIX)).map(({ key, value }) => ({
    path: key.slice(PREFIX.length).split('/'),
    value: value as Written,
  }));
  const joins = new Map(all.flatMap(({ path, value }) => (path[0] === 'joins' ? [[path.at(-1), value]] : [])));
  const held = new Set(all.flatMap(({ path }) => (path[0] === 'holders' ? [path.slice(1, -1).join('/')] : [])));
  return all
    .flatMap(({ path: [room, space, family, subnet = '', address = '', join], value }) => {
      const by = room === 'holders' ? join : value.join;
      const node = value.node ?? joins.get(by)?.node ?? 'nobody';
      const left = joins.get(by)?.node === node ? '' : ', of an ended network';
      const shared = value.kind === 'shared';
      if (room === 'joins') return [{ node, line: `${node} in ${narrow(subnet)}` }];
      if (room === 'holders') return [{ node, line: `${node} shares ${narrow(address)}${left}` }];
      if (room !== 'claims' || (shared && held.has(`${space}/${family}/${subnet}/${address}`))) return [];
      return [{ node, line: `${node} has ${narrow(address)}${shared ? ' as nobody’s share' : left}` }];
    })
    .filter(({ node }) => node === 'nobody' || nodes.includes(node))
    .map(({ line }) => line)
    .sort();
}

/** The same of these hosts' networks and of the containers that run on them. */
export async function running(hosts: Hosts, on: readonly LanHost[]): Promise<string[]> {
  const lines = await Promise.all(
    on.map(async (host) => {
      const node = host.records.node;
      const containers = await hosts.running(host);
      const networks = (await networksOf(host)).flatMap(({ Subnet, Gateway }) => [
        `${node} in ${Subnet}`,
        `${node} shares ${Gateway}`,
      ]);
      return [...networks, ...containers.map(({ address }) => `${node} has ${address}`)];
    }),
  );
  return lines.flat().sort();
}

interface Network {
  readonly ConfigOnly: boolean;
  readonly IPAM: {
    readonly Driver: string;
    readonly Config: readonly { readonly Subnet: string; readonly Gateway: string }[];
  };
}

/** Those of our driver that are the host's own. Of a swarm's network that it takes no part in a manager knows no driver. */
async function networksOf({ engine }: LanHost): Promise<Network['IPAM']['Config'][number][]> {
  const ids = (await engine.must('network', 'ls', '--quiet', '--no-trunc')).split('\n');
  const all = JSON.parse(await engine.must('network', 'inspect', ...ids)) as Network[];
  return all.filter(({ ConfigOnly, IPAM }) => !ConfigOnly && IPAM.Driver === DRIVER).flatMap(({ IPAM }) => IPAM.Config);
}

/** `010.066.000.002` as `10.66.0.2`, `010.066.000.000-24` as `10.66.0.0/24`. */
function narrow(address: string): string {
  return address.replace(/\d+/g, (digits) => String(Number(digits))).replace('-', '/');
}
