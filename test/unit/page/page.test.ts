// What the page computes by itself: addresses, cells, words, the pool that is chosen and the sentence at its top.
import { expect } from 'chai';
import fc from 'fast-check';
import { formatAddress as formatHere, parseAddress as parseHere } from '../../../src/net/address.js';
import { formatAddress, isUnusable, parseAddress, parseBlock } from '../../../src/page/addresses.js';
import { AddressCells, BlockCells, bestPart } from '../../../src/page/cells.js';
import { poolIn } from '../../../src/page/fragment.js';
import { merged } from '../../../src/page/loading.js';
import { levelOf, verdict } from '../../../src/page/verdict.js';
import { amount, forecast, happening, percent, roughly } from '../../../src/page/words.js';
import type { Addresses, Change, Pool } from '../../../src/web/shapes.js';
import { eventually } from '../../support/process.js';

const NOW = new Date('2026-11-29T12:00:00Z');
const pool = (rest: Partial<Pool> = {}): Pool => ({
  ...{ space: 'local', pool: '10.66.0.0/24', size: 254, used: 10, cooling: 0, free: 254 - (rest.used ?? 10), nodes: 2 },
  trend: { points: [], perHour: 0, fullAt: null },
  ...rest,
});
const claim = (rest: Partial<Change> = {}): Change => ({
  ...{ what: 'claim', gone: false, fresh: true, space: 'local', pool: '10.66.0.0/24', address: '10.66.0.2' },
  ...{ kind: 'endpoint', node: 'a' },
  ...rest,
});
const columns: Addresses = {
  ...{ first: '10.66.0.0', size: 256, nodes: ['a', 'b'], next: null },
  ...{ offset: [1, 1, 10], kind: '201', node: [-1, 0, 1], kinds: ['endpoint', 'unsure', 'shared'] },
};

describe('addresses of the page', () => {
  it('are read and written as the API does, of both families', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 128n - 1n), fc.nat(120), (value, zeros) => {
        const six = (value >> BigInt(zeros)) << BigInt(zeros);
        const four = value & 0xffffffffn;
        expect(formatAddress(32, four)).to.equal(formatHere({ family: 4, value: four }));
        expect(parseAddress(formatAddress(32, four))).to.equal(four);
        if (six >> 32n !== 0xffffn) {
          expect(formatAddress(128, six)).to.equal(formatHere({ family: 6, value: six }));
          expect(parseAddress(formatAddress(128, six))).to.equal(parseHere(formatAddress(128, six)).value);
        }
      }),
    );
  });

  it('that no interface can have are the network’s and the broadcast, and of IPv6 the first alone', () => {
    const unusable = (block: string, address: string) => isUnusable(parseBlock(block), parseAddress(address));
    expect(['10.66.0.0', '10.66.0.1', '10.66.0.255'].map((one) => unusable('10.66.0.0/24', one))).to.deep.equal([
      ...[true, false, true],
    ]);
    expect(unusable('10.66.0.0/31', '10.66.0.0')).to.equal(false);
    expect(unusable('fd00::/64', 'fd00::')).to.equal(true);
    expect(unusable('fd00::/120', 'fd00::ff')).to.equal(false);
  });
});

