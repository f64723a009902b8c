import { expect } from 'chai';
import fc from 'fast-check';
import { formatPoolId, type PoolRef, parsePoolId } from '../../../src/ipam/pool-id.js';
import { BITS, type Family } from '../../../src/net/address.js';
import { equal, parsePrefix, prefixOf } from '../../../src/net/prefix.js';

const HEX = '0123456789abcdef';
const join = fc.array(fc.constantFrom(...HEX), { minLength: 16, maxLength: 16 }).map((digits) => digits.join(''));
/** No IPv4-mapped ones: those have no text of their own. */
const place = fc.oneof(
  fc.record({ family: fc.constant<Family>(4), value: fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }) }),
  fc.record({ family: fc.constant<Family>(6), value: fc.bigInt({ min: 1n << 96n, max: (1n << 128n) - 1n }) }),
);
const ref = fc
  .tuple(
    fc.constantFrom('local', 'global', 'local.blue', 'global.a-1', 'global@prod_1', 'global.blue@X'),
    place,
    fc.nat(128),
    fc.nat(128),
    join,
  )
  .map(([space, address, drawn, more, id]): PoolRef => {
    const bits = BITS[address.family];
    const prefix = prefixOf(address, drawn % (bits + 1));
    const range = prefixOf(address, prefix.length + (more % (bits - prefix.length + 1)));
    const epoch = space.startsWith('global') ? { epoch: 1 + drawn } : {};
    return { space, prefix, ...(!equal(range, prefix) && { range }), ...epoch, join: id };
  })
  // The zero network reads as IPv4-mapped or as itself; nobody can make such a pool.
  .filter(({ prefix, range }) => [prefix, range].every((one) => !one || one.family === 4 || one.first >> 48n !== 0n));

describe('pool ids', () => {
  it('say space, subnet, range and join in words a person can read', () => {
    const plain = { space: 'local', prefix: parsePrefix('10.66.0.0/24'), join: '9f3c5a7e11d00b42' };
    expect(formatPoolId(plain)).to.equal('local/10.66.0.0/24?join=9f3c5a7e11d00b42');
    expect(formatPoolId({ ...plain, range: parsePrefix('10.66.0.128/25') })).to.equal(
      'local/10.66.0.0/24?range=10.66.0.128/25&join=9f3c5a7e11d00b42',
    );
    expect(formatPoolId({ ...plain, space: 'local.blue', prefix: parsePrefix('fd00:66::/64') })).to.equal(
      'local.blue/fd00:66::/64?join=9f3c5a7e11d00b42',
    );
    expect(formatPoolId({ ...plain, space: 'global@prod', epoch: 3 })).to.equal(
      'global@prod/10.66.0.0/24?epoch=3&join=9f3c5a7e11d00b42',
    );
  });

  it('read back as what they were made of, 500 of them', () => {
    fc.assert(
      fc.property(ref, (pool) => {
        expect(parsePoolId(formatPoolId(pool))).to.deep.equal(pool);
      }),
      { numRuns: 500 },
    );
  });

  it('stay readable for ever: those of version 0.1', () => {
    expect(parsePoolId('local/10.66.0.0/24?join=9f3c5a7e11d00b42')).to.deep.equal({
      space: 'local',
      prefix: { family: 4, first: 0x0a420000n, length: 24 },
      join: '9f3c5a7e11d00b42',
    });
    expect(parsePoolId('local.blue/fd00:66::/64?range=fd00:66::/96&join=0000000000000001')).to.deep.equal({
      space: 'local.blue',
      prefix: { family: 6, first: 0xfd00_0066n << 96n, length: 64 },
      range: { family: 6, first: 0xfd00_0066n << 96n, length: 96 },
      join: '0000000000000001',
    });
  });

  it('with one character changed, added or taken away are another id of ours or none, 3000 times', () => {
    fc.assert(
      fc.property(
        ref,
        fc.nat(200),
        fc.constantFrom('', ' ', '/', '0', '9', 'a', 'F', '%', '\n', '?', '&'),
        fc.nat(1),
        (pool, drawn, text, cut) => {
          const id = formatPoolId(pool);
          const at = drawn % (id.length + 1);
          const mutant = id.slice(0, at) + text + id.slice(at + cut);
          const parsed = parsePoolId(mutant);
          if (parsed) expect(formatPoolId(parsed)).to.equal(mutant);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('that this driver never wrote are none', () => {
    for (const text of [
      '',
      'LocalDefault/10.66.0.0/24',
      'local/10.66.0.0/24',
      'local/10.66.0.0/24?join=',
      'local/10.66.0.0/24?join=9f3c5a7e11d00b4',
      'local/10.66.0.0/24?join=9f3c5a7e11d00b422',
      'local/10.66.0.0/24?join=9F3C5A7E11D00B42',
      'local/10.66.0.0/24?join=9f3c5a7e11d00b42\n',
      ' local/10.66.0.0/24?join=9f3c5a7e11d00b42',
      'local/10.66.0.1/24?join=9f3c5a7e11d00b42',
      'local/10.066.0.0/24?join=9f3c5a7e11d00b42',
      'local/10.66.0.0/33?join=9f3c5a7e11d00b42',
      'local/10.66.0.0/024?join=9f3c5a7e11d00b42',
      'local/fd00:66:0::/64?join=9f3c5a7e11d00b42',
      'local/::ffff:10.66.0.0/120?join=9f3c5a7e11d00b42',
      'LOCAL/10.66.0.0/24?join=9f3c5a7e11d00b42',
      '../nodes/10.66.0.0/24?join=9f3c5a7e11d00b42',
      'local/../10.66.0.0/24?join=9f3c5a7e11d00b42',
      'local/10.66.0.0/24?range=10.66.0.0/24&join=9f3c5a7e11d00b42',
      'local/10.66.0.0/24?range=10.67.0.0/25&join=9f3c5a7e11d00b42',
      'local/10.66.0.0/24?range=10.66.0.0/16&join=9f3c5a7e11d00b42',
      'local/10.66.0.0/24?range=fd00::/64&join=9f3c5a7e11d00b42',
      'local/10.66.0.0/24?epoch=3&join=9f3c5a7e11d00b42',
      'global/10.66.0.0/24?join=9f3c5a7e11d00b42',
      'global/10.66.0.0/24?epoch=0&join=9f3c5a7e11d00b42',
      'global/10.66.0.0/24?epoch=03&join=9f3c5a7e11d00b42',
      'local@prod/10.66.0.0/24?join=9f3c5a7e11d00b42',
      `${'l'.repeat(65)}/10.66.0.0/24?join=9f3c5a7e11d00b42`,
    ])
      expect(parsePoolId(text), JSON.stringify(text)).to.equal(undefined);
  });
});
