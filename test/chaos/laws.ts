// What any revision of etcd has to obey, whoever wrote it and why: the transactions' compares, seen from outside. Pure, and
// shares no code with the driver.
import type { Finding } from './checker.js';
import type { Written } from './history.js';
import { cidrOf, parentOf, subnetOf } from './keys.js';

type Row = Readonly<Record<string, unknown>>;

/** `backups`: the revisions that etcd was set back to, era by era; each begins with what there was then. */
export function unlawful(writes: readonly Written[], backups: readonly number[] = []): Finding[] {
  const findings: Finding[] = [];
  let before: readonly Written[] = [];
  for (let era = 0; era <= backups.length; era++) {
    const own = writes.filter((write) => (write.era ?? 0) === era);
    const laws = new Laws();
    obeyed(laws, before);
    const told = laws.findings.length;
    obeyed(laws, own);
    findings.push(...laws.findings.slice(told));
    before = [...before, ...own].filter(({ revision }) => revision <= (backups[era] ?? 0));
  }
  return findings;
}

function obeyed(laws: Laws, writes: readonly Written[]): void {
  for (let at = 0; at < writes.length; ) {
    let next = at + 1;
    while (writes[next]?.revision === writes[at]!.revision) next++;
    laws.revision(writes.slice(at, next));
    at = next;
  }
}

class Laws {
  readonly findings: Finding[] = [];
  readonly #now = new Map<string, Row>();
  readonly #sessions = new Map<string, number>();
  /** All that were ever written at a key: what an undo puts back is not written anew. */
  readonly #tokens = new Map<string, string>();
  #tick = 0;
  /** The last tick in which a node's silence was counted. */
  readonly #counted = new Map<string, number>();

  revision(writes: readonly Written[]): void {
    const before = new Map(writes.map(({ key }) => [key, this.#now.get(key)]));
    for (const { key, record, revision } of writes) {
      this.#session(key, record);
      if (record) this.#now.set(key, record);
      else this.#now.delete(key);
      if (key === 'tick' && record) this.#tick = revision;
    }
    for (const write of writes) if (write.record) this.#written(write, before.get(write.key), write.record);
  }

  #written(write: Written, before: Row | undefined, record: Row): void {
    const { key } = write;
    const [room] = key.split('/');
    if (room === 'claims') this.#claim(write, before, record);
    else if (room === 'holders' && !this.#isBack(key, record))
      this.#backed(write, record, key.slice(key.lastIndexOf('/') + 1));
    else if (room === 'pools' && !before) this.#alone(write);
    else if (room === 'nodes') this.#silence(write, before, record);
  }

  #claim(write: Written, before: Row | undefined, record: Row): void {
    const { key } = write;
    if (typeof record.token !== 'string') this.#against(write, 'has no token by which its writer knows it');
    if (record.kind === 'cooling') return;
    const back = this.#isBack(key, record);
    const rewritten = record.kind === 'shared' && before?.kind === 'shared';
    if (!back && record.kind !== 'shared') this.#backed(write, record, String(record.join));
    if (!before || before.kind === 'cooling' || back || rewritten) return;
    if (before.join === record.join && before.node === record.node && record.kind !== 'shared') {
      if (record.epoch !== undefined) this.#against(write, 'was given once more in one epoch');
      return;
    }
    // A claim by number that turned out to be auxiliary, of the same node.
    if (before.kind === 'unsure' && record.kind === 'shared') return;
    if (this.#mayTake(key, before, record)) return;
    this.#against(write, `was taken from ${JSON.stringify(before)}`);
  }

  #mayTake(key: string, before: Row, record: Row): boolean {
    // The join that its network was thought to have is gone, and it goes over to another of the node's.
    if (before.guessed && record.guessed) return before.node === record.node && before.name === record.name;
    if (before.kind !== 'swarm' || record.kind !== 'swarm') return false;
    if (record.epoch !== undefined) return Number(record.epoch) > Number(before.epoch);
    return this.#now.get(key.replace('/local', '/global'))?.kind === 'swarm';
  }

  /** The writer was somebody: its join stood, ruled if it is a leader's, and its node had a session. */
  #backed(write: Written, record: Row, join: string): void {
    const subnet = subnetOf(write.key);
    const own = this.#now.get(`joins/${subnet}/${join}`);
    const pool = this.#now.get(`pools/${subnet}`);
    if (!own) this.#against(write, 'was given through a join that had ended');
    else if (pool?.state !== 'open') this.#against(write, 'was given in a pool that is not open');
    else if (pool.leader !== undefined && pool.leader !== join) this.#against(write, 'was given by a deposed leader');
    const node = (record.node ?? own?.node) as string | undefined;
    if (node !== undefined && !this.#sessions.get(node))
      this.#against(write, `was written by ${node} without a session`);
  }

  /** One pool of a space never overlaps another. */
  #alone(write: Written): void {
    const space = `${parentOf(write.key)}/`;
    const [from, to] = range(write.key);
    for (const other of this.#now.keys()) {
      if (other === write.key || !other.startsWith(space)) continue;
      const [first, last] = range(other);
      if (from <= last && first <= to) this.#against(write, `overlaps ${other}`);
    }
  }

  /** A round counts a silent node once, and one that has a session never. */
  #silence(write: Written, before: Row | undefined, record: Row): void {
    const [was, is] = [Number(before?.silence ?? 0), Number(record.silence ?? 0)];
    if (is <= was) return;
    const node = write.key.slice('nodes/'.length);
    if (is !== was + 1) this.#against(write, `counts ${is - was} rounds of silence at once`);
    if (this.#sessions.get(node)) this.#against(write, 'counts the silence of a node that has a session');
    if (!this.#now.has('tick')) this.#against(write, 'counts silence while there is no round');
    if (this.#counted.get(node) === this.#tick) this.#against(write, 'counts silence twice in one round');
    this.#counted.set(node, this.#tick);
  }

  #session(key: string, record: Row | undefined): void {
    const [room, node = ''] = key.split('/');
    if (room !== 'sessions') return;
    const had = this.#now.has(key);
    if (had !== (record !== undefined)) this.#sessions.set(node, (this.#sessions.get(node) ?? 0) + (record ? 1 : -1));
  }

  /** Whether an undo put back what it had replaced. Remembers the token for the next time. */
  #isBack(key: string, { token }: Row): boolean {
    const name = `${key} ${token}`;
    if (this.#tokens.has(name)) return true;
    this.#tokens.set(name, key);
    return false;
  }

  #against({ key, revision }: Written, what: string): void {
    this.findings.push({
      rule: 'unlawful',
      text: `${key.startsWith('claims/') ? `${cidrOf(key)} of ` : ''}${key} ${what}, at revision ${revision}`,
    });
  }
}

/** First and last address of a pool, as numbers. */
function range(key: string): [number, number] {
  const [network = '', length] = key.slice(key.lastIndexOf('/') + 1).split('-');
  const first = network.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return [first, first + 2 ** (32 - Number(length)) - 1];
}
