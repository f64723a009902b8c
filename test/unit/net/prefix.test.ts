import { expect } from 'chai';
import fc from 'fast-check';
import { BITS, type Family, formatAddress, NetError, parseAddress } from '../../../src/net/address.js';
import {
  contains,
  equal,
  formatPrefix,
  formatWidePrefix,
  intersect,
  isInside,
  lastOf,
  overlaps,
  type Prefix,
  parsePrefix,
  prefixOf,
  reservedAs,
  sizeOf,
  usable,
} from '../../../src/net/prefix.js';

/** Blocks within a space of 32 addresses, so that every pair and every member can be tried. */
const TOY = 5;
function toyBlocks(family: Family): Prefix[] {
  const blocks: Prefix[] = [];
  for (let host = 0; host <= TOY; host++)
    for (let first = 0; first < 1 << TOY; first += 1 << host)
      blocks.push({ family, first: BigInt(first), length: BITS[family] - host });
  return blocks;
}
const members = ({ first, length, family }: Prefix) =>
  new Set(Array.from({ length: 2 ** (BITS[family] - length) }, (_, i) => Number(first) + i));

function refusalOf(text: string): string {
  try {
    parsePrefix(text);
  } catch (error) {
    if (error instanceof NetError) return error.message;
    throw error;
  }
  throw new Error(`"${text}" was taken for a block`);
}