describe('cells', () => {
  it('of addresses say kind and node, and follow what happens', () => {
    const cells = new AddressCells(parseBlock('10.66.0.0/24'));
    cells.add(columns);
    const seen = (at: number) => [cells.nameOf(at), cells.kindAt(at), cells.nodeAt(at)];
    expect([1, 2, 3, 12].map(seen)).to.deep.equal([
      ['10.66.0.1', 'shared', undefined],
      ['10.66.0.2', 'endpoint', 'a'],
      ['10.66.0.3', 'free', undefined],
      ['10.66.0.12', 'unsure', 'b'],
    ]);
    expect(cells.change(claim({ address: '10.66.0.3', node: 'c' }))).to.equal(3);
    expect(seen(3)).to.deep.equal(['10.66.0.3', 'endpoint', 'c']);
    expect(cells.change(claim({ gone: true }))).to.equal(2);
    expect(seen(2)).to.deep.equal(['10.66.0.2', 'free', undefined]);
    expect(cells.change(claim({ address: '10.66.1.3' }))).to.equal(undefined);
    expect(cells.change(claim({ address: 'fd00::3' }))).to.equal(undefined);
    expect(cells.counts().slice(0, 2)).to.deep.equal([253, 1]);
  });

  it('of addresses take a part of their block, from its own first address on', () => {
    const cells = new AddressCells(parseBlock('10.66.0.0/16'));
    cells.add({ ...columns, first: '10.66.128.0', offset: [0, 5, 10] });
    const taken = Array.from({ length: cells.size }, (_, at) => at).filter((at) => !cells.isEmpty(at));
    expect(taken.map((at) => cells.nameOf(at))).to.deep.equal(['10.66.128.0', '10.66.128.5', '10.66.128.15']);
  });

  it('of blocks count, and show the smallest part as something', () => {
    const cells = new BlockCells({ of: '10.208.0.0/12', length: 22, used: [3, 0, 1_024], occupied: '10.208.0.0/20' });
    expect([0, 1, 2].map((at) => cells.fillAt(at))).to.deep.equal([0.08, 0, 1]);
    expect(cells.nameOf(2)).to.equal('10.208.8.0/22');
    expect(cells.change(claim({ address: '10.208.4.9' }))).to.equal(1);
    expect(cells.change(claim({ address: '10.208.4.9', fresh: false }))).to.equal(1);
    expect(cells.used[1]).to.equal(1);
  });

  it('of a nearly empty /64 are best seen as its 4,096 first addresses, those of a /12 in use as it is', () => {
    const six = { of: 'fd00:66::/64', length: 74, used: [199], occupied: 'fd00:66::/120' };
    expect(bestPart(new BlockCells(six))).to.equal('fd00:66::/116');
    const four = { of: '10.208.0.0/12', length: 22, used: [9], occupied: '10.208.0.0/13' };
    expect(bestPart(new BlockCells(four))).to.equal(undefined);
    expect(bestPart(new BlockCells({ ...four, occupied: null }))).to.equal(undefined);
  });
});

describe('two halves that are read at a time', () => {
  type Wait = () => Promise<unknown>;
  const now: Wait = () => Promise.resolve();
  const away: Wait = () => Promise.reject(new Error('away'));
  async function* half(name: string, ...waits: readonly Wait[]): AsyncGenerator<string, void, undefined> {
    for (const [at, wait] of waits.entries()) {
      await wait();
      yield `${name}${at}`;
    }
  }

  it('come as they are there, all of both', async () => {
    const order: string[] = [];
    const late: Wait = () => eventually('b is through', () => order.includes('b1'));
    for await (const name of merged([half('a', late, late), half('b', now, now), half('c')])) order.push(name);
    expect(order).to.deep.equal(['b0', 'b1', 'a0', 'a1']);
  });

  it('end with the first that fails, and nobody hears of the other', async () => {
    const read = async () => {
      const names: string[] = [];
      for await (const name of merged([half('a', now, away), half('b', now, away)])) names.push(name);
      return names;
    };
    expect(await read().catch((error: Error) => error.message)).to.equal('away');
    // A rejection that nobody waits for fails the run.
    await new Promise((resolve) => setImmediate(resolve));
  });
});

describe('words', () => {
  it('round as df does: neither empty nor full unless it is', () => {
    const parts = [0, 1, 253, 254].map((used) => percent({ used, free: 254 - used }));
    expect(parts).to.deep.equal([0, 1, 99, 100]);
    expect([60_001, 2 ** 64].map(amount)).to.deep.equal(['60,001', '1.8 × 10¹⁹']);
    expect([5, 600, 7_200, 400_000].map(roughly)).to.deep.equal(['5 s', '10 min', '2 h', '5 days']);
  });

  it('tell where a pool is heading', () => {
    const trend = (perHour: number | null, fullAt: string | null = null) =>
      pool({ trend: { points: [], perHour, fullAt } });
    expect(forecast(trend(null), NOW)).to.equal('watching for a trend');
    expect(forecast(trend(0.2), NOW)).to.equal('steady');
    expect(forecast(trend(-12), NOW)).to.equal('−12 an hour');
    expect(forecast(trend(12), NOW)).to.equal('+12 an hour');
    expect(forecast(trend(80, '2026-11-29T15:00:00Z'), NOW)).to.equal('full in about 3 h');
    expect(forecast(pool({ used: 254 }), NOW)).to.equal('full');
    expect(forecast(pool({ used: 126, free: 0 }), NOW)).to.equal('full');
  });

  it('tell what happens', () => {
    expect(happening(claim({ name: 'web.1' }))).to.deep.equal({ subject: '10.66.0.2', text: 'went to web.1 on a' });
    expect(happening(claim({ gone: true }))?.text).to.equal('was released by a container on a');
    expect(happening(claim({ kind: 'cooling', fresh: false }))?.text).to.equal('was released, and rests');
    expect(happening(claim({ kind: 'cooling', gone: true }))?.text).to.equal('is free again');
    const rest = { gone: true, fresh: false, address: undefined, kind: undefined };
    expect(happening(claim({ ...rest, what: 'session' }))).to.deep.equal({ subject: 'a', text: 'lost its session' });
    expect(happening(claim({ ...rest, what: 'session', gone: false }))).to.equal(undefined);
    expect(happening(claim({ ...rest, what: 'join' }))?.text).to.equal('left 10.66.0.0/24');
  });
});

