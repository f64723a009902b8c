// An operator's commands while eight hosts take and give back addresses as fast as they are let: what is excluded or reserved
// is handed out no more from the moment that a command has ended.
import { expect } from 'chai';
import { loadSettings } from '../../src/config.js';
import { IpamError } from '../../src/ipam/errors.js';
import type { RuleChange } from '../../src/ipam/rule-changes.js';
import { parseAddress } from '../../src/net/address.js';
import { parsePrefix } from '../../src/net/prefix.js';
import { holds, parseRange } from '../../src/net/range.js';
import { withStore } from '../../src/operator.js';
import { rulePool } from '../../src/ops/rules.js';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { eventually, run, sleep } from '../support/process.js';
import { AS } from '../support/whole-driver.js';

const PROCESSES = 8;
/** Containers that a host has at a time: so few that a range is often free of them. */
const EACH = 2;
const SUBNET = '10.66.0.0/23';
const SLOW = { IPAM_DEADLINE: '30s' };

interface Given {
  readonly ip: string;
  readonly name: string;
  readonly at: number;
}

/** In force from the end of one command to the beginning of another. */
interface InForce {
  readonly what: string;
  readonly addresses: string;
  readonly for?: string;
  readonly from: number;
  until: number;
}

describe('rules over eight processes', function () {
  this.timeout(240_000);
  let etcd: EtcdFixture;
  let drivers: DriverProcess[] = [];
  let pools: string[] = [];
  const given: Given[] = [];
  const refusals = new Map<string, number>();
  let over = false;

  before(async () => {
    etcd = await startEtcd();
    drivers = await Promise.all(
      Array.from({ length: PROCESSES }, (_, i) => DriverProcess.start(etcd.url, `node-${i}`, EACH + 1, SLOW)),
    );
    const ask = { AddressSpace: 'local', Pool: SUBNET, SubPool: '', Options: {}, V6: false };
    pools = await Promise.all(
      drivers.map(async ({ client }) => (await client.call('/IpamDriver.RequestPool', ask)).json.PoolID as string),
    );
  });
  after(async () => {
    over = true;
    await Promise.all(drivers.map((driver) => driver.stop()));
    await etcd?.stop();
  });

  /** The address, or undefined where it was refused. */
  async function start(i: number, name: string, ip = ''): Promise<string | undefined> {
    const body = { PoolID: pools[i], Address: ip, Options: AS.named(name) };
    const { status, json, text } = await drivers[i]!.client.call('/IpamDriver.RequestAddress', body);
    const at = performance.now();
    if (status !== 200) {
      const why = /is (excluded|reserved|held)/.exec(text)?.[1];
      if (!why) throw new Error(text);
      refusals.set(why, (refusals.get(why) ?? 0) + 1);
      return undefined;
    }
    const address = (json.Address as string).split('/')[0]!;
    given.push({ ip: address, name, at });
    return address;
  }

  async function stop(i: number, Address: string): Promise<void> {
    await drivers[i]!.client.call('/IpamDriver.ReleaseAddress', { PoolID: pools[i], Address });
  }

  /** Containers that come and go, every third of them with an `--ip` of its own. */
  async function life(i: number, slot: number): Promise<void> {
    for (let n = 0; !over; n++) {
      const number = 1 + ((i * 37 + slot * 101 + n * 13) % 254);
      const ip = await start(i, `c${i}.${slot}.${n}`, n % 3 === 0 ? `10.66.0.${number}` : '');
      await sleep(5);
      if (ip) await stop(i, ip);
    }
  }

  /** The first as an operator types it; what comes after that, by the code of the command, without waiting for a process. */
  let typed = 0;
  async function rule(change: RuleChange, ...args: string[]): Promise<void> {
    if (typed++ < 2) {
      const { code, stderr } = await run(process.execPath, ['dist/main.js', args[0]!, SUBNET, ...args.slice(1)], {
        env: { ETCD_ENDPOINTS: etcd.url },
      });
      if (code !== 0) throw new IpamError(code === 1 ? 'in_use' : 'internal', stderr);
      return;
    }
    const settings = { ...loadSettings({}, () => []), etcd: { endpoints: [etcd.url] } };
    const options = { keep: false, dryRun: false, now: new Date(), token: String(typed), swarm: '' };
    const subnet = { space: 'local', prefix: parsePrefix(SUBNET) };
    await withStore(settings, (store, by) => rulePool(store, subnet, change, options, by));
  }

  /** Whoever is in the way goes soon. Resolves with the moment in which the command had ended. */
  async function insisting(change: RuleChange, ...args: string[]): Promise<number> {
    for (;;) {
      try {
        await rule(change, ...args);
        return performance.now();
      } catch (error) {
        if (!(error instanceof IpamError) || !['in_use', 'contended'].includes(error.code)) throw error;
      }
    }
  }

  it('not one address is handed out against a rule once the command has ended', async () => {
    const lives = drivers.flatMap((_, i) => Array.from({ length: EACH }, (_, slot) => life(i, slot)));
    const all: InForce[] = [];
    for (let round = 0; round < 5; round++) {
      const addresses = `10.66.0.${1 + round * 40}-10.66.0.${12 + round * 40}`;
      const range = parseRange(addresses);
      const excluded = await insisting({ kind: 'exclude', range }, 'exclude', addresses);
      all.push({ what: 'excluded', addresses, from: excluded, until: Number.POSITIVE_INFINITY });
      const ip = `10.66.0.${30 + round * 40}`;
      const name = `web-${round}`;
      const kept = { kind: 'reserve', address: parseAddress(ip), name } as const;
      const reserved = await insisting(kept, 'reserve', ip, '--name', name);
      all.push({ what: 'reserved', addresses: ip, for: name, from: reserved, until: Number.POSITIVE_INFINITY });
      for (const i of [round, (round + 3) % PROCESSES]) {
        expect(await start(i, name), `${name} on node-${i}`).to.equal(ip);
        await stop(i, ip);
      }
      const old = all[round * 2 - 4];
      if (!old) continue;
      old.until = performance.now();
      await rule({ kind: 'include', range: parseRange(old.addresses) }, 'exclude', old.addresses, '--remove');
    }
    // The first exclusion was taken back: its range is given again.
    const [first] = all as [InForce];
    const isOf = ({ addresses }: InForce, ip: string) => holds(parseRange(addresses), parseAddress(ip));
    const again = () => given.some(({ ip, at }) => at > first.until && isOf(first, ip)) && given.length > 500;
    await eventually('the range that was given back is given again', async () => again(), 120_000, 50);
    const both = () => refusals.has('excluded') && refusals.has('reserved');
    await eventually('an excluded and a reserved address were asked for by number', async () => both(), 120_000, 50);
    over = true;
    await Promise.all(lives);

    const against = given.flatMap((one) =>
      all
        .filter((rule) => one.at > rule.from && one.at < rule.until && one.name !== rule.for)
        .filter((rule) => isOf(rule, one.ip))
        .map(({ what, from }) => `${one.ip} to ${one.name}, ${what} ${Math.round(one.at - from)} ms before`),
    );
    expect(against).to.deep.equal([]);
    const told = [...refusals].map(([why, count]) => `${count} ${why}`).join(', ');
    console.log(`      ${given.length} given, refused by number: ${told}`);
    expect([...refusals.keys()]).to.include.members(['excluded', 'reserved']);
  });
});