describe('prefixes', () => {
  it('mask host bits away, as engines before 25 leave them to us', () => {
    expect(formatPrefix(parsePrefix('192.168.1.5/24'))).to.equal('192.168.1.0/24');
    expect(formatPrefix(parsePrefix('fd00:66::1:2/64'))).to.equal('fd00:66::/64');
    expect(formatPrefix(parsePrefix('255.255.255.255/0'))).to.equal('0.0.0.0/0');
    expect(formatPrefix(parsePrefix('10.66.3.7/32'))).to.equal('10.66.3.7/32');
    expect(formatPrefix(parsePrefix('fd00::1/128'))).to.equal('fd00::1/128');
  });

  it('are what they say, 500 of both families and any length', () => {
    const block = fc.oneof(
      fc.record({ family: fc.constant<Family>(4), value: fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }) }),
      fc.record({
        family: fc.constant<Family>(6),
        value: fc.bigInt({ min: 1n << 64n, max: (1n << 128n) - 1n }),
      }),
    );
    fc.assert(
      fc.property(block, fc.nat(128), (address, drawn) => {
        const length = drawn % (BITS[address.family] + 1);
        const parsed = parsePrefix(`${formatAddress(address)}/${length}`);
        expect(parsed).to.deep.equal(prefixOf(address, length));
        expect(parsed.first % sizeOf(parsed)).to.equal(0n);
        expect(contains(parsed, address)).to.equal(true);
        expect(parsePrefix(formatPrefix(parsed))).to.deep.equal(parsed);
      }),
      { numRuns: 500 },
    );
  });

  it('refuse what is no block', () => {
    for (const text of ['', '10.66.0.0', '10.66.0.0/', '/24', '10.66.0.0/24/24', '10.66.0.0/-1', '10.66.0.0/+8'])
      expect(refusalOf(text)).to.equal(`"${text}" is not a CIDR block such as 10.66.0.0/24 or fd00:66::/64`);
    for (const text of [
      '10.66.0.0/024',
      '10.66.0.0/ 24',
      '10.66.0.0/24 ',
      '10.66.0.0/24\n',
      '10.66.0.0/0x18',
      '10.66.0.0/1e1',
    ])
      expect(refusalOf(text)).to.equal(`"${text}" is not a CIDR block such as 10.66.0.0/24 or fd00:66::/64`);
    expect(refusalOf('10.66.0.0/33')).to.equal('"10.66.0.0/33" has a prefix length above 32');
    expect(refusalOf('fd00::/129')).to.equal('"fd00::/129" has a prefix length above 128');
    expect(refusalOf('010.66.0.0/24')).to.equal('"010.66.0.0" is not an IP address');
    expect(refusalOf(' 10.66.0.0/24')).to.equal('" 10.66.0.0" is not an IP address');
    expect(refusalOf('fe80::%eth0/64')).to.equal('"fe80::%eth0" has a zone; an address of a pool has none');
    expect(refusalOf('::ffff:10.66.0.0/120')).to.equal(
      '"::ffff:10.66.0.0" is an IPv4-mapped IPv6 address; write 10.66.0.0',
    );
  });

  it('sort in keys by network, then by length, without a slash', () => {
    expect(formatWidePrefix(parsePrefix('10.66.0.0/24'))).to.equal('010.066.000.000-24');
    expect(formatWidePrefix(parsePrefix('fd00:66::/64'))).to.equal('fd00:0066:0000:0000:0000:0000:0000:0000-64');
    const texts = ['10.66.0.0/24', '9.0.0.0/8', '10.65.0.0/16'].map((text) => formatWidePrefix(parsePrefix(text)));
    expect(texts.sort()).to.deep.equal(['009.000.000.000-8', '010.065.000.000-16', '010.066.000.000-24']);
  });

  for (const family of [4, 6] as const) {
    it(`IPv${family}: contain, overlap, lie inside and equal one another as the sets they are, all ${toyBlocks(family).length}² pairs`, () => {
      const blocks = toyBlocks(family);
      for (const a of blocks) {
        const inA = members(a);
        expect(sizeOf(a)).to.equal(BigInt(inA.size));
        expect(lastOf(a)).to.equal(BigInt(Math.max(...inA)));
        for (let value = 0; value < 1 << TOY; value++)
          if (contains(a, { family, value: BigInt(value) }) !== inA.has(value))
            throw new Error(`${formatPrefix(a)} ${value}`);
        for (const b of blocks) {
          const inB = members(b);
          const shared = [...inB].filter((value) => inA.has(value)).length;
          const seen = [overlaps(a, b), isInside(b, a), equal(a, b)];
          const right = [shared > 0, shared === inB.size, shared === inB.size && shared === inA.size];
          if (seen.join() !== right.join()) throw new Error(`${formatPrefix(a)} and ${formatPrefix(b)}: ${seen}`);
        }
      }
    });
  }

  it('of different families have nothing in common, whatever their numbers', () => {
    const four: Prefix = { family: 4, first: 0n, length: 0 };
    const six: Prefix = { family: 6, first: 0n, length: 0 };
    expect([overlaps(four, six), overlaps(six, four), equal(four, six)]).to.deep.equal([false, false, false]);
    expect([isInside(six, four), isInside({ family: 4, first: 0n, length: 1 }, six)]).to.deep.equal([false, false]);
    expect(contains(six, parseAddress('10.0.0.1'))).to.equal(false);
  });

  it('leave out what no interface may have, and say why', () => {
    const ends = (text: string) => {
      const block = parsePrefix(text);
      const { from, to } = usable(block);
      return [from, to].map((value) => formatAddress({ family: block.family, value }));
    };
    expect(ends('10.66.0.0/24')).to.deep.equal(['10.66.0.1', '10.66.0.254']);
    expect(ends('10.66.0.0/30')).to.deep.equal(['10.66.0.1', '10.66.0.2']);
    // RFC 3021 and host routes
    expect(ends('10.66.0.0/31')).to.deep.equal(['10.66.0.0', '10.66.0.1']);
    expect(ends('10.66.0.7/32')).to.deep.equal(['10.66.0.7', '10.66.0.7']);
    // RFC 4291 §2.6.1, RFC 6164
    expect(ends('fd00:66::/64')).to.deep.equal(['fd00:66::1', 'fd00:66::ffff:ffff:ffff:ffff']);
    expect(ends('fd00:66::/126')).to.deep.equal(['fd00:66::1', 'fd00:66::3']);
    expect(ends('fd00:66::/127')).to.deep.equal(['fd00:66::', 'fd00:66::1']);
    expect(ends('fd00:66::7/128')).to.deep.equal(['fd00:66::7', 'fd00:66::7']);
    const why = (prefix: string, address: string) => reservedAs(parsePrefix(prefix), parseAddress(address));
    expect(why('10.66.0.0/24', '10.66.0.0')).to.equal('network address');
    expect(why('10.66.0.0/24', '10.66.0.255')).to.equal('broadcast address');
    expect(why('10.66.0.0/24', '10.66.0.1')).to.equal(undefined);
    expect(why('10.66.0.0/31', '10.66.0.0')).to.equal(undefined);
    expect(why('fd00:66::/64', 'fd00:66::')).to.equal('subnet-router anycast address');
    expect(why('fd00:66::/64', 'fd00:66::ffff:ffff:ffff:ffff')).to.equal(undefined);
    expect(why('fd00:66::/127', 'fd00:66::')).to.equal(undefined);
  });

  it('intersect, and are empty where they do not meet', () => {
    const a = { family: 4, from: 3n, to: 9n } as const;
    expect(intersect(a, { family: 4, from: 5n, to: 20n })).to.deep.equal({ family: 4, from: 5n, to: 9n });
    const { from, to } = intersect(a, { family: 4, from: 10n, to: 20n });
    expect(to < from).to.equal(true);
  });
});