describe('the verdict', () => {
  const node = (state: 'alive' | 'silent' | 'gone', name = 'a') => ({
    node: name,
    state,
    silence: 0,
    joins: 1,
    machine: 'm',
  });

  it('is that all is well where pools have room and nodes live', () => {
    expect(verdict({ pools: [pool()], nodes: [node('alive')] }, NOW)).to.deep.equal({
      ...{ level: 'ok', title: 'All is well', points: [] },
    });
  });

  it('warns of a pool at 90 %, or at its own threshold, or full within a day', () => {
    expect(levelOf(pool({ used: 228 }), NOW)).to.equal('ok');
    expect(levelOf(pool({ used: 229 }), NOW)).to.equal('warn');
    expect(levelOf(pool({ used: 130, rules: { warnAt: 50 } }), NOW)).to.equal('warn');
    expect(levelOf(pool({ used: 240, rules: { warnAt: 99 } }), NOW)).to.equal('ok');
    const half = pool({ used: 120, free: 7, rules: { excluded: [{ from: '10.66.0.128', to: '10.66.0.254' }] } });
    expect([half, { ...half, free: 0 }].map((one) => levelOf(one, NOW))).to.deep.equal(['warn', 'bad']);
    const soon = { points: [], perHour: 80, fullAt: '2026-11-29T15:00:00Z' };
    const seen = verdict({ pools: [pool({ trend: soon })] }, NOW);
    expect(seen).to.deep.include({ level: 'warn', points: ['10.66.0.0/24 is at 4 %, full in about 3 h'] });
  });

  it('warns of a pool whose record cannot be read', () => {
    const seen = verdict({ pools: [pool({ unreadable: true })] }, NOW);
    expect(seen).to.deep.include({ level: 'warn', points: ['the record of 10.66.0.0/24 cannot be read'] });
  });

  it('puts the worst first', () => {
    const seen = verdict(
      {
        overview: { node: 'a', version: '1', problem: 'it has no session', etcdAway: null },
        pools: [pool({ used: 254 }), pool({ used: 250, pool: '10.67.0.0/24' })],
        nodes: [node('silent'), ...['b', 'c', 'd', 'e'].map((name) => node('gone', name))],
      },
      NOW,
    );
    expect(seen).to.deep.equal({
      level: 'bad',
      title: '5 things to look at',
      points: [
        'a grants nothing: it has no session',
        '10.66.0.0/24 is full',
        '10.67.0.0/24 is at 99 %',
        'node a is silent',
        'nodes b, c, d and 1 more are gone',
      ],
    });
  });
});

describe('the fragment of the page’s address', () => {
  it('names a pool, as the page writes it and as browsers escape it', () => {
    for (const name of ['local/10.66.0.0/24', 'global.blue@prod/10.80.0.0/16', 'local/fd00:e7cd::/64']) {
      expect(poolIn(`#${name}`)).to.equal(name);
      expect(poolIn(`#${encodeURIComponent(name)}`)).to.equal(name);
    }
  });

  for (const hash of ['', '#', '#%', '#map-title', '#10.66.0.0/24', '#local/10.66.0.0', '#local/10.66.0.0/24/x'])
    it(`names none if it is "${hash}"`, () => {
      expect(poolIn(hash)).to.equal(undefined);
    });
});
