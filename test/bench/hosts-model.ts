// What a cluster asks of etcd, computed from what single things cost: 1,000 hosts with 100 containers each, or others. Measures
// nothing, and says only what follows from its numbers.

/** What one thing costs etcd. */
export interface Unit {
  /** Processor time. */
  readonly etcdUs: number;
  /** Both ways between etcd and its clients. */
  readonly bytes: number;
  /** Through the log of its members. */
  readonly commits: number;
  /** By which the database grows until the next compaction. */
  readonly dbBytes: number;
}

export interface Units {
  readonly claim: Unit;
  readonly release: Unit;
  /** Its rest has ended. */
  readonly restEnd: Unit;
  /** Granted and ended. */
  readonly lease: Unit;
  /** A minute of a host where nothing happens: keepalives, looks for rounds and for a restored backup. */
  readonly hostMinute: Unit;
  /** One of the keepalives in that. */
  readonly keepalive: Unit;
  /** Where very many are made at once: etcd does more of its work for several together. */
  readonly claimAtOnce: Unit;
  /** One node read by a host whose metrics are read. */
  readonly nodeRead: Unit;
  /** One claim read by a host that reconciles. */
  readonly claimRead: Unit;
  /** What is left of a claim, and of what is kept of it after its release, once etcd has compacted. */
  readonly keptClaim: number;
  readonly keptTenure: number;
}

export interface Cluster {
  readonly hosts: number;
  /** Of each host. */
  readonly containers: number;
  /** How long a container lives. */
  readonly lifeS: number;
  /** IPAM_SESSION_TTL. */
  readonly ttlS: number;
  /** IPAM_COOLDOWN, IPAM_HISTORY; etcd's --auto-compaction-retention. */
  readonly cooldownS: number;
  readonly historyS: number;
  readonly retentionS: number;
  /** Whether the metrics of all hosts are read, and how many claims there are in the subnets of each. */
  readonly metrics: boolean;
  readonly claimsSeen: number;
}

export interface Load {
  readonly claimsPerS: number;
  readonly commitsPerS: number;
  readonly bytesPerS: number;
  /** Cores of etcd, by what they work for. */
  readonly cores: Readonly<Record<'idle' | 'churn' | 'metrics' | 'reconciliation', number>>;
  readonly leases: number;
  /** After compaction, and just before. */
  readonly dbBytes: number;
  readonly dbBytesAtMost: number;
}

/** A look for rounds that begins one: a lease granted, put and ended. One a half minute for all. */
const COMMITS_PER_ROUND = 3;
const ROUND_S = 30;
/** By which the minute was measured; a session is kept three times within it. */
const TTL_S = 15;
const KEPT = 3;
/** As src/etcd/rests.ts has it. */
const LEASES_PER_COOLDOWN = 4;
const REST_LASTS = 1.25;
const LEASES_OF_A_PAST = 17;
const KEYS_PER_LEASE = 500;
/** As src/observation.ts and src/engine/looks.ts have it. */
const SURVEYED_S = 30;
const NODES_SURVEYED_PER_S = 1 / 0.3;
const LOOKED_S = 30;
const CLAIMS_LOOKED_AT_PER_S = 100;

export function loadOf(units: Units, cluster: Cluster): Load {
  const { hosts, containers, lifeS, ttlS, cooldownS, historyS, retentionS, metrics, claimsSeen } = cluster;
  const churn = (hosts * containers) / lifeS;
  const ofHost = containers / lifeS;
  const restLeases =
    cooldownS === 0 ? 0 : hosts * Math.min(ofHost, Math.max(LEASES_PER_COOLDOWN / cooldownS, ofHost / KEYS_PER_LEASE));
  const surveyed = metrics ? hosts * Math.min(hosts / SURVEYED_S, NODES_SURVEYED_PER_S) : 0;
  const looked = hosts * Math.min(claimsSeen / LOOKED_S, CLAIMS_LOOKED_AT_PER_S);
  const idle = hosts / 60;
  const parts: Record<keyof Load['cores'], [Unit, number][]> = {
    idle: [
      [units.hostMinute, idle],
      [units.keepalive, KEPT * hosts * (1 / ttlS - 1 / TTL_S)],
    ],
    churn: [
      [units.claim, churn],
      [units.release, churn],
      [units.restEnd, cooldownS === 0 ? 0 : churn],
      [units.lease, restLeases],
    ],
    metrics: [[units.nodeRead, surveyed]],
    reconciliation: [[units.claimRead, looked]],
  };
  const all = Object.values(parts).flat();
  const sum = (of: (unit: Unit) => number, some = all) =>
    some.reduce((total, [unit, rate]) => total + of(unit) * rate, 0);
  const cores = Object.fromEntries(
    Object.entries(parts).map(([name, some]) => [name, sum(({ etcdUs }) => etcdUs, some) / 1e6]),
  ) as Load['cores'];
  const pasts = historyS === 0 ? 0 : Math.max(hosts * LEASES_OF_A_PAST, (churn * historyS) / KEYS_PER_LEASE);
  const kept = hosts * containers * units.keptClaim + churn * historyS * units.keptTenure;
  return {
    claimsPerS: churn,
    commitsPerS: sum(({ commits }) => commits) + COMMITS_PER_ROUND / ROUND_S,
    bytesPerS: sum(({ bytes }) => bytes),
    cores,
    leases: Math.round(hosts + pasts + restLeases * cooldownS * REST_LASTS),
    dbBytes: kept,
    dbBytesAtMost: kept + sum(({ dbBytes }) => dbBytes) * retentionS,
  };
}

export function coresOf({ cores }: Load): number {
  return Object.values(cores).reduce((sum, one) => sum + one, 0);
}

/** The greatest value, on a logarithmic scale and to a thousandth, for which it holds; it holds for less as well. */
export function most(holds: (value: number) => boolean, from: number, to: number): number {
  let [low, high] = [from, to];
  if (holds(high)) return high;
  while (high / low > 1.001) {
    const middle = Math.sqrt(low * high);
    if (holds(middle)) low = middle;
    else high = middle;
  }
  return low;
}
