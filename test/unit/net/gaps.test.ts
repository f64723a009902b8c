import { expect } from 'chai';
import fc from 'fast-check';
import { BITS, type Family } from '../../../src/net/address.js';
import { firstGap, freeIn, split } from '../../../src/net/gaps.js';
import { formatPrefix, overlaps, type Prefix, parsePrefix, sizeOf } from '../../../src/net/prefix.js';

/** A space of 64 addresses at the start of the family's own. */
const TOY = 6;

/** Tries every aligned place. */
function bruteForce(base: Prefix, length: number, taken: readonly Prefix[]): Prefix | undefined {
  if (length < base.length) return undefined;
  const step = 1n << BigInt(BITS[base.family] - length);
  for (let first = base.first; first < base.first + sizeOf(base); first += step) {
    const candidate = { family: base.family, first, length };
    if (!taken.some((block) => overlaps(block, candidate))) return candidate;
  }
  return undefined;
}

const block = (family: Family) =>
  fc.tuple(fc.nat(TOY), fc.nat((1 << TOY) - 1)).map(([host, at]): Prefix => {
    const size = 1 << host;
    return { family, first: BigInt(at - (at % size)), length: BITS[family] - host };
  });

/** Ascending and disjoint, as pools of one space are; any sizes, also such that enclose the base. */
const disjoint = (family: Family) =>
  fc.array(block(family), { maxLength: 24 }).map((drawn) => {
    const kept: Prefix[] = [];
    for (const one of drawn) if (!kept.some((other) => overlaps(one, other))) kept.push(one);
    return kept.sort((a, b) => (a.first < b.first ? -1 : 1));
  });

describe('gaps', () => {
  for (const family of [4, 6] as const) {
    it(`IPv${family}: the first one is what trying every place finds, 3000 sets of blocks`, () => {
      fc.assert(
        fc.property(block(family), fc.nat(TOY), disjoint(family), (base, host, taken) => {
          const length = BITS[family] - host;
          expect(firstGap(base, length, taken)).to.deep.equal(bruteForce(base, length, taken));
        }),
        { numRuns: 3_000 },
      );
    });
  }

  it('are filled one by one until the base is full: 16 blocks of /28 in a /24 with a /26 taken are 12', () => {
    const base = parsePrefix('10.66.0.0/24');
    const taken = [parsePrefix('10.66.0.64/26')];
    const given: string[] = [];
    for (let gap = firstGap(base, 28, taken); gap; gap = firstGap(base, 28, taken)) {
      given.push(formatPrefix(gap));
      taken.push(gap);
      taken.sort((a, b) => (a.first < b.first ? -1 : 1));
    }
    expect(given).to.have.length(12);
    expect(given.slice(3, 6)).to.deep.equal(['10.66.0.48/28', '10.66.0.128/28', '10.66.0.144/28']);
  });

  it('are none in a base that lies within a taken block, and none larger than the base', () => {
    const base = parsePrefix('10.66.0.0/24');
    expect(firstGap(base, 28, [parsePrefix('10.0.0.0/8')])).to.equal(undefined);
    expect(firstGap(base, 28, [base])).to.equal(undefined);
    expect(firstGap(base, 16, [])).to.equal(undefined);
    expect(firstGap(base, 33, [])).to.equal(undefined);
    expect(firstGap(base, 24, [])).to.deep.equal(base);
  });

  it('reach to the end of all addresses', () => {
    const base = parsePrefix('255.255.255.0/24');
    expect(firstGap(base, 25, [parsePrefix('255.255.255.0/25')])).to.deep.equal(parsePrefix('255.255.255.128/25'));
    expect(firstGap(base, 25, [parsePrefix('255.255.255.0/25'), parsePrefix('255.255.255.128/25')])).to.equal(
      undefined,
    );
  });

  it('skip blocks below the base and stop at those above it', () => {
    const base = parsePrefix('10.66.1.0/24');
    const taken = ['10.66.0.0/24', '10.66.1.0/26', '10.66.2.0/24'].map(parsePrefix);
    expect(firstGap(base, 26, taken)).to.deep.equal(parsePrefix('10.66.1.64/26'));
  });
});

describe('free values', () => {
  it('are those of the range that are not taken, lowest first, 500 sets', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.nat(40), fc.uniqueArray(fc.nat(80), { maxLength: 60 }), (from, size, drawn) => {
        const range = { family: 4, from: BigInt(from), to: BigInt(from + size - 1) } as const;
        const taken = drawn.sort((a, b) => a - b);
        const free = Array.from({ length: size }, (_, i) => from + i).filter((value) => !taken.includes(value));
        expect(freeIn(range, taken.map(BigInt))).to.deep.equal(free.map(BigInt));
      }),
      { numRuns: 500 },
    );
  });
});

describe('parts of a range', () => {
  it('cover it exactly, ascending, at most as many as asked for, no two of them differing by more than one, 500 ranges', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 1n << 100n }),
        fc.bigInt({ min: 1n, max: 1n << 80n }),
        fc.integer({ min: 1, max: 128 }),
        (from, size, parts) => {
          const pieces = split({ family: 6, from, to: from + size - 1n }, parts);
          expect(pieces.length).to.equal(size < BigInt(parts) ? Number(size) : parts);
          let next = from;
          const sizes = pieces.map((piece) => {
            expect(piece.from).to.equal(next);
            next = piece.to + 1n;
            return piece.to - piece.from + 1n;
          });
          expect(next).to.equal(from + size);
          const smallest = sizes.reduce((a, b) => (a < b ? a : b));
          expect(sizes.every((one) => one >= 1n && one - smallest <= 1n)).to.equal(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});
