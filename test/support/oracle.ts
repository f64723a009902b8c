// What a correct driver may answer, found by listing every address of toy pools. Shares no code with the driver, and
// refuses to know how one is chosen: where several answers are right it accepts any of them.

/** One call as an engine words it, with the host and boot of the process that was asked. */
export type Asked =
  | {
      readonly call: 'RequestPool';
      readonly node: string;
      readonly space: string;
      readonly pool: string;
      readonly range: string;
      readonly aux: readonly string[];
      readonly v6: boolean;
    }
  | {
      readonly call: 'RequestAddress';
      readonly node: string;
      readonly poolId: string;
      readonly address: string;
      readonly gateway: boolean;
      readonly name?: string;
      readonly mac?: string;
      /** The process has seen its engine name an endpoint, so what has no name is auxiliary. */
      readonly names?: boolean;
    }
  | { readonly call: 'ReleaseAddress'; readonly node: string; readonly poolId: string; readonly address: string }
  | { readonly call: 'ReleasePool'; readonly node: string; readonly poolId: string }
  | Ruling;

/** An operator's command about a local pool: `from` and `to` of an exclusion, `from` and `name` of a reservation. */
export interface Ruling {
  readonly call: 'Rule';
  readonly node: 'operator';
  readonly cidr: string;
  readonly kind: 'exclude' | 'include' | 'reserve' | 'unreserve';
  readonly from: string;
  readonly to: string;
  readonly name: string;
  readonly keep: boolean;
}

/** `granted` is the reply's pool or bare address; a release is `done`. */
export type Answered =
  | { readonly granted: string; readonly poolId?: string }
  | { readonly refused: string }
  | { readonly done: true };

interface Join {
  readonly id: string;
  readonly node: string;
  readonly range: string;
  readonly aux: readonly string[];
}

type Held =
  | {
      readonly kind: 'endpoint' | 'unsure';
      readonly node: string;
      readonly boot: string;
      readonly join: string;
      readonly name?: string;
      readonly mac?: string;
    }
  | { readonly kind: 'shared'; readonly holders: Map<string, { role: string; node: string }> }
  | { readonly kind: 'cooling' };

interface Pool {
  readonly space: string;
  readonly cidr: string;
  readonly joins: Map<string, Join>;
  readonly held: Map<string, Held>;
  gateway?: string;
}

/** Of a subnet, whether or not it has a pool: exclusions by their ends, names by address. */
interface Rules {
  readonly excluded: Map<string, readonly string[]>;
  readonly reserved: Map<string, string>;
}

interface Allowed {
  readonly grants: readonly string[];
  readonly refusals: readonly string[];
}

const no = (...refusals: string[]): Allowed => ({ grants: [], refusals });

export class Oracle {
  readonly #predefined: readonly { readonly base: string; readonly size: number }[];
  readonly #rests: boolean;
  #pools = new Map<string, Pool>();
  #rules = new Map<string, Rules>();
  #boots = new Map<string, string>();

  /** `rests`: what is released does, until {@link rested}. */
  constructor(predefined: readonly { readonly base: string; readonly size: number }[], rests = false) {
    this.#predefined = predefined;
    this.#rests = rests;
  }

