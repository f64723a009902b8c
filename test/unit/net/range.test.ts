import { expect } from 'chai';
import { NetError, parseAddress } from '../../../src/net/address.js';
import { parseMac } from '../../../src/net/mac.js';
import { formatRange, holds, parseRange } from '../../../src/net/range.js';

const said = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof NetError) return error.message;
    throw error;
  }
  throw new Error('this was understood');
};

describe('ranges', () => {
  for (const [text, canonical] of [
    ['10.66.0.9', '10.66.0.9'],
    ['10.66.0.10-10.66.0.20', '10.66.0.10-10.66.0.20'],
    ['10.66.0.9-10.66.0.9', '10.66.0.9'],
    ['10.66.0.64/26', '10.66.0.64-10.66.0.127'],
    ['fd00::1-fd00::ff', 'fd00::1-fd00::ff'],
    ['FD00:0::/126', 'fd00::-fd00::3'],
  ] as const) {
    it(`${text} is ${canonical}`, () => expect(formatRange(parseRange(text))).to.equal(canonical));
  }

  for (const [text, why] of [
    ['', '"" is not an IP address'],
    ['10.66.0.10-', '"" is not an IP address'],
    ['10.66.0.10-20', '"20" is not an IP address'],
    ['10.66.0.010-10.66.0.20', '"10.66.0.010" is not an IP address'],
    ['10.66.0.1 - 10.66.0.2', '"10.66.0.1 " is not an IP address'],
    ['10.66.0.20-10.66.0.10', '"10.66.0.20-10.66.0.10" ends before it begins'],
    ['10.66.0.1-fd00::1', '"10.66.0.1-fd00::1" is not a range such as 10.66.0.10-10.66.0.20'],
    ['10.66.0.1-10.66.0.2-10.66.0.3', '"10.66.0.1-10.66.0.2-10.66.0.3" is not a range such as 10.66.0.10-10.66.0.20'],
    ['10.66.0.0/33', '"10.66.0.0/33" has a prefix length above 32'],
  ] as const) {
    it(`"${text}" is none`, () => expect(said(() => parseRange(text))).to.equal(why));
  }

  it('hold both of their ends, and nothing of the other family', () => {
    const range = parseRange('0.0.0.5-0.0.0.7');
    const inside = ['0.0.0.4', '0.0.0.5', '0.0.0.7', '0.0.0.8', '::6'].map((text) => holds(range, parseAddress(text)));
    expect(inside).to.deep.equal([false, true, true, false, false]);
  });
});

describe('MAC addresses', () => {
  it('are lower case', () => expect(parseMac('02:42:0A:42:00:02')).to.equal('02:42:0a:42:00:02'));

  for (const text of ['', '02-42-0a-42-00-02', '02420a420002', '2:42:a:42:0:2', '02:42:0a:42:00:0g'])
    it(`"${text}" is none`, () =>
      expect(said(() => parseMac(text))).to.equal(`"${text}" is not a MAC address such as 02:42:0a:42:00:02`));
});
