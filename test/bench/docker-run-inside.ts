// Runs in the private host that docker-run.ts opens: an engine, a driver and an etcd, and pairs of the same command on a network
// of each. Prints all times as JSON.
import { Host } from '../support/host.js';
import { lingering } from '../support/image.js';
import type { Pairs } from './docker-run.js';

/** Before those that count. */
const WARMING = 5;
const NETWORKS = [
  ['builtin', 'default', '10.67.0.0/16'],
  ['ours', 'etcd-ipam', '10.66.0.0/16'],
] as const;

const pairs = Number(process.argv[2]);
{
  // As installed.
  await using host = await Host.start('bench', { IPAM_COOLDOWN: '30s', IPAM_HISTORY: '7d' });
  const docker = (...args: string[]) => host.engine.must(...args);
  for (const [name, driver, subnet] of NETWORKS)
    await docker('network', 'create', '--ipam-driver', driver, '--subnet', subnet, name);
  await docker('run', '--detach', '--name', 'lasting', 'busybox', ...lingering);
  const commands: Record<string, (network: string) => Promise<number>> = {
    'docker run --rm': (network) => timed(() => docker('run', '--rm', '--network', network, 'busybox', 'true')),
    'docker network connect': async (network) => {
      const ms = await timed(() => docker('network', 'connect', network, 'lasting'));
      await docker('network', 'disconnect', network, 'lasting');
      return ms;
    },
  };
  const all: Record<string, [number, number][]> = {};
  for (const [what, command] of Object.entries(commands)) {
    all[what] = [];
    for (let i = pairs > 1 ? -WARMING : 0; i < pairs; i++) {
      const pair: [number, number] = [0, 0];
      // Whoever comes second finds the caches warmer.
      for (const side of i % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const))
        pair[side] = await command(NETWORKS[side][0]);
      if (i >= 0) all[what].push(pair);
    }
  }
  const own = host.driver.log.filter(({ outcome, ms }) => outcome !== undefined && typeof ms === 'number');
  const spent = (call: string) => {
    const times = own.filter((line) => line.call === call).map(({ ms }) => ms as number);
    return `${call} ${times.sort((a, b) => a - b)[Math.floor(times.length / 2)]?.toFixed(1)} ms`;
  };
  console.error(`of ours, in the driver, median: ${['RequestAddress', 'ReleaseAddress'].map(spent).join(', ')}`);
  console.log(JSON.stringify(all satisfies Pairs));
}
process.exit(0);

async function timed(act: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await act();
  return performance.now() - began;
}
