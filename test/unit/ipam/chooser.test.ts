import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import { Chooser } from '../../../src/ipam/chooser.js';
import { IpamError } from '../../../src/ipam/errors.js';
import { addressOfClaim, claimKey, claimsIn } from '../../../src/ipam/keyspace.js';
import { NO_RULES, Rules } from '../../../src/ipam/rules.js';
import type { Span } from '../../../src/ipam/store.js';
import { formatAddress, formatWide } from '../../../src/net/address.js';
import { parsePrefix, type Range } from '../../../src/net/prefix.js';
import { refusal, soon, World } from '../../support/allocator-fixture.js';
import { Link } from '../../support/link.js';
import { MemoryStore } from '../../support/memory-store.js';
import { MemoryBackend } from '../../support/stores.js';

const subnet = { space: 'local', prefix: parsePrefix('10.66.0.0/16') };
const base = 0x0a420000n;
const self = { node: 'a', boot: 'boot-1' };
const record = { kind: 'endpoint', node: 'b', boot: 'boot-1', join: 'x', since: 'then', token: 't' };
const rangeOf = (size: number, from = 7n): Range => ({
  family: 4,
  from: base + from,
  to: base + from + BigInt(size - 1),
});
const keyOf = (value: bigint) => claimKey(subnet, { family: 4, value });

/** One host that claims what its chooser proposes. */
class Claimer {
  readonly link: Link;
  readonly chooser: Chooser;
  readonly got: bigint[] = [];
  rules = NO_RULES;

  constructor(
    readonly store: MemoryStore,
    readonly range: Range,
    world = new World(),
    restMs = 0,
  ) {
    this.link = new Link(store);
    this.chooser = new Chooser(range, subnet, this.link, { ...self, restMs }, world.surroundings());
  }

  /** False when the chooser says that there is no room. */
  async claim(): Promise<boolean> {
    for (let attempt = 0; attempt < 200; attempt++) {
      const value = await this.chooser.next(this.rules, soon());
      if (value === undefined) return false;
      const window = this.chooser.windowAt(value);
      const outcome = await this.link.commit(
        {
          when: [{ key: keyOf(value), version: null }],
          write: [{ put: keyOf(value), record }],
          otherwise: [{ keys: claimsIn(subnet, window), limit: 0 }],
        },
        soon(),
      );
      if (outcome.done) {
        this.chooser.won(value);
        this.got.push(value);
        return true;
      }
      this.chooser.lost(
        value,
        window,
        outcome.seen[0].keys.map((key) => addressOfClaim(key).value),
        this.rules,
      );
    }
    throw new Error('200 losses in a row');
  }
}

const sizeOf = ({ from, to }: Span<unknown>) =>
  addressOfClaim(to.slice(0, from.length)).value - addressOfClaim(from).value;

function fill(store: MemoryStore, values: Iterable<bigint>): void {
  for (const value of values) store.plant(keyOf(value).key, record);
}

const valuesOf = ({ from, to }: Range) => Array.from({ length: Number(to - from) + 1 }, (_, i) => from + BigInt(i));
const ascending = (a: bigint, b: bigint) => (a < b ? -1 : 1);

