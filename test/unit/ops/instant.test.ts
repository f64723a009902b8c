// Times as operators type them.
import { expect } from 'chai';
import { parseInstant } from '../../../src/ops/instant.js';

describe('a point in time', () => {
  for (const [text, iso] of [
    ['2026-11-29T14:03:07.5Z', '2026-11-29T14:03:07.500Z'],
    ['2026-11-29 14:03Z', '2026-11-29T14:03:00.000Z'],
    ['2026-11-29 14:03 +01:00', '2026-11-29T13:03:00.000Z'],
    ['2026-11-29 14:03+0530', '2026-11-29T08:33:00.000Z'],
    ['2026-11-29T14:03-02', '2026-11-29T16:03:00.000Z'],
  ] as const)
    it(`${text} is ${iso}`, () => {
      expect(parseInstant(text).toISOString()).to.equal(iso);
    });

  it('without a zone is of this machine, a day being its first instant', () => {
    expect(parseInstant('2026-11-29 14:03').getTime()).to.equal(new Date(2026, 10, 29, 14, 3).getTime());
    expect(parseInstant(' 2026-11-29 ').getTime()).to.equal(new Date(2026, 10, 29).getTime());
  });

  for (const text of [
    '',
    '14:03',
    'now',
    '2026-02-30',
    '2026-13-01',
    '2026-11-29 25:00',
    '2026-11-29 14:03Z01',
    '29.11.2026',
  ])
    it(`"${text}" is none`, () => {
      expect(() => parseInstant(text)).to.throw(/it has to be a time such as/);
    });
});
