import { expect } from 'chai';
import { parsePrefix } from '../../../src/net/prefix.js';
import { specialIn } from '../../../src/net/special.js';

describe('special blocks', () => {
  it('are named where a pool touches one', () => {
    for (const [pool, why] of [
      ['0.0.0.0/0', '"this network" (RFC 1122)'],
      ['0.1.0.0/16', '"this network" (RFC 1122)'],
      ['127.0.0.0/24', 'loopback (RFC 1122)'],
      ['126.0.0.0/7', 'loopback (RFC 1122)'],
      ['239.1.0.0/16', 'multicast (RFC 5771)'],
      ['255.255.255.255/32', 'limited broadcast (RFC 919)'],
      ['::/0', 'unspecified (RFC 4291)'],
      ['::1/128', 'loopback (RFC 4291)'],
      ['::fffe:0:0/95', 'IPv4-mapped (RFC 4291)'],
      ['::8000:0:0/81', 'IPv4-mapped (RFC 4291)'],
      ['ff02::/16', 'multicast (RFC 4291)'],
    ])
      expect(specialIn(parsePrefix(pool!)), pool).to.equal(why);
  });

  it('are none in what people use: private, shared, link-local, documentation, unique local and global ones', () => {
    for (const pool of [
      '10.0.0.0/8',
      '172.16.0.0/12',
      '192.168.0.0/16',
      '100.64.0.0/10',
      '169.254.0.0/16',
      '192.0.2.0/24',
      '1.0.0.0/8',
      '223.255.255.0/24',
      '128.0.0.0/16',
      'fd00::/8',
      'fe80::/64',
      '::fffe:0:0/96',
      '64:ff9b::/96',
      '2001:db8::/32',
    ])
      expect(specialIn(parsePrefix(pool)), pool).to.equal(undefined);
  });
});