  rested(): void {
    for (const { held } of this.#pools.values())
      for (const [address, { kind }] of held) if (kind === 'cooling') held.delete(address);
  }

  isResting(poolId: string, address: string): boolean {
    return this.#joined(joinOf(poolId))?.pool.held.get(address)?.kind === 'cooling';
  }

  booted(node: string, boot: string): void {
    this.#boots.set(node, boot);
  }

  copy(): Oracle {
    const copy = new Oracle(this.#predefined, this.#rests);
    copy.#pools = structuredClone(this.#pools);
    copy.#rules = structuredClone(this.#rules);
    copy.#boots = new Map(this.#boots);
    return copy;
  }

  /** Takes the answer in, or says what would have been right. */
  take(asked: Asked, answered: Answered): string | undefined {
    if (asked.call === 'Rule') return this.#takeRule(asked, answered);
    if (asked.call === 'ReleaseAddress' || asked.call === 'ReleasePool') {
      if (!('done' in answered)) return `a release must be answered {}, not ${JSON.stringify(answered)}`;
      if (asked.call === 'ReleasePool') this.#releasePool(asked);
      else this.#releaseAddress(asked);
      return undefined;
    }
    const allowed = asked.call === 'RequestPool' ? this.#pool(asked) : this.#address(asked);
    if ('refused' in answered && allowed.refusals.includes(answered.refused)) return undefined;
    if ('granted' in answered && allowed.grants.includes(answered.granted)) {
      if (asked.call === 'RequestAddress') this.#grantAddress(asked, answered.granted);
      else return this.#grantPool(asked, answered.granted, answered.poolId ?? '');
      return undefined;
    }
    const rights = [...allowed.refusals.map((code) => `refusal ${code}`), ...allowed.grants];
    return `answered ${JSON.stringify(answered)}; right would be ${rights.join(' or ') || 'nothing at all'}`;
  }

  /** Everything that must stand in the store, one line each, sorted. */
  table(): string[] {
    const lines: string[] = [];
    for (const { space, cidr, joins, held, gateway } of this.#pools.values()) {
      lines.push(
        `space ${space}`,
        `pool ${space} ${cidr} gateway=${gateway ?? ''}${rulesText(this.#ruled(space, cidr))}`,
      );
      for (const { id, node, range, aux } of joins.values())
        lines.push(`join ${space} ${cidr} ${id} ${node} range=${range} aux=${aux.join()}`);
      for (const [address, claim] of held) {
        const where = `${space} ${cidr} ${address}`;
        if (claim.kind === 'shared') {
          lines.push(`claim ${where} shared`);
          for (const [join, { role, node }] of claim.holders) lines.push(`holder ${where} ${join} ${role} ${node}`);
        } else if (claim.kind === 'cooling') lines.push(`claim ${where} cooling`);
        else {
          const { kind, node, boot, join, name = '', mac = '' } = claim;
          lines.push(`claim ${where} ${kind} ${node} ${boot} ${join} name=${name} mac=${mac}`);
        }
      }
    }
    for (const [key, rules] of this.#rules) if (rulesText(rules)) lines.push(`rules ${key}${rulesText(rules)}`);
    return [...new Set(lines)].sort();
  }

  #ruled(space: string, cidr: string): Rules {
    return this.#rules.get(`${space} ${cidr}`) ?? { excluded: new Map(), reserved: new Map() };
  }

  /** What an operator may be told, and what is so then. */
  #takeRule(asked: Ruling, answered: Answered): string | undefined {
    const refused = 'refused' in answered ? answered.refused : undefined;
    const right = this.#refusedRule(asked);
    if (refused !== right) return `a command was answered ${refused ?? 'well'}; right would be ${right ?? 'well'}`;
    if (refused !== undefined) return undefined;
    const { cidr, kind, from, to, name } = asked;
    const rules = this.#ruled('local', cidr);
    this.#rules.set(`local ${cidr}`, rules);
    const some = partOf(cidr, from, to);
    const range = `${some[0]}-${some.at(-1)}`;
    if (kind === 'exclude') rules.excluded.set(range, some);
    else if (kind === 'include') rules.excluded.delete(range);
    else if (kind === 'reserve') rules.reserved.set(from, name);
    else rules.reserved.delete(from);
    return undefined;
  }

  #refusedRule({ cidr, kind, from, to, name, keep }: Ruling): string | undefined {
    const pool = this.#pools.get(`local ${cidr}`);
    if (!pool && [...this.#pools.values()].some((other) => other.space === 'local' && meet(other.cidr, cidr)))
      return 'overlap';
    const { excluded, reserved } = this.#ruled('local', cidr);
    const some = partOf(cidr, from, to);
    const known = excluded.has(`${some[0]}-${some.at(-1)}`);
    const holds = (address: string, who?: string) => {
      const held = pool?.held.get(address);
      if (!held || held.kind === 'cooling' || held.kind === 'shared') return false;
      return !(held.kind === 'endpoint' && who !== undefined && held.name === who);
    };
    switch (kind) {
      case 'exclude':
        if (some.length === 0) return 'bad_rule';
        return !known && !keep && some.some((one) => holds(one, reserved.get(one))) ? 'in_use' : undefined;
      case 'include':
        return some.length === 0 || !known ? 'bad_rule' : undefined;
      case 'reserve': {
        if (!usableOf(cidr).includes(from)) return 'bad_rule';
        if (reserved.get(from) === name) return undefined;
        if (reserved.has(from) || [...reserved.values()].includes(name)) return 'bad_rule';
        if (pool?.held.get(from)?.kind === 'shared') return 'in_use';
        return !keep && holds(from, name) ? 'in_use' : undefined;
      }
      case 'unreserve':
        return reserved.has(from) ? undefined : 'bad_rule';
    }
  }

  #pool({ space, pool, range, aux, v6 }: Asked & { call: 'RequestPool' }): Allowed {
    const taken = [...this.#pools.values()].filter((other) => other.space === space);
    const apart = (cidr: string) => taken.every((other) => !meet(other.cidr, cidr));
    const anySize = /^(0\.0\.0\.0|::)\/(\d+)$/.exec(pool);
    if (pool === '' || anySize) {
      if (range !== '') return no('bad_pool');
      const six = anySize ? anySize[1] === '::' : v6;
      const grants = this.#predefined
        .filter(({ base }) => base.includes(':') === six)
        .flatMap(({ base, size }) => blocksIn(base, anySize ? Number(anySize[2]) : size))
        .filter(apart);
      return grants.length > 0 ? { grants, refusals: [] } : no('no_pool_left');
    }
    const cidr = masked(pool);
    if (aux.some((address) => !membersOf(cidr).includes(address))) return no('outside_pool');
    if (range !== '') {
      const part = membersOf(range);
      if (part.some((address) => !membersOf(cidr).includes(address))) return no('bad_pool');
      if (!part.some((address) => usableOf(cidr).includes(address))) return no('bad_pool');
    }
    const known = taken.some((other) => other.cidr === cidr);
    return known || apart(cidr) ? { grants: [cidr], refusals: [] } : no('overlap');
  }

  #grantPool(asked: Asked & { call: 'RequestPool' }, cidr: string, poolId: string): string | undefined {
    const { space, node, aux } = asked;
    const range = asked.range === '' || masked(asked.range) === cidr ? '' : masked(asked.range);
    const [path, query = ''] = poolId.split('?');
    const [id = '', written = ''] = query.split('&').reverse();
    if (path !== `${space}/${cidr}` || written !== (range && `range=${range}`) || !/^join=[0-9a-f]{16}$/.test(id))
      return `PoolID ${poolId} is not that of ${cidr} with range "${range}"`;
    const join = id.slice('join='.length);
    if (this.#joined(join)) return `join ${join} was given before`;
    const key = `${space} ${cidr}`;
    const pool = this.#pools.get(key) ?? { space, cidr, joins: new Map(), held: new Map() };
    this.#pools.set(key, pool);
    pool.joins.set(join, { id: join, node, range, aux: [...new Set(aux)] });
    return undefined;
  }

  #address(asked: Asked & { call: 'RequestAddress' }): Allowed {
    const cidr = asked.poolId.split('?')[0]?.split('/').slice(1).join('/') ?? '';
    const { address, gateway } = asked;
    if (address !== '' && !membersOf(cidr).includes(address)) return no('outside_pool');
    const reserved = address !== '' && !usableOf(cidr).includes(address);
    const known = this.#joined(joinOf(asked.poolId));
    if (!known) {
      // A process may still remember the join that another one of its node ended: its other reasons are as true.
      const gone = this.#pools.get(`${asked.poolId.split('/')[0]} ${cidr}`);
      const full = address === '' && gone !== undefined && gone.held.size > 0;
      return no('unknown_pool', ...(reserved ? ['not_assignable'] : []), ...(full ? ['pool_exhausted'] : []));
    }
    const { pool, join } = known;
    if (join.node !== asked.node) return no('unknown_pool');
    if (reserved) return no('not_assignable');
    const rules = this.#ruled(pool.space, cidr);
    if (address !== '') return this.#byNumber(asked, address, pool, join, rules);
    const kept = [...rules.reserved].find(([, name]) => !gateway && name === asked.name);
    if (kept) return this.#byNumber({ ...asked, address: kept[0] }, kept[0], pool, join, rules);
    const isOpen = (one: string) => !rules.reserved.has(one) && !isExcluded(rules, one);
    const free = (some: readonly string[]) => some.filter((one) => isOpen(one) && !pool.held.has(one));
    const resting = (some: readonly string[]) =>
      some.filter((one) => isOpen(one) && pool.held.get(one)?.kind === 'cooling');
    if (gateway) {
      const chosen = pool.gateway;
      if (
        chosen !== undefined &&
        !rules.reserved.has(chosen) &&
        ['shared', 'cooling'].includes(pool.held.get(chosen)?.kind ?? 'shared')
      )
        return { grants: [chosen], refusals: [] };
      const unlisted = usableOf(cidr).filter((one) => !join.aux.includes(one));
      const grants = [...free(unlisted), ...resting(unlisted)].slice(0, 1);
      return grants.length > 0 ? { grants, refusals: [] } : no('pool_exhausted');
    }
    const inRange = usableOf(cidr).filter((one) => join.range === '' || membersOf(join.range).includes(one));
    const grants = free(inRange);
    if (grants.length > 0) return { grants, refusals: [] };
    const ofBoots = (nodes: readonly string[]) =>
      inRange.filter((one) => isOpen(one) && nodes.some((node) => this.#ofEarlierBoot(pool.held.get(one), node)));
    // A process may remember what an earlier boot left from before anything rested, and for a while that no other node left any.
    const ours = [...resting(inRange), ...ofBoots([asked.node])];
    const takeable = [...ours, ...ofBoots([...this.#boots.keys()].filter((node) => node !== asked.node))];
    return { grants: takeable, refusals: ours.length > 0 ? [] : ['pool_exhausted'] };
  }

  #byNumber(asked: Asked & { call: 'RequestAddress' }, address: string, pool: Pool, join: Join, rules: Rules): Allowed {
    if (!this.#mayHave(asked, pool, join)) return no('taken');
    const given = { grants: [address], refusals: [] };
    const held = pool.held.get(address);
    if (held?.kind === 'shared' || (held && this.#isAgain(asked, held, join))) return given;
    const purpose = purposeOf(asked, join);
    const name = rules.reserved.get(address);
    if (name !== undefined) return purpose === 'endpoint' && asked.name === name ? given : no('reserved');
    const forContainer = purpose === 'endpoint' || purpose === 'unsure';
    return forContainer && isExcluded(rules, address) ? no('excluded') : given;
  }

  #isAgain(asked: Asked & { call: 'RequestAddress' }, held: Held, join: Join): boolean {
    if (held.kind === 'shared' || held.kind === 'cooling') return false;
    const same = (asked.name && asked.name === held.name) || (asked.mac && asked.mac === held.mac);
    return held.node === asked.node && held.join === join.id && Boolean(same);
  }

  #mayHave(asked: Asked & { call: 'RequestAddress' }, pool: Pool, join: Join): boolean {
    const held = pool.held.get(asked.address);
    if (!held || held.kind === 'cooling') return true;
    const purpose = purposeOf(asked, join);
    if (held.kind === 'shared') {
      if (purpose === 'gateway') return true;
      // A network asks for its auxiliary address once; asked again it is for a container, unless those have names.
      if (purpose === 'aux') return Boolean(asked.names) || !held.holders.has(join.id);
      const isGateway = [...held.holders.values()].some(({ role }) => role === 'gateway');
      return purpose === 'unsure' && !isGateway && !held.holders.has(join.id);
    }
    return this.#isAgain(asked, held, join) || this.#ofEarlierBoot(held, asked.node);
  }

  #ofEarlierBoot(held: Held | undefined, node: string): boolean {
    return held?.kind === 'endpoint' && held.node === node && held.boot !== this.#boots.get(node);
  }

  #grantAddress(asked: Asked & { call: 'RequestAddress' }, address: string): void {
    const { pool, join } = this.#joined(joinOf(asked.poolId))!;
    const { node, name, mac } = asked;
    const purpose = purposeOf(asked, join);
    const held = pool.held.get(address);
    if (purpose === 'gateway' || purpose === 'aux' || held?.kind === 'shared') {
      const holders = held?.kind === 'shared' ? held.holders : new Map<string, { role: string; node: string }>();
      holders.set(join.id, { role: purpose === 'gateway' ? 'gateway' : 'aux', node });
      pool.held.set(address, { kind: 'shared', holders });
      if (purpose === 'gateway' && (pool.gateway === undefined || asked.address === '')) pool.gateway = address;
      return;
    }
    const kind = purpose === 'unsure' ? 'unsure' : 'endpoint';
    const boot = this.#boots.get(node) ?? '';
    pool.held.set(address, { kind, node, boot, join: join.id, ...(name && { name }), ...(mac && { mac }) });
  }

  #releaseAddress({ node, poolId, address }: Asked & { call: 'ReleaseAddress' }): void {
    const known = this.#joined(joinOf(poolId));
    if (!known || known.join.node !== node) return;
    const held = known.pool.held.get(address);
    const own = held && 'join' in held && held.join === known.join.id;
    if (own && this.#rests) known.pool.held.set(address, { kind: 'cooling' });
    else letGo(known.pool, address, known.join.id);
  }

  #releasePool({ node, poolId }: Asked & { call: 'ReleasePool' }): void {
    const known = this.#joined(joinOf(poolId));
    if (!known || known.join.node !== node) return;
    const { pool, join } = known;
    pool.joins.delete(join.id);
    for (const address of [...pool.held.keys()]) letGo(pool, address, join.id);
    if (pool.joins.size === 0) this.#pools.delete(`${pool.space} ${pool.cidr}`);
  }

  #joined(id: string): { pool: Pool; join: Join } | undefined {
    for (const pool of this.#pools.values()) {
      const join = pool.joins.get(id);
      if (join) return { pool, join };
    }
    return undefined;
  }
}

function isExcluded({ excluded }: Rules, address: string): boolean {
  return [...excluded.values()].some((some) => some.includes(address));
}

/** What of the pool can be given from one of its addresses to another. */
function partOf(cidr: string, from: string, to: string): readonly string[] {
  const all = membersOf(cidr);
  return all.slice(all.indexOf(from), all.indexOf(to) + 1).filter((one) => usableOf(cidr).includes(one));
}

function rulesText({ excluded, reserved }: Rules): string {
  const names = [...reserved].map(([address, name]) => `${address}=${name}`);
  const all = [...[...excluded.keys()].sort(), ...names.sort()];
  return all.length === 0 ? '' : ` rules ${all.join()}`;
}

/** The same lines as {@link Oracle.table}, read from what really stands in the store (keys without its prefix). */
export function tableOf(keyspace: Readonly<Record<string, unknown>>): string[] {
  const lines: string[] = [];
  for (const [key, value] of Object.entries(keyspace)) {
    const [room = '', space = '', , wide = '', address = '', join = ''] = key.split('/');
    const record = value as Record<string, unknown>;
    const cidr = wide.replace(/(.*)-(\d+)$/, (_, network: string, length: string) => `${narrow(network)}/${length}`);
    const where = `${space} ${cidr}`;
    const text = (name: string) => String(record[name] ?? '');
    const rules = rulesText(readRules(room === 'rules' ? record : record.rules));
    if (room === 'rules') lines.push(`rules ${where}${rules}`);
    else if (room === 'spaces') lines.push(`space ${space}`);
    else if (room === 'pools')
      lines.push(
        `pool ${where} gateway=${text('gateway')}${rules}${record.state === 'open' ? '' : ` ${text('state')}`}`,
      );
    else if (room === 'joins')
      lines.push(`join ${where} ${address} ${text('node')} range=${text('range')} aux=${text('shared')}`);
    else if (room === 'holders')
      lines.push(`holder ${where} ${narrow(address)} ${join} ${text('role')} ${text('node')}`);
    else if (room === 'claims' && ['shared', 'cooling'].includes(text('kind')))
      lines.push(`claim ${where} ${narrow(address)} ${text('kind')}`);
    else if (room === 'claims') {
      const who = ['kind', 'node', 'boot', 'join'].map(text).join(' ');
      lines.push(`claim ${where} ${narrow(address)} ${who} name=${text('name')} mac=${text('mac')}`);
    } else if (room !== 'nodes' && room !== 'sessions') lines.push(`unknown ${key}`);
  }
  return lines.sort();
}

function readRules(record: unknown): Rules {
  const { excluded = [], reserved = [] } = (record ?? {}) as {
    excluded?: { from: string; to: string }[];
    reserved?: { address: string; name: string }[];
  };
  return {
    excluded: new Map(excluded.map(({ from, to }) => [`${from}-${to}`, []])),
    reserved: new Map(reserved.map(({ address, name }) => [address, name])),
  };
}

const listed = new Map<string, readonly string[]>();

/** Every address of a block of at most 4,096, in order and as Go prints them; none for text that is no block. */
export function membersOf(cidr: string): readonly string[] {
  const known = listed.get(cidr);
  if (known) return known;
  const [network = '', length = ''] = cidr.split('/');
  if (network === '' || length === '') return [];
  const six = network.includes(':');
  const count = 2n ** BigInt((six ? 128 : 32) - Number(length));
  if (count > 4096n) throw new Error(`${cidr} is too large to be listed`);
  const value = numberOf(network);
  const first = value - (value % count);
  const members: string[] = [];
  for (let i = 0n; i < count; i++) members.push(textOf(first + i, six));
  listed.set(cidr, members);
  return members;
}

/** Without network and broadcast address, or the anycast address; pools of one or two addresses have neither. */
export function usableOf(cidr: string): readonly string[] {
  const members = membersOf(cidr);
  if (members.length <= 2) return members;
  return members.slice(1, cidr.includes(':') ? undefined : -1);
}

function purposeOf({ gateway, name, mac, address, names }: Asked & { call: 'RequestAddress' }, join: Join): string {
  if (gateway) return 'gateway';
  if (name || mac || address === '') return 'endpoint';
  return names || join.aux.includes(address) ? 'aux' : 'unsure';
}

function letGo(pool: Pool, address: string, join: string): void {
  const held = pool.held.get(address);
  if (held?.kind === 'shared') {
    held.holders.delete(join);
    if (held.holders.size === 0) pool.held.delete(address);
  } else if (held && 'join' in held && held.join === join) pool.held.delete(address);
}

function joinOf(poolId: string): string {
  return poolId.split('join=')[1] ?? '';
}

function masked(cidr: string): string {
  return `${membersOf(cidr)[0]}/${cidr.split('/')[1]}`;
}

function meet(one: string, other: string): boolean {
  return membersOf(one).some((address) => membersOf(other).includes(address));
}

function blocksIn(base: string, size: number): string[] {
  return [...new Set(membersOf(base).map((address) => masked(`${address}/${size}`)))].filter((block) =>
    membersOf(block).every((address) => membersOf(base).includes(address)),
  );
}

function numberOf(text: string): bigint {
  if (!text.includes(':')) return text.split('.').reduce((sum, octet) => sum * 256n + BigInt(octet), 0n);
  const [left = '', right = ''] = text.includes('::') ? text.split('::') : [text];
  const [head, end] = [left, right].map((side) => side.split(':').filter((group) => group !== ''));
  const zeros = Array<string>(8 - head!.length - end!.length).fill('0');
  return [...head!, ...zeros, ...end!].reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
}

function textOf(value: bigint, six: boolean): string {
  const digits = Array.from({ length: six ? 8 : 4 }, (_, i) => {
    const part = six ? value / 65536n ** BigInt(7 - i) : value / 256n ** BigInt(3 - i);
    return (part % (six ? 65536n : 256n)).toString(six ? 16 : 10);
  });
  if (!six) return digits.join('.');
  const text = digits.join(':');
  for (let zeros = 8; zeros >= 2; zeros--) {
    const run = Array<string>(zeros).fill('0').join(':');
    const found = new RegExp(`(^|:)${run}(:|$)`).exec(text);
    if (found) return `${text.slice(0, found.index)}::${text.slice(found.index + found[0].length)}`;
  }
  return text;
}

/** From the form of the keys, with every digit written out. */
function narrow(wide: string): string {
  const six = wide.includes(':');
  const digits = wide.split(six ? ':' : '.').map((part) => (six ? part : String(Number(part))));
  return textOf(numberOf(digits.join(six ? ':' : '.')), six);
}
