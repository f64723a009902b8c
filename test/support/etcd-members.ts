// Tests' own etcd of three members on the loopback, each of which can be killed, frozen and cut off from the others, and
// ways for clients to all of them that can be cut too. Refuses to know what is kept there.
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './etcd.js';
import { showEtcd } from './etcd-backend.js';
import { Member, type MembersOptions, type Status } from './etcd-member.js';
import { Way } from './etcd-way.js';
import { PeerDoor } from './peer-door.js';
import { eventually, Program, runOrFail, tail } from './process.js';
import { TcpProxy } from './proxy.js';

const API = { ETCDCTL_API: '3' };

/** Members are numbered 0, 1, 2. */
export class EtcdMembers implements AsyncDisposable {
  readonly #ways: Way[] = [];
  readonly #members: Member[];
  readonly #options: MembersOptions;
  readonly #directory: string;

  private constructor(members: Member[], directory: string, options: MembersOptions) {
    this.#members = members;
    this.#directory = directory;
    this.#options = options;
  }

  /** Resolves once they have a leader and answer. */
  static async start(options: MembersOptions = {}): Promise<EtcdMembers> {
    const memory = existsSync('/dev/shm') && !options.fsync;
    const directory = await mkdtemp(join(memory ? '/dev/shm' : tmpdir(), 'etcd-ipam-'));
    const ports = await freePorts(6);
    const members = await Promise.all(
      [0, 1, 2].map(async (at) => {
        const [port, peerPort] = [ports[2 * at] as number, ports[2 * at + 1] as number];
        return new Member(`m${at}`, port, peerPort, await PeerDoor.before(peerPort), join(directory, `m${at}`));
      }),
    );
    const all = new EtcdMembers(members, directory, options);
    try {
      await all.restart(0, 1, 2);
      showEtcd((await runOrFail('etcd', ['--version'])).split('\n')[0] ?? '', 'the binary on PATH, three members');
      return all;
    } catch (cause) {
      await all[Symbol.asyncDispose]();
      throw cause;
    }
  }

  /** The members themselves, for ETCD_ENDPOINTS. */
  get url(): string {
    return this.#members.map(({ url }) => url).join(',');
  }