describe('chooser', () => {
  for (const size of [1, 2, 3, 64, 65, 128, 129, 300]) {
    it(`gives the lowest first, and all ${size} of an empty range, one commit and no read each`, async () => {
      const claimer = new Claimer(new MemoryStore(), rangeOf(size));
      for (let i = 0; i < size; i++) expect(await claimer.claim()).to.equal(true);
      expect(claimer.got).to.deep.equal(valuesOf(claimer.range));
      expect([claimer.link.commits, claimer.link.reads]).to.deep.equal([size, 0]);
      expect(await claimer.claim()).to.equal(false);
      expect(Object.keys(claimer.store.keyspace())).to.have.length(size);
    });

    it(`finds each single free one of ${size}`, async () => {
      const range = rangeOf(size);
      for (const free of valuesOf(range).filter((_, i) => size < 100 || i % 7 === 0)) {
        const store = new MemoryStore();
        fill(
          store,
          valuesOf(range).filter((value) => value !== free),
        );
        const claimer = new Claimer(store, range);
        expect(await claimer.claim()).to.equal(true);
        expect(claimer.got).to.deep.equal([free]);
        expect(await claimer.claim()).to.equal(false);
      }
    });
  }

  it('two hosts with 1 to 8 callers each take exactly what was free, from ranges of 1 to 300, and only then say full', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 2, 3, 64, 65, 300),
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 1 << 30 }),
        async (size, percent, callers, seed) => {
          const store = new MemoryStore();
          const range = rangeOf(size);
          const world = new World(new MemoryBackend(), seed);
          const { below } = world.surroundings();
          const taken = valuesOf(range).filter(() => below(100n) < BigInt(percent));
          fill(store, taken);
          fill(store, [range.from - 1n, range.to + 1n]);
          const hosts = [new Claimer(store, range, world), new Claimer(store, range, world)];
          await Promise.all(
            hosts.flatMap((host) =>
              Array.from({ length: callers }, async () => {
                while (await host.claim());
                expect(Object.keys(store.keyspace())).to.have.length(size + 2);
              }),
            ),
          );
          const got = hosts.flatMap((host) => host.got);
          expect(got.sort(ascending)).to.deep.equal(valuesOf(range).filter((value) => !taken.includes(value)));
        },
      ),
      { numRuns: 150 },
    ));

  it('under rules two hosts take exactly what is free and not barred, from ranges of 1 to 300, and only then say full', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 2, 3, 64, 65, 300),
        fc.integer({ min: 0, max: 100 }),
        fc.array(fc.tuple(fc.nat(310), fc.nat(80)), { maxLength: 5 }),
        fc.uniqueArray(fc.nat(310), { maxLength: 40 }),
        fc.integer({ min: 1, max: 1 << 30 }),
        async (size, percent, excluded, reserved, seed) => {
          const range = rangeOf(size);
          const text = (at: number) => formatAddress({ family: 4, value: base + BigInt(at) });
          const rules = new Rules({
            excluded: excluded.map(([from, length]) => ({ from: text(from), to: text(from + length) })),
            reserved: reserved.map((at) => ({ address: text(at), name: `n${at}` })),
          });
          const barred = (value: bigint) => {
            const at = Number(value - base);
            return reserved.includes(at) || excluded.some(([from, length]) => at >= from && at <= from + length);
          };
          const world = new World(new MemoryBackend(), seed);
          const taken = valuesOf(range).filter(() => Number(world.surroundings().below(100n)) < percent);
          const store = new MemoryStore();
          fill(store, taken);
          const hosts = [new Claimer(store, range, world), new Claimer(store, range, world)];
          for (const host of hosts) host.rules = rules;
          await Promise.all(
            hosts.map(async (host) => {
              while (await host.claim());
            }),
          );
          const got = hosts.flatMap((host) => host.got).sort(ascending);
          const free = valuesOf(range).filter((value) => !taken.includes(value) && !barred(value));
          expect(got).to.deep.equal(free);
          expect(free.every((value) => !rules.isBarred(value))).to.equal(true);
        },
      ),
      { numRuns: 60 },
    ));

  it('counts a /16 in whose middle 201 addresses are reserved, and finds the one that is free with at most 20 reads', async () => {
    const range = { family: 4, from: base + 1n, to: base + 65_534n } as const;
    const store = new MemoryStore();
    const free = base + 33_001n;
    fill(
      store,
      valuesOf(range).filter((value) => value !== free && (value - base < 33_000n || value - base > 33_400n)),
    );
    const claimer = new Claimer(store, range);
    const reserved = Array.from({ length: 200 }, (_, i) => base + 33_000n + BigInt(2 * i)).map((value) => ({
      address: formatAddress({ family: 4, value }),
      name: String(value),
    }));
    const odd = Array.from({ length: 199 }, (_, i) => base + 33_003n + BigInt(2 * i));
    fill(store, odd);
    claimer.rules = new Rules({
      excluded: [],
      reserved: [...reserved, { address: formatAddress({ family: 4, value: base + 33_400n }), name: 'last' }],
    });
    expect(await claimer.claim()).to.equal(true);
    expect(claimer.got).to.deep.equal([free]);
    expect(claimer.link.reads).to.be.at.most(20);
    expect(await claimer.claim()).to.equal(false);
  });

  it('goes on from the last one given, and round', async () => {
    const claimer = new Claimer(new MemoryStore(), rangeOf(4));
    for (let i = 0; i < 10; i++) {
      await claimer.claim();
      claimer.store.plant(keyOf(claimer.got.at(-1)!).key, undefined);
    }
    expect(claimer.got.map((value) => Number(value - claimer.range.from))).to.deep.equal([
      0, 1, 2, 3, 0, 1, 2, 3, 0, 1,
    ]);
  });

  it('leaps over 40 taken ones with one loss', async () => {
    const store = new MemoryStore();
    const range = rangeOf(300);
    fill(store, valuesOf(range).slice(0, 40));
    const claimer = new Claimer(store, range);
    for (let i = 0; i < 60; i++) await claimer.claim();
    expect(claimer.got).to.deep.equal(valuesOf(range).slice(40, 100));
    expect([claimer.link.commits, claimer.link.lost, claimer.link.reads]).to.deep.equal([61, 1, 0]);
  });

  it('8 callers that run into 40 taken ones lose one claim each, and go on behind them in order', async () => {
    const store = new MemoryStore();
    const range = rangeOf(300);
    fill(store, valuesOf(range).slice(0, 40));
    const claimer = new Claimer(store, range);
    await Promise.all(Array.from({ length: 8 }, () => claimer.claim()));
    for (let i = 0; i < 60; i++) await claimer.claim();
    expect([...claimer.got].sort(ascending)).to.deep.equal(valuesOf(range).slice(40, 108));
    expect([claimer.link.lost, claimer.link.reads]).to.deep.equal([8, 0]);
  });

  it('B loses .1 to A, sees that .2 is free, A claims .2: B walks 64 of its own elsewhere, and A goes on', async () => {
    const world = new World();
    const store = new MemoryStore();
    const [a, b] = [new Claimer(store, rangeOf(65_000), world), new Claimer(store, rangeOf(65_000), world)];
    await a.claim();
    b.link.beforeNext(async () => b.link.beforeNext(() => a.claim()));
    for (let i = 0; i < 64; i++) await b.claim();
    const places = b.got.map((value) => Number(value - b.range.from));
    expect(places).to.deep.equal(places.map((_, i) => places[0]! + i));
    expect(places[0]).to.be.greaterThan(100);
    expect([b.link.lost, b.link.reads]).to.deep.equal([2, 1]);
    await a.claim();
    expect([a.got.map((value) => Number(value - a.range.from)), a.link.lost]).to.deep.equal([[0, 1, 2], 0]);
  });

  it('remembers for a second that a range is full, unless one of its addresses came back', async () => {
    const world = new World();
    const store = new MemoryStore();
    const range = rangeOf(20);
    fill(store, valuesOf(range));
    const claimer = new Claimer(store, range, world);
    expect(await claimer.claim()).to.equal(false);
    const { commits, reads } = claimer.link;
    for (let i = 0; i < 10; i++) expect(await claimer.claim()).to.equal(false);
    expect([claimer.link.commits, claimer.link.reads]).to.deep.equal([commits, reads]);
    store.plant(keyOf(range.from + 3n).key, undefined);
    claimer.chooser.freed(0n);
    expect(await claimer.claim()).to.equal(true);
    expect(await claimer.claim()).to.equal(false);
    store.plant(keyOf(range.from + 5n).key, undefined);
    expect(await claimer.claim()).to.equal(false);
    world.skippedMs += 1_001;
    expect(await claimer.claim()).to.equal(true);
    expect(claimer.got).to.deep.equal([range.from + 3n, range.from + 5n]);
  });

  it('what it gave back in a crowded range it gives again without a look, once it has rested', async () => {
    const world = new World();
    const store = new MemoryStore();
    const range = rangeOf(1_000);
    fill(store, valuesOf(range).slice(0, 990));
    const claimer = new Claimer(store, range, world, 30_000);
    for (let i = 0; i < 10; i++) await claimer.claim();
    const given = claimer.got.splice(0);
    for (const value of given.slice(0, 3)) {
      store.plant(keyOf(value).key, undefined);
      claimer.chooser.freed(value);
    }
    const { reads } = claimer.link;
    world.skippedMs += 38_600;
    for (let i = 0; i < 3; i++) await claimer.claim();
    expect(claimer.got).to.deep.equal(given.slice(0, 3));
    expect(claimer.link.reads).to.equal(reads);
    expect(await claimer.claim()).to.equal(false);
  });

  it('one that others have by then is lost once, and nothing else that was given back before is tried', async () => {
    const store = new MemoryStore();
    const range = rangeOf(1_000);
    fill(store, valuesOf(range).slice(0, 900));
    const claimer = new Claimer(store, range);
    while (await claimer.claim());
    for (const value of claimer.got.slice(0, 50)) claimer.chooser.freed(value);
    const { lost } = claimer.link;
    expect(await claimer.claim()).to.equal(false);
    expect(claimer.link.lost - lost).to.equal(1);
  });

  it('what still rests is not tried', async () => {
    const world = new World();
    const store = new MemoryStore();
    const range = rangeOf(20);
    const claimer = new Claimer(store, range, world, 30_000);
    for (let i = 0; i < 20; i++) await claimer.claim();
    expect(await claimer.claim()).to.equal(false);
    claimer.chooser.freed(range.from);
    const { commits } = claimer.link;
    expect(await claimer.claim()).to.equal(false);
    world.skippedMs += 37_000;
    expect(await claimer.claim()).to.equal(false);
    expect(claimer.link.commits).to.equal(commits);
  });

  it('10 callers on a full range of 300 search once', async () => {
    const store = new MemoryStore();
    fill(store, valuesOf(rangeOf(300)));
    const claimer = new Claimer(store, rangeOf(300));
    await claimer.claim();
    const { reads } = claimer.link;
    expect(reads).to.be.at.most(2);
    claimer.chooser.freed(0n);
    expect(await Promise.all(Array.from({ length: 10 }, () => claimer.claim()))).to.deep.equal(Array(10).fill(false));
    expect(claimer.link.reads - reads).to.equal(1);
  });

  describe('a search that whoever began it has no time left for', () => {
    const range = rangeOf(20);
    const cooling = { kind: 'cooling', since: 'then', token: 't' };
    const ends = (calls: readonly Promise<unknown>[]) =>
      Promise.all(calls.map((call) => call.catch((error: IpamError) => error.code)));
    /** Of a full range; the first read takes longer than the first caller has. */
    const slow = async () => {
      const store = new MemoryStore();
      fill(store, valuesOf(range));
      const claimer = new Claimer(store, range);
      await claimer.claim();
      claimer.chooser.freed(0n);
      let late = true;
      claimer.link.beforeRead = async () => {
        if (!late) return;
        late = false;
        await sleep(40);
      };
      return claimer;
    };

    it('fails that call alone: another one that waits for room begins it anew, and the third has what that finds', async () => {
      const { chooser, store, link } = await slow();
      for (const at of [3n, 4n]) store.plant(keyOf(range.from + at).key, undefined);
      const { reads } = link;
      const asked = [20, 5_000, 5_000].map(async (ms) => {
        const value = await chooser.next(NO_RULES, soon(ms));
        chooser.won(value!);
        return value;
      });
      const [first, ...others] = await ends(asked);
      expect(first).to.equal('deadline');
      expect(others).to.have.members([range.from + 3n, range.from + 4n]);
      expect(link.reads - reads).to.be.at.most(5);
    });

    it('does so where claims to take over are looked for', async () => {
      const { chooser, store } = await slow();
      for (const at of [3n, 4n]) store.plant(keyOf(range.from + at).key, cooling);
      const asked = [20, 5_000, 5_000].map((ms) => chooser.takeable('nodes', NO_RULES, soon(ms)));
      const found = await ends(asked.map((one) => one.then((takeable) => takeable?.claim.key)));
      expect(found).to.deep.equal(['deadline', keyOf(range.from + 3n).key, keyOf(range.from + 4n).key]);
    });
  });

  it('a part that fills up between its count and that of its pieces is not taken for the end while another part has room', async () => {
    const store = new MemoryStore();
    const range: Range = { family: 4, from: base, to: base + 0xffffn };
    fill(
      store,
      valuesOf(range).filter((value) => value !== base + 10_000n && value !== base + 60_000n),
    );
    const claimer = new Claimer(store, range);
    let filled = false;
    claimer.link.beforeRead = (queries) => {
      const finer = queries.every((query) => 'count' in query && sizeOf(query.count) < 1_000n);
      if (!finer || filled) return;
      // Somebody else takes the last address of the part that was chosen.
      const { from } = (queries[0] as { count: Span<unknown> }).count;
      const free = from < claimsIn(subnet, rangeOf(1, 30_000n)).from ? 10_000n : 60_000n;
      fill(store, [base + free]);
      filled = true;
    };
    expect(await claimer.claim()).to.equal(true);
    expect(filled).to.equal(true);
    expect(Object.keys(store.keyspace())).to.have.length(65_536);
  });

  for (const [hosts, places, most] of [
    [2, 254, 1.1],
    [16, 4_094, 1.1],
    [32, 4_094, 1.2],
  ] as const)
    it(`${hosts} hosts with 4 callers each take 90 % of ${places} addresses with at most ${most} claims a grant`, async () => {
      const world = new World(new MemoryBackend(), 7);
      const { below } = world.surroundings();
      const store = new MemoryStore();
      const all = Array.from({ length: hosts }, () => new Claimer(store, rangeOf(places), world));
      const later = async () => {
        for (let turns = 1n + below(8n); turns > 0n; turns--) await Promise.resolve();
      };
      for (const { link } of all) link.beforeCommit = link.beforeRead = later;
      let left = Math.floor(places * 0.9);
      await Promise.all(
        all.flatMap((host) =>
          Array.from({ length: 4 }, async () => {
            while (left-- > 0) expect(await host.claim()).to.equal(true);
          }),
        ),
      );
      const sum = (of: (link: Link) => number) => all.reduce((total, { link }) => total + of(link), 0);
      const granted = Math.floor(places * 0.9);
      expect(Object.keys(store.keyspace())).to.have.length(granted);
      expect(sum(({ commits }) => commits) / granted).to.be.at.most(most);
      expect(sum(({ reads }) => reads) / granted).to.be.at.most(0.15);
    });

  describe('once a claim was lost', () => {
    let claimer: Claimer;
    let given: (bigint | undefined)[];
    const next = async () => given.push(await claimer.chooser.next(NO_RULES, soon()));
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    const lost = (value: bigint) => claimer.chooser.lost(value, claimer.chooser.windowAt(value), [value], NO_RULES);

    beforeEach(async () => {
      claimer = new Claimer(new MemoryStore(), rangeOf(300));
      given = [];
      await next();
      lost(given.pop()!);
      void Promise.all([next(), next(), next()]);
      await turn();
    });

    it('one of its callers goes ahead, and while that loses another one does', async () => {
      expect(given).to.deep.equal([base + 8n]);
      lost(base + 8n);
      await turn();
      expect(given).to.have.length(2);
    });

    it('all go on when that one has won', async () => {
      claimer.chooser.won(base + 8n);
      await turn();
      expect(given).to.deep.equal([base + 8n, base + 9n, base + 10n]);
    });

    it('one of the others does when nobody knows what became of it, or it is not to blame', async () => {
      claimer.chooser.over(base + 8n);
      await turn();
      expect(given).to.deep.equal([base + 8n, base + 9n]);
      claimer.chooser.back(base + 9n);
      await turn();
      expect(given).to.deep.equal([base + 8n, base + 9n, base + 9n]);
    });

    it('what was under way before says nothing of that one', async () => {
      claimer.chooser.over(base + 7n);
      await turn();
      expect(given).to.deep.equal([base + 8n]);
    });
  });

  it('who goes ahead and fails keeps nobody waiting', async () => {
    const world = new World();
    const [a, b] = [await world.host('a'), await world.host('b')];
    const [neta, netb] = [await a.network('10.66.0.0/24'), await b.network('10.66.0.0/24')];
    for (let i = 0; i < 10; i++) await neta.endpoint();
    let claims = 0;
    b.link.beforeCommit = () => {
      if (++claims === 5) throw new IpamError('contended', 'this one fails');
    };
    const ends = await Promise.allSettled(Array.from({ length: 4 }, () => netb.endpoint()));
    expect(ends.map(({ status }) => status).sort()).to.deep.equal(['fulfilled', 'fulfilled', 'fulfilled', 'rejected']);
  });

  it('an address per claim in an IPv6 /64: one commit each', async () => {
    const world = new World();
    const a = await world.host('a');
    const net = await a.network('fd00:66::/64');
    const reads = a.link.reads;
    expect((await net.endpoint()).ip).to.equal('fd00:66::1');
    expect((await net.endpoint()).ip).to.equal('fd00:66::2');
    expect([a.link.commits, a.link.reads - reads]).to.deep.equal([3, 0]);
  });

  it('an empty /16 costs one commit a claim and no read, 300 times', async () => {
    const a = await new World().host('a');
    const net = await a.network('10.66.0.0/16');
    const { commits, reads } = a.link;
    for (let i = 0; i < 300; i++) expect((await net.endpoint()).attempts).to.equal(1);
    expect([a.link.commits - commits, a.link.reads - reads]).to.deep.equal([300, 0]);
  });

  it('of 4,100 addresses that a process gave it gives back the last 4,096 without a look', async () => {
    const a = await new World().host('a');
    const net = await a.network('10.66.0.0/16');
    const given: string[] = [];
    for (let i = 0; i < 4_100; i++) given.push((await net.endpoint()).ip);
    const looks: number[] = [];
    for (const ip of given.slice(0, 8)) {
      const { reads } = a.link;
      expect(await net.release(ip)).to.equal('released');
      looks.push(a.link.reads - reads);
    }
    expect(looks).to.deep.equal([1, 1, 1, 1, 0, 0, 0, 0]);
  });

  for (const [taken, most] of [
    [9_000n, 1.3],
    [9_900n, 1.5],
    [9_990n, 2],
  ] as const)
    it(`a /16 of which ${Number(taken) / 100} % are taken costs at most ${most} round trips a claim on average`, async () => {
      const world = new World(new MemoryBackend(), 7);
      const a = await world.host('a');
      const net = await a.network('10.66.0.0/16');
      const { below } = world.surroundings();
      for (let value = base + 1n; value < base + 0xffffn; value++)
        if (below(10_000n) < taken)
          await world.plant(`claims/local/v4/010.066.000.000-16/${formatWide({ family: 4, value })}`, record);
      await net.endpoint(); // the first one finds out that the pool is crowded
      const before = a.link.commits + a.link.reads;
      for (let i = 0; i < 40; i++) await net.endpoint();
      const each = (a.link.commits + a.link.reads - before) / 40;
      expect(each).to.be.at.most(most);
    });

  it('a full /24 with 100 addresses of an earlier boot: 20 callers get 20 of them with one listing', async () => {
    const world = new World();
    const old = await world.host('a');
    const before = await old.network('10.66.0.0/24');
    for (let i = 0; i < 100; i++) await before.endpoint({ name: `c${i}` });
    for (let i = 101; i < 255; i++)
      await world.plant(`claims/local/v4/010.066.000.000-24/010.066.000.${i}`, { ...record, node: 'b' });
    const a = await world.host('a', { boot: 'boot-2' });
    const net = await a.network('10.66.0.0/24');
    let listings = 0;
    a.link.beforeRead = (queries) => {
      if (queries.some((query) => 'span' in query && query.span.from.startsWith('claims/'))) listings++;
    };
    const given = await Promise.all(Array.from({ length: 20 }, (_, i) => net.endpoint({ name: `n${i}` })));
    expect(new Set(given.map(({ ip }) => ip)).size).to.equal(20);
    expect(listings).to.equal(1);
  });

  it('remembered claims of an earlier boot whose evidence has changed are looked for anew, not tried one by one', async () => {
    const world = new World();
    const old = await world.host('a');
    const before = await old.network('10.66.0.0/25');
    for (let i = 1; i < 127; i++) await before.endpoint({ name: `c${i}` });
    const a = await world.host('a', { boot: 'boot-2' });
    const net = await a.network('10.66.0.0/25');
    await net.endpoint({ name: 'first' });
    // The session came anew, and with it the node record.
    await world.plant('nodes/a', { machine: 'm-a', boot: 'boot-2', since: 'now' });
    const { commits } = a.link;
    await net.endpoint({ name: 'second' });
    expect(a.link.commits - commits).to.be.at.most(2);
  });

  it('a list of a full /19 that calls have no time for is gone on with: each part of it is read once', async () => {
    const world = new World();
    const a = await world.host('a');
    const net = await a.network('10.66.0.0/19');
    for (let value = base + 1n; value < base + 8_191n; value++)
      await world.plant(`claims/local/v4/010.066.000.000-19/${formatWide({ family: 4, value })}`, record);
    const parts: string[] = [];
    a.link.beforeRead = (queries) => {
      const [query] = queries;
      if (!query || !('span' in query) || !query.span.from.startsWith('claims/')) return;
      if (parts.length === 3) {
        parts.push('late');
        throw new IpamError('unavailable', 'etcd is late');
      }
      parts.push(query.span.from);
    };
    expect(await refusal(net.endpoint())).to.match(/^unavailable: /);
    expect(await refusal(net.endpoint())).to.match(/^pool_exhausted: /);
    expect(new Set(parts).size).to.equal(parts.length);
    expect(parts).to.have.length(10);
  });

  it('with a cool-down a full range of 510 is listed once in 2.5 s, however often it is asked for', async () => {
    const world = new World();
    world.restMs = 30_000;
    const a = await world.host('a');
    const net = await a.network('10.66.0.0/23');
    for (let value = base + 1n; value < base + 511n; value++)
      await world.plant(`claims/local/v4/010.066.000.000-23/${formatWide({ family: 4, value })}`, record);
    let listings = 0;
    a.link.beforeRead = (queries) => {
      if (queries.some((query) => 'span' in query && query.span.from.startsWith('claims/'))) listings++;
    };
    const full = async (skippedMs = 0) => {
      world.skippedMs += skippedMs;
      expect(await refusal(net.endpoint())).to.match(/^pool_exhausted: /);
      return listings;
    };
    expect([await full(), await full(), await full(2_000), await full(600)]).to.deep.equal([1, 1, 1, 2]);
    await world.plant('claims/local/v4/010.066.000.000-23/010.066.001.009', {
      kind: 'cooling',
      since: 'then',
      token: 't',
    });
    world.skippedMs += 2_600;
    expect((await net.endpoint()).ip).to.equal('10.66.1.9');
  });

  it('knows 64 addresses that it released last without listing a full /16', async () => {
    const world = new World();
    world.restMs = 30_000;
    const a = await world.host('a');
    const net = await a.network('10.66.0.0/16', { range: '10.66.0.0/24' });
    const given = [];
    for (let i = 0; i < 255; i++) given.push((await net.endpoint()).ip);
    for (const ip of given.slice(100, 170)) await net.release(ip);
    a.link.beforeRead = (queries) => {
      for (const query of queries)
        if ('span' in query && query.span.from.startsWith('claims/')) throw new Error('listed');
    };
    const again = [];
    for (let i = 0; i < 64; i++) again.push((await net.endpoint()).ip);
    expect(again).to.deep.equal(given.slice(106, 170));
  });

  it('100 callers at once are refused a full pool by at most 12 looks at its rules', async () => {
    const a = await new World().host('a');
    const net = await a.network('10.66.0.0/30');
    for (let i = 0; i < 2; i++) await net.endpoint();
    const full = () => refusal(net.endpoint());
    await full();
    let looks = 0;
    a.link.beforeRead = ([query]) => {
      if (query && 'one' in query && query.one.key.startsWith('pools/')) looks++;
    };
    for (const text of await Promise.all(Array.from({ length: 100 }, full))) expect(text).to.match(/^pool_exhausted: /);
    // One or two where the machine has nothing else to do; the pauses between them double.
    expect(looks).to.be.within(1, 12);
  });

  it('says how many are in use when none is left', async () => {
    const a = await new World().host('a');
    const net = await a.network('10.66.0.0/30');
    await net.endpoint();
    await net.endpoint();
    expect(await refusal(net.endpoint())).to.equal(
      'pool_exhausted: no address left in pool 10.66.0.0/30: all 2 are in use',
    );
  });
});
