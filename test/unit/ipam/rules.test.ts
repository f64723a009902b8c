// What an operator may lay down, and what it comes to: which addresses are barred and for whom they are kept.
import { expect } from 'chai';
import fc from 'fast-check';
import { IpamError } from '../../../src/ipam/errors.js';
import type { RuleSet } from '../../../src/ipam/records.js';
import { applied, NOTHING, type RuleChange } from '../../../src/ipam/rule-changes.js';
import { NO_RULES, Rules, rulesOf } from '../../../src/ipam/rules.js';
import { formatAddress, parseAddress } from '../../../src/net/address.js';
import { parsePrefix } from '../../../src/net/prefix.js';
import { formatRange, parseRange } from '../../../src/net/range.js';

const POOL = parsePrefix('10.66.0.0/24');
const exclude = (range: string, comment?: string): RuleChange => ({
  ...{ kind: 'exclude', range: parseRange(range) },
  ...(comment !== undefined && { comment }),
});
const include = (range: string): RuleChange => ({ kind: 'include', range: parseRange(range) });
const reserve = (ip: string, who: { name?: string; mac?: string; comment?: string }): RuleChange => ({
  ...{ kind: 'reserve', address: parseAddress(ip) },
  ...who,
});
const laid = (...changes: RuleChange[]): RuleSet =>
  changes.reduce((rules, change) => applied(rules, change, POOL, false), NOTHING);
