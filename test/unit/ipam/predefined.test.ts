import { expect } from 'chai';
import { ofFamily, parsePredefined } from '../../../src/ipam/predefined.js';
import { NetError } from '../../../src/net/address.js';
import { formatPrefix } from '../../../src/net/prefix.js';

const read = (text: string) => parsePredefined(text).map(({ base, length }) => `${formatPrefix(base)} in /${length}`);

function refusalOf(text: string): string {
  try {
    parsePredefined(text);
  } catch (error) {
    if (error instanceof NetError) return error.message;
    throw error;
  }
  throw new Error(`"${text}" was taken`);
}

describe('predefined pools', () => {
  it('are a list of BASE/LENGTH/SIZE, of both families', () => {
    expect(read('10.208.0.0/12/24,fd00:e7cd::/48/64')).to.deep.equal(['10.208.0.0/12 in /24', 'fd00:e7cd::/48 in /64']);
    expect(read(' 10.208.0.0/12/24 , ,10.0.0.0/24/24,')).to.deep.equal(['10.208.0.0/12 in /24', '10.0.0.0/24 in /24']);
    expect(read('10.208.1.2/12/30')).to.deep.equal(['10.208.0.0/12 in /30']);
    expect(read('')).to.deep.equal([]);
  });

  it('are told apart by family', () => {
    const list = parsePredefined('10.208.0.0/12/24,fd00:e7cd::/48/64');
    expect(ofFamily(list, 6)).to.deep.equal([list[1]]);
    expect(ofFamily(list, 4)).to.deep.equal([list[0]]);
  });

  it('are refused with what is wrong and what is allowed', () => {
    for (const text of ['10.208.0.0', '10.208.0.0/12/', '10.208.0.0/12/024', '10.208.0.0/12/x', '10.208.0.0/12/0'])
      expect(refusalOf(text)).to.equal(`"${text}" is not BASE/LENGTH/SIZE such as 10.208.0.0/12/24`);
    expect(refusalOf('10.208.0.0/12')).to.equal(
      '"10.208.0.0" is not a CIDR block such as 10.66.0.0/24 or fd00:66::/64',
    );
    expect(refusalOf('10.208.0.0/12/8')).to.equal(
      '"10.208.0.0/12/8" cuts networks of /8; the size must be between /12 and /30',
    );
    expect(refusalOf('10.208.0.0/12/31')).to.equal(
      '"10.208.0.0/12/31" cuts networks of /31; the size must be between /12 and /30',
    );
    expect(refusalOf('fd00::/48/127')).to.equal(
      '"fd00::/48/127" cuts networks of /127; the size must be between /48 and /126',
    );
    for (const [text, why] of [
      ['127.0.0.0/8/24', 'loopback (RFC 1122)'],
      ['64.0.0.0/2/24', 'loopback (RFC 1122)'],
      ['239.0.0.0/8/24', 'multicast (RFC 5771)'],
      ['ff00::/8/64', 'multicast (RFC 4291)'],
    ])
      expect(refusalOf(text!)).to.equal(`"${text}" holds addresses that no host can have: ${why}`);
    expect(refusalOf('10.0.0.0/8/24,10.208.0.0/12/24')).to.equal('"10.208.0.0/12/24" overlaps with 10.0.0.0/8');
  });
});
