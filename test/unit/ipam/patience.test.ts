// When a finding is due: how often it was seen, for how long, and what begins that anew.
import { expect } from 'chai';
import { Patience } from '../../../src/ipam/patience.js';
import type { Finding, Live, Place } from '../../../src/ipam/reconcile.js';
import { parseAddress } from '../../../src/net/address.js';
import { parsePrefix } from '../../../src/net/prefix.js';
import { network } from '../../support/engine-shown.js';

const GRACE = 600_000;
const at: Place = {
  subnet: { space: 'local', prefix: parsePrefix('10.66.0.0/24') },
  address: parseAddress('10.66.0.9'),
};
const SINCE = '2026-01-01T00:00:00.000Z';
/** This many milliseconds after the claim was written. */
const clock = (ms: number) => new Date(Date.parse(SINCE) + ms);
const found = <R>(key: string, record: R, version = '7') => ({ key, record, version });
const claim = (version = '7', since = SINCE) =>
  found('claims/x', { kind: 'endpoint' as const, since, token: 't' }, version);
const shown = network('10.66.0.0/24', { containers: { web: '10.66.0.9' } });
const live: Live = { network: shown, endpoint: shown.endpoints[0]! };
const stale = (version?: string, since?: string): Finding => ({ kind: 'stale', at, claim: claim(version, since) });

describe('patience', () => {
  it('has a stale claim seen twice and for 600 s, by the monotonic clock and by its own date', () => {
    const patience = new Patience(GRACE);
    expect(patience.due([stale()], 0, clock(GRACE * 9))).to.deep.equal([]);
    expect(patience.due([stale()], GRACE - 1, clock(GRACE * 9))).to.deep.equal([]);
    expect(patience.due([stale()], GRACE, clock(GRACE - 1))).to.deep.equal([]);
    expect(patience.due([stale()], GRACE, clock(GRACE))).to.deep.equal([stale()]);
  });

  it('is not convinced by one look, however late, nor by a wall clock that leapt', () => {
    expect(new Patience(GRACE).due([stale()], GRACE * 9, clock(GRACE * 9))).to.deep.equal([]);
    const patience = new Patience(GRACE);
    patience.due([stale()], 0, clock(0));
    expect(patience.due([stale()], 1_000, clock(GRACE * 1_000))).to.deep.equal([]);
  });

  it('begins anew when a look between did not see it, or when the claim was written again', () => {
    const gap = new Patience(GRACE);
    gap.due([stale()], 0, clock(GRACE * 9));
    gap.due([], GRACE / 2, clock(GRACE * 9));
    expect(gap.due([stale()], GRACE, clock(GRACE * 9))).to.deep.equal([]);
    const written = new Patience(GRACE);
    written.due([stale('7')], 0, clock(GRACE * 9));
    expect(written.due([stale('8')], GRACE, clock(GRACE * 9))).to.deep.equal([]);
    expect(written.due([stale('8')], 2 * GRACE, clock(GRACE * 9))).to.deep.equal([stale('8')]);
  });

  for (const [what, since] of [
    ['nobody can read', 'then'],
    ['is a year ahead, as of a host whose clock was not set yet', '2027-01-01T00:00:00.000Z'],
  ] as const)
    it(`leaves a claim alone whose date ${what}, but counts it`, () => {
      const patience = new Patience(GRACE);
      patience.due([stale('7', since)], 0, clock(GRACE * 9));
      expect(patience.lasting).to.deep.equal([]);
      expect(patience.due([stale('7', since)], GRACE * 9, clock(GRACE * 9))).to.deep.equal([]);
      expect(patience.lasting).to.deep.equal([stale('7', since)]);
    });

  it('acts at once on what an unsure claim turned out to be', () => {
    const findings: Finding[] = [
      { kind: 'auxiliary', at, claim: claim() },
      { kind: 'container', at, claim: claim(), live, guessed: false },
    ];
    expect(new Patience(GRACE).due(findings, 0, clock(0))).to.deep.equal(findings);
  });

  it('has a container without a claim seen twice, and speaks of each doubt once while it lasts', () => {
    const join = found('joins/x', { node: 'a', boot: 'b', since: SINCE, token: 't' });
    const missing: Finding = { kind: 'missing', at, join, live, guessed: false };
    const doubtful: Finding = { kind: 'doubtful', subject: 's', text: 'a doubt' };
    const patience = new Patience(GRACE);
    const both = [missing, doubtful];
    expect(patience.due(both, 0, clock(0))).to.deep.equal([]);
    expect(patience.due(both, 1, clock(0))).to.deep.equal(both);
    expect(patience.due(both, 2, clock(0))).to.deep.equal([missing]);
    expect(patience.due([], 3, clock(0))).to.deep.equal([]);
    expect(patience.due([doubtful], 4, clock(0))).to.deep.equal([]);
    expect(patience.due([doubtful], 5, clock(0))).to.deep.equal([doubtful]);
  });

  it('counts as lasting what is due and what was, for as long as it is met, but no claim before its 600 s', () => {
    const doubtful: Finding = { kind: 'doubtful', subject: 's', text: 'a doubt' };
    const patience = new Patience(GRACE);
    const lasting = (findings: Finding[], millis: number) => {
      patience.due(findings, millis, clock(GRACE * 9));
      return patience.lasting;
    };
    expect(lasting([stale(), doubtful], 0)).to.deep.equal([]);
    expect(lasting([stale(), doubtful], 1)).to.deep.equal([doubtful]);
    expect(lasting([stale(), doubtful], GRACE)).to.deep.equal([stale(), doubtful]);
    expect(lasting([], GRACE + 1)).to.deep.equal([]);
  });
});