const refused = (...changes: RuleChange[]): string => {
  try {
    laid(...changes);
  } catch (error) {
    if (error instanceof IpamError) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error('this was taken');
};

describe('changes of rules', () => {
  it('stand in the order of addresses, whatever the order in which they were made', () => {
    const rules = laid(
      ...[exclude('10.66.0.100-10.66.0.120', 'lab'), exclude('10.66.0.9'), reserve('10.66.0.30', { name: 'web' })],
      ...[reserve('10.66.0.7', { mac: '02:42:0a:42:00:02', comment: 'door' })],
      ...([
        { kind: 'warn', at: 80 },
        { kind: 'note', text: 'second floor' },
      ] as const),
    );
    expect(rules).to.deep.equal({
      excluded: [
        { from: '10.66.0.9', to: '10.66.0.9' },
        { from: '10.66.0.100', to: '10.66.0.120', comment: 'lab' },
      ],
      reserved: [
        { address: '10.66.0.7', mac: '02:42:0a:42:00:02', comment: 'door' },
        { address: '10.66.0.30', name: 'web' },
      ],
      note: 'second floor',
      warnAt: 80,
    });
    expect(
      laid({ kind: 'note', text: 'a' }, { kind: 'warn', at: 1 }, { kind: 'note' }, { kind: 'warn' }),
    ).to.deep.equal(NOTHING);
  });

  it('that say nothing new leave the very same rules, and another comment replaces the one there is', () => {
    const rules = laid(exclude('10.66.0.9', 'a'), reserve('10.66.0.7', { name: 'web' }), { kind: 'warn', at: 80 });
    for (const change of [
      exclude('10.66.0.9', 'a'),
      reserve('10.66.0.7', { name: 'web' }),
      { kind: 'warn', at: 80 },
    ] as const)
      expect(applied(rules, change, POOL, false)).to.equal(rules);
    expect(applied(rules, exclude('10.66.0.9', 'b'), POOL, false).excluded).to.deep.equal([
      { from: '10.66.0.9', to: '10.66.0.9', comment: 'b' },
    ]);
  });

  it('leave out of a range what nobody is given anyway', () => {
    expect(laid(exclude('10.66.0.0/28')).excluded).to.deep.equal([{ from: '10.66.0.1', to: '10.66.0.15' }]);
    expect(laid(exclude('10.66.0.0/28'), include('10.66.0.0/28'))).to.deep.equal(NOTHING);
    expect(refused(exclude('10.66.0.255'))).to.equal(
      'bad_rule: 10.66.0.255 is never given: it is the broadcast address',
    );
  });

  const long = 'x'.repeat(256);
  for (const [what, change, why] of [
    ['a range outside', exclude('10.66.0.250-10.66.1.3'), '10.66.1.3 is outside pool 10.66.0.0/24'],
    ['a range of the other family', exclude('fd00::/64'), 'fd00:: is outside pool 10.66.0.0/24'],
    ['an address outside', reserve('10.67.0.1', { name: 'web' }), '10.67.0.1 is outside pool 10.66.0.0/24'],
    [
      'the network address',
      reserve('10.66.0.0', { name: 'web' }),
      '10.66.0.0 is never given: it is the network address of pool 10.66.0.0/24',
    ],
    ['an exclusion that is none', include('10.66.0.9'), '10.66.0.9 is no exclusion of pool 10.66.0.0/24: it has none'],
    [
      'a reservation that is none',
      { kind: 'unreserve', address: parseAddress('10.66.0.9') },
      '10.66.0.9 of pool 10.66.0.0/24 is not reserved',
    ],
    [
      'a name of 256 characters',
      reserve('10.66.0.9', { name: long }),
      'the name has 256 characters; at most 255 are allowed',
    ],
    ['an empty name', reserve('10.66.0.9', { name: ' ' }), 'the name is empty'],
    [
      'a comment of 201 characters',
      exclude('10.66.0.9', long.slice(0, 201)),
      'the comment has 201 characters; at most 200 are allowed',
    ],
    ['a comment of two lines', exclude('10.66.0.9', 'a\nb'), 'the comment has a control character or a line break'],
    [
      'a note that colours a terminal',
      { kind: 'note', text: '\u001b[31mred' },
      'the note has a control character or a line break',
    ],
    ['0 %', { kind: 'warn', at: 0 }, '0 is not a percentage from 1 to 100'],
    ['101 %', { kind: 'warn', at: 101 }, '101 is not a percentage from 1 to 100'],
  ] as const) {
    it(`${what}: refused`, () => expect(refused(change)).to.equal(`bad_rule: ${why}`));
  }

  it('one address for one name: a second of either is refused, and says what is in the way', () => {
    const web = reserve('10.66.0.7', { name: 'web' });
    expect(refused(web, reserve('10.66.0.7', { name: 'db' }))).to.equal(
      'bad_rule: 10.66.0.7 is reserved for web already',
    );
    expect(refused(web, reserve('10.66.0.8', { name: 'web' }))).to.equal(
      'bad_rule: web has 10.66.0.7 reserved already; remove that first',
    );
    expect(refused(exclude('10.66.0.4'), exclude('10.66.0.9-10.66.0.12'), include('10.66.0.9'))).to.equal(
      'bad_rule: 10.66.0.9 is no exclusion of pool 10.66.0.0/24: 10.66.0.4, 10.66.0.9-10.66.0.12',
    );
  });

  it('256 rules and no more, and no more than 32 KiB of them', () => {
    const wide = parsePrefix('10.66.0.0/16');
    const at = (i: number) => formatAddress({ family: 4, value: 0x0a420001n + BigInt(i) });
    let rules = NOTHING;
    for (let i = 0; i < 256; i++) rules = applied(rules, reserve(at(i), { name: `c${i}` }), wide, false);
    expect(() => applied(rules, exclude('10.66.9.9'), wide, false)).to.throw(
      'pool 10.66.0.0/16 would have 257 exclusions and reservations; at most 256 are allowed',
    );
    rules = NOTHING;
    expect(() => {
      for (let i = 0; i < 256; i++)
        rules = applied(rules, reserve(at(i), { name: `${i}${'x'.repeat(200)}` }), wide, false);
    }).to.throw(/^the rules of pool 10\.66\.0\.0\/16 would take 3\d{4} bytes; at most 32768 are allowed$/);
  });
});

describe('rules', () => {
  const text = (at: number) => formatAddress({ family: 4, value: BigInt(at) });

  it('bar what they say and nothing else, counted, cut and leapt over alike', () =>
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(60), fc.nat(20)), { maxLength: 6 }),
        fc.uniqueArray(fc.nat(80), { maxLength: 12 }),
        fc.nat(80),
        fc.nat(80),
        (excluded, reserved, from, length) => {
          const rules = new Rules({
            excluded: excluded.map(([at, more]) => ({ from: text(at), to: text(at + more) })),
            reserved: reserved.map((at) => ({ address: text(at), name: `n${at}` })),
          });
          const why = (at: number) => {
            if (reserved.includes(at)) return 'reserved';
            return excluded.some(([first, more]) => at >= first && at <= first + more) ? 'excluded' : undefined;
          };
          const all = Array.from({ length: length + 1 }, (_, i) => from + i);
          const range = { family: 4, from: BigInt(from), to: BigInt(from + length) } as const;
          const count = (kind: string) => BigInt(all.filter((at) => why(at) === kind).length);
          expect(rules.countIn(range)).to.deep.equal({ excluded: count('excluded'), reserved: count('reserved') });
          const open = all.filter((at) => !why(at));
          const cut = rules.openIn(range).flatMap((part) => {
            expect(part.to >= part.from).to.equal(true);
            return Array.from({ length: Number(part.to - part.from) + 1 }, (_, i) => Number(part.from) + i);
          });
          expect(cut).to.deep.equal(open);
          for (const at of all) expect(rules.isBarred(BigInt(at))).to.equal(why(at) !== undefined);
          const next = rules.nextOpen(BigInt(from));
          expect(next <= BigInt(from + length) ? Number(next) : undefined).to.equal(open[0]);
        },
      ),
      { numRuns: 300 },
    ));

  it('name the first exclusion that holds an address, and the reservation', () => {
    const rules = new Rules(laid(exclude('10.66.0.1-10.66.0.9', 'routers'), reserve('10.66.0.7', { name: 'web' })));
    expect(formatRange(rules.exclusionOf(parseAddress('10.66.0.3'))!)).to.equal('10.66.0.1-10.66.0.9');
    expect(rules.reservationOf(parseAddress('10.66.0.7'))?.name).to.equal('web');
    expect(rules.reservationOf(parseAddress('10.66.0.8'))).to.equal(undefined);
    expect(rules.reservedFor({ mac: '02:42:0a:42:00:02' })).to.equal(undefined);
  });

  it('are worked out once for a record, however often it is copied', () => {
    const rules = laid(exclude('10.66.0.9'));
    const pool = { rules };
    expect(rulesOf(pool)).to.equal(rulesOf({ ...pool }));
    expect(rulesOf({})).to.equal(NO_RULES);
    expect(rulesOf(pool).same(new Rules(structuredClone(rules)))).to.equal(true);
    expect(rulesOf(pool).same(NO_RULES)).to.equal(false);
  });

  it('that say what nobody can read are a bad record', () =>
    expect(() => new Rules({ excluded: [{ from: '10.66.0', to: '10.66.0.9' }], reserved: [] })).to.throw(
      'the rules of the pool cannot be understood: "10.66.0" is not an IP address',
    ));
});