  /** Another way to the members, for clients that are to be cut off from them. It ends with the members. */
  async way(): Promise<Way> {
    const way = new Way(await Promise.all(this.#members.map(({ url }) => TcpProxy.to(url))));
    this.#ways.push(way);
    return way;
  }

  /** Which one leads, in the eyes of a majority of all; waits while there is none. */
  leader(): Promise<number> {
    return eventually('etcd has a leader', () => this.#led(), 30_000, 20);
  }

  /** Any that does not lead. */
  async follower(): Promise<number> {
    return ((await this.leader()) + 1) % 3;
  }

  /** kill -9. */
  async kill(...which: number[]): Promise<void> {
    await Promise.all(which.map((at) => this.#members[at]?.program?.kill()));
  }

  /** Starts these on what they had, killing those that run; resolves once each answers with the others that run. */
  async restart(...which: number[]): Promise<void> {
    await this.kill(...which);
    const peers = this.#peers();
    await Promise.all(which.map((at) => this.#members[at]?.start(peers, this.#options)));
    await this.whole(...which);
  }

  /** Resolves once these, or all of them, take part again. */
  async whole(...which: number[]): Promise<void> {
    const named = which.length === 0 ? [0, 1, 2] : which;
    const taken = named.map(async (at) => {
      const member = this.#members[at] as Member;
      await eventually(`member ${at} of etcd answers`, () => member.answers(), 60_000, 50).catch((cause) => {
        throw new Error(`${cause.message}: ${tail(member.program?.output ?? '', 20)}`);
      });
    });
    await Promise.all(taken);
  }

  /** SIGSTOP: connections stay, and nothing is answered. */
  freeze(...which: number[]): void {
    for (const at of which) this.#members[at]?.freeze(true);
  }

  thaw(...which: number[]): void {
    for (const at of which) this.#members[at]?.freeze(false);
  }

  /** These reach no other member, nor are they reached by one, until `heal`; clients reach them all the same. */
  cut(...which: number[]): void {
    for (const at of which) (this.#members[at] as Member).apart = true;
    this.#doors();
  }

  /** The members reach one another again. */
  heal(): void {
    for (const member of this.#members) member.apart = false;
    this.#doors();
  }

  /** Makes another member the leader and says which. */
  async moveLeader(): Promise<number> {
    const from = await this.leader();
    const to = (from + 1) % 3;
    const id = this.#members[to]?.id as string;
    await runOrFail('etcdctl', [`--endpoints=${this.#members[from]?.url}`, 'move-leader', id], { env: API });
    return to;
  }

  /** As fast as they can be asked for; resolves with how many there were. */
  async revokeAllLeases(): Promise<number> {
    const { leases = [] } = (await this.#ask('lease/leases')) as { leases?: { ID: string }[] };
    await Promise.all(leases.map(({ ID }) => this.#ask('lease/revoke', { ID }).catch(() => undefined)));
    return leases.length;
  }

  /** Forgets all that was before the present revision. */
  async compact(): Promise<void> {
    await this.#ask('kv/compaction', { revision: await this.revision() });
  }

  async revision(): Promise<number> {
    return Number(((await this.#ask('maintenance/status')) as Status).header.revision);
  }

  /** Saves what there is into `file`. */
  async snapshot(file: string): Promise<void> {
    const one = this.#members.find((member) => member.reachable) as Member;
    await runOrFail('etcdctl', [`--endpoints=${one.url}`, 'snapshot', 'save', file], { env: API });
  }

  /** Makes a new cluster of the members out of what `file` has, at the same places. */
  async restore(file: string): Promise<void> {
    await this.kill(0, 1, 2);
    const cluster = ['--initial-cluster', this.#peers(), '--initial-cluster-token', `restored-${performance.now()}`];
    for (const { name, door, directory } of this.#members) {
      await rm(directory, { recursive: true, force: true });
      const self = ['--name', name, '--data-dir', directory, '--initial-advertise-peer-urls', door.url];
      await runOrFail('etcdctl', ['snapshot', 'restore', file, ...self, ...cluster], { env: API });
    }
    await this.restart(0, 1, 2);
  }

  /** Runs etcdctl against the members that can answer, and returns what it printed. */
  ctl(...args: string[]): Promise<string> {
    const up = this.#members.filter((member) => member.reachable).map(({ url }) => url);
    return runOrFail('etcdctl', [`--endpoints=${up.join(',')}`, ...args], { env: API });
  }

  /** Keeps etcdctl running with its output in a file. */
  startCtl(file: string, ...args: string[]): Promise<Program> {
    const command = ['-c', 'exec etcdctl "$@" > "$0"', file, `--endpoints=${this.url}`, ...args];
    return Program.start('sh', command, { env: API });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill(0, 1, 2);
    await Promise.all(this.#ways.map((way) => way.close()));
    for (const { door } of this.#members) door.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  #peers(): string {
    return this.#members.map(({ name, door }) => `${name}=${door.url}`).join(',');
  }

  #doors(): void {
    const outcasts = this.#members.filter(({ apart }) => apart);
    for (const { door, apart } of this.#members)
      door.keepOut((from) => apart || outcasts.some(({ id }) => id === from));
  }

  async #led(): Promise<number | undefined> {
    const said = await Promise.all(this.#members.map((member) => member.status().catch(() => undefined)));
    const votes = said.map((status) => status?.leader);
    const leader = votes.find((id) => id && id !== '0' && votes.filter((other) => other === id).length >= 2);
    const at = said.findIndex((status) => leader && status?.header.member_id === leader);
    return at < 0 ? undefined : at;
  }

  #ask(path: string, body: object = {}): Promise<unknown> {
    return (this.#members.find((member) => member.reachable) as Member).ask(path, body, 10_000);
  }
}
