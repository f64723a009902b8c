import { expect } from 'chai';
import fc from 'fast-check';
import {
  type Address,
  formatAddress,
  formatWide,
  isWide,
  NetError,
  parseAddress,
  parseWide,
} from '../../../src/net/address.js';
import { parsePrefix } from '../../../src/net/prefix.js';
import { parseRange } from '../../../src/net/range.js';

const v4 = fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }).map((value): Address => ({ family: 4, value }));
/** Many zero groups, so that shortening is exercised; none of the IPv4-mapped block. */
const v6 = fc
  .array(fc.oneof(fc.constant(0), fc.constant(0xffff), fc.integer({ min: 0, max: 0xffff })), {
    minLength: 8,
    maxLength: 8,
  })
  .map((groups): Address => ({ family: 6, value: groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n) }))
  .filter(({ value }) => value >> 32n !== 0xffffn);
const any = fc.oneof(v4, v6);

function refusalOf(text: string): string {
  try {
    parseAddress(text);
  } catch (error) {
    if (error instanceof NetError) return error.message;
    throw error;
  }
  throw new Error(`"${text}" was taken for an address`);
}

function isAsWritten(text: string): boolean {
  try {
    return formatWide(parseWide(text)) === text;
  } catch {
    return false;
  }
}

describe('addresses', () => {
  it('are numbers of their family', () => {
    expect(parseAddress('10.66.3.7')).to.deep.equal({ family: 4, value: 0x0a420307n });
    expect(parseAddress('255.255.255.255').value).to.equal(0xffffffffn);
    expect(parseAddress('fd00:66::1:0:7')).to.deep.equal({ family: 6, value: 0xfd000066000000000000000100000007n });
    expect(parseAddress('::').value).to.equal(0n);
    expect(parseAddress('::1').value).to.equal(1n);
    expect(parseAddress('1::').value).to.equal(1n << 112n);
    expect(parseAddress('FD00::ABCD').value).to.equal(parseAddress('fd00::abcd').value);
    expect(parseAddress('1:2:3:4:5:6:7:8').value).to.equal(0x00010002000300040005000600070008n);
    expect(parseAddress('64:ff9b::10.66.3.7').value).to.equal((0x64ff9bn << 96n) | 0x0a420307n);
  });

  it('are written as Go writes them (RFC 5952)', () => {
    for (const [text, canonical] of [
      ['fd00:0:0:1:0:0:0:1', 'fd00:0:0:1::1'],
      ['fd00:0:0:1:1:0:0:1', 'fd00::1:1:0:0:1'],
      ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
      ['0:0:1:2:3:4:5:6', '::1:2:3:4:5:6'],
      ['1:2:3:4:5:6:0:0', '1:2:3:4:5:6::'],
      ['0:0:0:0:0:0:0:0', '::'],
      ['FD00:00AB::', 'fd00:ab::'],
      ['::10.66.3.7', '::a42:307'],
    ])
      expect(formatAddress(parseAddress(text!))).to.equal(canonical);
  });

  it('are known by their full width, and by nothing else, 500 of both families', () => {
    fc.assert(
      fc.property(any, fc.nat(), fc.constantFrom('', '0', 'x', '.', '/', ':'), (address, at, by) => {
        const wide = formatWide(address);
        const others = ([4, 6] as const).filter((family) => family !== address.family);
        expect([isWide(wide, address.family), isWide(wide, others[0]!)]).to.deep.equal([true, false]);
        const place = at % wide.length;
        const odd = wide.slice(0, place) + by + wide.slice(place + 1);
        if (odd !== wide) expect(isWide(odd, address.family), odd).to.equal(isAsWritten(odd));
      }),
      { numRuns: 500 },
    );
    for (const odd of ['010.066.000.256', '010.066.000', '010.066.000.020.', `${'0000:'.repeat(5)}ffff:0a42:0001`])
      expect([isWide(odd, 4), isWide(odd, 6)], odd).to.deep.equal([false, false]);
  });

  it('that are none are repeated in part', () => {
    const long = 'x'.repeat(1_000_000);
    const said = (parse: () => unknown) => {
      try {
        parse();
      } catch (error) {
        if (error instanceof NetError) return error.message;
        throw error;
      }
      return 'parsed';
    };
    for (const parse of [
      () => parseAddress(long),
      () => parseAddress(`fe80::1%${long}`),
      () => parsePrefix(long),
      () => parsePrefix(`10.0.0.0/${long}`),
      () => parseRange(`10.66.0.1-10.66.0.2-${long}`),
    ])
      expect(said(parse)).to.match(/^"[^"]{60}…" .{5,80}$/);
  });

  it('read back what they write, 500 of both families', () => {
    fc.assert(
      fc.property(any, (address) => {
        expect(parseAddress(formatAddress(address))).to.deep.equal(address);
      }),
      { numRuns: 500 },
    );
  });

  it('are at full width for keys, and read back from there, 500 of both families', () => {
    expect(formatWide(parseAddress('10.66.3.7'))).to.equal('010.066.003.007');
    expect(formatWide(parseAddress('fd00:66::7'))).to.equal('fd00:0066:0000:0000:0000:0000:0000:0007');
    fc.assert(
      fc.property(any, (address) => {
        expect(parseWide(formatWide(address))).to.deep.equal(address);
      }),
      { numRuns: 500 },
    );
  });

  it('have the order of their wide texts, 500 pairs of each family', () => {
    for (const family of [v4, v6])
      fc.assert(
        fc.property(family, family, (a, b) => {
          const [left, right] = [Buffer.from(formatWide(a)), Buffer.from(formatWide(b))];
          expect(Math.sign(Buffer.compare(left, right))).to.equal(a.value < b.value ? -1 : a.value > b.value ? 1 : 0);
        }),
        { numRuns: 500 },
      );
  });

  it('refuse leading zeros, which are octal to some', () => {
    for (const text of ['010.66.3.7', '10.066.3.7', '10.66.3.07', '10.66.3.00'])
      expect(refusalOf(text)).to.equal(`"${text}" is not an IP address`);
  });

  it('refuse zones, ports, spaces, prefixes and what is no address at all', () => {
    expect(refusalOf('fe80::1%eth0')).to.equal('"fe80::1%eth0" has a zone; an address of a pool has none');
    for (const text of [
      '',
      ' ',
      ' 10.66.3.7',
      '10.66.3.7 ',
      '10.66.3.7\n',
      '10.66.3.7:80',
      '[fd00::1]',
      '[fd00::1]:80',
      '10.66.3.7/24',
      '10.66.3',
      '10.66.3.7.8',
      '10.66.3.256',
      '10.66.3.-7',
      '0x0a.66.3.7',
      '172098311',
      'fd00:::1',
      'fd00::1::2',
      'fd00:1:2:3:4:5:6:7:8',
      'fd00::12345',
      'fd00::g',
      '::10.66.3.256',
      '٣.4.5.6',
      'localhost',
    ])
      expect(refusalOf(text)).to.equal(`"${text}" is not an IP address`);
  });

  it('refuse an IPv4 address in IPv6 clothes and say how to write it', () => {
    for (const text of ['::ffff:10.66.3.7', '::ffff:a42:307', '0:0:0:0:0:FFFF:0a42:0307'])
      expect(refusalOf(text)).to.equal(`"${text}" is an IPv4-mapped IPv6 address; write 10.66.3.7`);
  });
});
