// What every implementation of the record store port does, whoever keeps the records. Knows no transaction language.
import { expect } from 'chai';
import { IpamError } from '../../src/ipam/errors.js';
import { decodeClaim, decodePool } from '../../src/ipam/records.js';
import type { Change, Condition, Key, Outcome, Query, Span, Store, Version, Write } from '../../src/ipam/store.js';
import { refusal, soon } from '../support/allocator-fixture.js';
import type { Backend, Seat } from '../support/stores.js';

interface Note {
  readonly text: string;
  readonly token: string;
}

const decode = (json: unknown): Note => json as Note;
const at = (key: string): Key<Note> => ({ key, decode });
const span = (from: string, to: string): Span<Note> => ({ from, to, decode });
const note = (text: string, token = `token of ${text}`): Note => ({ text, token });
const put = (key: string, text: string): Write => ({ put: at(key), record: note(text) });
const was = (key: string, version: Version | null): Condition => ({ key: at(key), version });
const change = (when: readonly Condition[], write: readonly Write[]): Change<readonly []> => ({
  when,
  write,
  otherwise: [],
});

export function storeConformance(start: () => Promise<Backend>): void {
  let backend: Backend;
  let seat: Seat;
  let store: Store;

  before(async () => {
    backend = await start();
  });
  after(() => backend?.close());
  beforeEach(async () => {
    seat = await backend.open('a', 'boot-1');
    store = seat.store;
  });
  afterEach(() => backend.clear());

  async function commit(when: readonly Condition[], write: readonly Write[]): Promise<Outcome<readonly []>> {
    return store.commit(change(when, write), soon());
  }
  async function done(when: readonly Condition[], write: readonly Write[]): Promise<Version> {
    const outcome = await commit(when, write);
    if (!outcome.done) throw new Error('lost a commit that nobody contests');
    return outcome.version;
  }
  /** Commits one record after the other, so that their versions differ. */
  async function filled(...keys: readonly string[]): Promise<Version[]> {
    const versions: Version[] = [];
    for (const key of keys) versions.push(await done([], [put(key, key)]));
    return versions;
  }
  const texts = async () =>
    Object.fromEntries(Object.entries(await backend.records()).map(([key, value]) => [key, (value as Note).text]));

  describe('reads', () => {
    it('one record with its version, or undefined', async () => {
      const [version] = await filled('x/1');
      const [found, missing] = await store.read([{ one: at('x/1') }, { one: at('x/2') }], soon());
      expect(found).to.deep.equal({ key: 'x/1', record: note('x/1'), version });
      expect(missing).to.equal(undefined);
      expect(await texts()).to.deep.equal({ 'x/1': 'x/1' });
    });

    it('a span in the order of its keys, the lower end in it and the upper one not', async () => {
      const [v1, v2] = await filled('x/1', 'x/2', 'x/0', 'x/3');
      const [answer] = await store.read([{ span: span('x/1', 'x/3'), limit: 0 }], soon());
      expect(answer).to.deep.equal({
        found: [
          { key: 'x/1', record: note('x/1'), version: v1 },
          { key: 'x/2', record: note('x/2'), version: v2 },
        ],
        more: false,
      });
      expect(Object.keys(await texts())).to.deep.equal(['x/0', 'x/1', 'x/2', 'x/3']);
    });

    it('at most `limit` of a span, telling whether there is more, from either end', async () => {
      await filled('x/1', 'x/2', 'x/3');
      const all = span('x/', 'x0');
      const names = (answer: { found: readonly { key: string }[]; more: boolean }) => [
        answer.found.map(({ key }) => key),
        answer.more,
      ];
      const [two, last, three, four] = await store.read(
        [
          { span: all, limit: 2 },
          { span: all, limit: 2, last: true },
          { span: all, limit: 3 },
          { span: all, limit: 4, last: true },
        ],
        soon(),
      );
      expect(names(two)).to.deep.equal([['x/1', 'x/2'], true]);
      expect(names(last)).to.deep.equal([['x/3', 'x/2'], true]);
      expect(names(three)).to.deep.equal([['x/1', 'x/2', 'x/3'], false]);
      expect(names(four)).to.deep.equal([['x/3', 'x/2', 'x/1'], false]);
      expect(Object.keys(await texts())).to.have.length(3);
    });

    it('keys without records, in order, with the same limit', async () => {
      await filled('x/2', 'x/1', 'y/1');
      const [all, one] = await store.read(
        [
          { keys: span('x/', 'x0'), limit: 0 },
          { keys: span('x/', 'x0'), limit: 1 },
        ],
        soon(),
      );
      expect(all).to.deep.equal({ keys: ['x/1', 'x/2'], more: false });
      expect(one).to.deep.equal({ keys: ['x/1'], more: true });
      expect(Object.keys(await texts())).to.have.length(3);
    });

    it('counts: 3 of 5 in the span, 0 of an empty one', async () => {
      await filled('x/1', 'x/2', 'x/3', 'w', 'y');
      const [three, none] = await store.read([{ count: span('x/', 'x0') }, { count: span('z/', 'z0') }], soon());
      expect(three).to.equal(3);
      expect(none).to.equal(0);
      expect(Object.keys(await texts())).to.have.length(5);
    });

    it('empty spans and no query at all', async () => {
      const empty = span('x/', 'x0');
      expect(
        await store.read(
          [
            { span: empty, limit: 0 },
            { keys: empty, limit: 5 },
            { span: empty, limit: 1, last: true },
          ],
          soon(),
        ),
      ).to.deep.equal([
        { found: [], more: false },
        { keys: [], more: false },
        { found: [], more: false },
      ]);
      expect(await store.read([], soon())).to.deep.equal([]);
      expect(await texts()).to.deep.equal({});
    });

    it('a key that is another one with more behind it is a key of its own', async () => {
      await filled('x/1', 'x/1/a', 'x/10');
      const [one, spanned] = await store.read([{ one: at('x/1') }, { keys: span('x/1', 'x/1\0'), limit: 0 }], soon());
      expect(one?.key).to.equal('x/1');
      expect(spanned.keys).to.deep.equal(['x/1']);
      expect(Object.keys(await texts())).to.deep.equal(['x/1', 'x/1/a', 'x/10']);
    });

    it('all answers are of one revision while another process moves a record to and fro 100 times', async () => {
      const other = (await backend.open('b', 'boot-1')).store;
      await done([], [put('x/1', 'here')]);
      let moving = true;
      const mover = (async () => {
        for (let i = 0; i < 50; i++) {
          await other.commit(change([], [{ remove: at('x/1') }, put('y/1', 'there')]), soon());
          await other.commit(change([], [{ remove: at('y/1') }, put('x/1', 'here')]), soon());
        }
        moving = false;
      })();
      const sums: number[] = [];
      while (moving) {
        const [x, y] = await store.read([{ count: span('x/', 'x0') }, { count: span('y/', 'y0') }], soon());
        sums.push(x + y);
        await new Promise((next) => setImmediate(next));
      }
      await mover;
      expect(new Set(sums)).to.deep.equal(new Set([1]));
      expect(await texts()).to.deep.equal({ 'x/1': 'here' });
    });

    it('what one process committed is missing in no read of another that began later', async () => {
      const other = (await backend.open('b', 'boot-1')).store;
      for (let i = 0; i < 20; i++) {
        await done([], [put('x/1', `${i}`)]);
        const [found] = await other.read([{ one: at('x/1') }], soon());
        expect(found?.record.text).to.equal(`${i}`);
      }
      expect(await texts()).to.deep.equal({ 'x/1': '19' });
    });
  });

  describe('commits', () => {
    it('where the version is as read, and gives the new version of all that was put', async () => {
      const [v1] = await filled('x/1');
      const v2 = await done([was('x/1', v1!)], [put('x/1', 'new'), put('x/2', 'too')]);
      expect(v2).to.be.a('string').and.match(/^\d+$/);
      expect(BigInt(v2) > BigInt(v1!)).to.equal(true);
      const [one, two] = await store.read([{ one: at('x/1') }, { one: at('x/2') }], soon());
      expect([one?.version, two?.version]).to.deep.equal([v2, v2]);
      expect(await texts()).to.deep.equal({ 'x/1': 'new', 'x/2': 'too' });
    });

    it('nothing where the version is an older one', async () => {
      const [v1] = await filled('x/1');
      await done([], [put('x/1', 'second')]);
      expect(await commit([was('x/1', v1!)], [put('x/1', 'third')])).to.deep.equal({
        done: false,
        certain: true,
        seen: [],
      });
      expect(await texts()).to.deep.equal({ 'x/1': 'second' });
    });

    it('nothing where a record with a version was removed, or removed and put again', async () => {
      const [v1] = await filled('x/1');
      await done([], [{ remove: at('x/1') }]);
      expect((await commit([was('x/1', v1!)], [put('x/2', 'no')])).done).to.equal(false);
      await done([], [put('x/1', 'x/1')]);
      expect((await commit([was('x/1', v1!)], [put('x/2', 'no')])).done).to.equal(false);
      expect(await texts()).to.deep.equal({ 'x/1': 'x/1' });
    });

    it('on absence: only where there is no record', async () => {
      expect((await commit([was('x/1', null)], [put('x/1', 'first')])).done).to.equal(true);
      expect((await commit([was('x/1', null)], [put('x/1', 'second')])).done).to.equal(false);
      await done([], [{ remove: at('x/1') }]);
      expect((await commit([was('x/1', null)], [put('x/1', 'third')])).done).to.equal(true);
      expect(await texts()).to.deep.equal({ 'x/1': 'third' });
    });

    it('on an empty span: not with a record at its lower end, but with one at its upper end', async () => {
      const none: Condition = { none: span('x/1', 'x/3') };
      expect((await commit([none], [put('y', '1')])).done).to.equal(true);
      await filled('x/3', 'x/0');
      expect((await commit([none], [put('y', '2')])).done).to.equal(true);
      await filled('x/1');
      expect((await commit([none], [put('y', '3')])).done).to.equal(false);
      await done([], [{ remove: at('x/1') }, put('x/2', 'in the middle')]);
      expect((await commit([none], [put('y', '4')])).done).to.equal(false);
      expect(await texts()).to.deep.equal({ 'x/0': 'x/0', 'x/2': 'in the middle', 'x/3': 'x/3', y: '2' });
    });

    it('on a span without anything newer: with what was there and what has gone, not with what came or was written anew', async () => {
      const [v1, v2] = await filled('x/1', 'x/2');
      const known = store.seen()!;
      const old: Condition = { none: span('x/1', 'x/3'), newerThan: known };
      expect(BigInt(known) >= BigInt(v2!)).to.equal(true);
      expect((await commit([{ ...old, newerThan: v1! }], [put('y', '0')])).done).to.equal(false);
      await filled('x/3', 'x/0');
      expect((await commit([old], [put('y', '1')])).done).to.equal(true);
      await done([], [{ remove: at('x/2') }]);
      expect((await commit([old], [put('y', '2')])).done).to.equal(true);
      await filled('x/2');
      expect((await commit([old], [put('y', '3')])).done).to.equal(false);
      await done([], [{ remove: at('x/2') }, put('x/1', 'anew')]);
      expect((await commit([old], [put('y', '4')])).done).to.equal(false);
      await done([], [{ remove: at('x/1') }]);
      expect((await commit([old], [put('y', '5')])).done).to.equal(true);
      expect(await texts()).to.deep.equal({ 'x/0': 'x/0', 'x/3': 'x/3', y: '5' });
    });

    it('none of two writes where one of two conditions fails', async () => {
      const [v1] = await filled('x/1');
      const outcome = await commit([was('x/1', v1!), was('x/2', '1')], [put('x/1', 'no'), put('x/3', 'no')]);
      expect(outcome.done).to.equal(false);
      expect(await texts()).to.deep.equal({ 'x/1': 'x/1' });
    });

    it('puts, removals and removals of whole spans, all at one revision', async () => {
      await filled('x/1', 'x/2', 'x/3', 'y/1');
      const version = await done([], [{ removeAll: span('x/1', 'x/3') }, { remove: at('y/1') }, put('z/1', 'new')]);
      expect(await texts()).to.deep.equal({ 'x/3': 'x/3', 'z/1': 'new' });
      const [found] = await store.read([{ one: at('z/1') }], soon());
      expect(found?.version).to.equal(version);
    });

    it('the removal of what is not there', async () => {
      await filled('x/1');
      expect((await commit([], [{ remove: at('y/1') }, { removeAll: span('z/', 'z0') }])).done).to.equal(true);
      expect(await texts()).to.deep.equal({ 'x/1': 'x/1' });
    });

    it('reads on a loss what was asked for, in that order, and nothing on a win', async () => {
      const [v1] = await filled('x/1', 'x/2');
      const otherwise = [
        { keys: span('x/', 'x0'), limit: 1 },
        { one: at('x/1') },
        { count: span('x/', 'x0') },
        { one: at('y/1') },
        { span: span('x/', 'x0'), limit: 1, last: true },
      ] as const;
      const lost = await store.commit({ when: [was('x/1', null)], write: [put('y/1', 'no')], otherwise }, soon());
      if (lost.done) throw new Error('won against a record that is there');
      const [keys, one, count, missing, last] = lost.seen;
      expect(keys).to.deep.equal({ keys: ['x/1'], more: true });
      expect(one).to.deep.equal({ key: 'x/1', record: note('x/1'), version: v1 });
      expect(count).to.equal(2);
      expect(missing).to.equal(undefined);
      expect(last.found.map(({ key }) => key)).to.deep.equal(['x/2']);
      const won = await store.commit({ when: [was('x/1', v1!)], write: [put('y/1', 'yes')], otherwise }, soon());
      expect(won).to.have.keys('done', 'version');
      expect(await texts()).to.deep.equal({ 'x/1': 'x/1', 'x/2': 'x/2', 'y/1': 'yes' });
    });

    it('100 compares, 100 writes and 64 reads in one change', async () => {
      const keys = Array.from({ length: 100 }, (_, i) => `x/${String(i).padStart(3, '0')}`);
      const otherwise: Query[] = keys.slice(0, 64).map((key) => ({ count: span(key, `${key}\0`) }));
      const full = {
        when: keys.map((key) => was(key, null)),
        write: keys.map((key) => put(key, 'all')),
        otherwise,
      };
      expect((await store.commit(full, soon())).done).to.equal(true);
      const again = await store.commit(full, soon());
      expect(again).to.deep.equal({ done: false, certain: true, seen: Array(64).fill(1) });
      expect(Object.keys(await texts())).to.deep.equal(keys);
    });

    it('exactly one of 20 that all want the same absent record, from two processes', async () => {
      const other = (await backend.open('b', 'boot-1')).store;
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          (i % 2 ? other : store).commit(change([was('x/1', null)], [put('x/1', `${i}`)]), soon()),
        ),
      );
      const winners = outcomes.flatMap((outcome, i) => (outcome.done ? [`${i}`] : []));
      expect(winners).to.have.length(1);
      expect(await texts()).to.deep.equal({ 'x/1': winners[0] });
    });
  });

  describe('records that rest', () => {
    const laid = (key: string, rests: number): Write => ({ put: at(key), record: note(key), rests });

    it('go by themselves after 1 s, and nothing else does', async () => {
      const version = await done([], [laid('x/1', 1_000), put('x/2', 'stays')]);
      expect((await store.read([{ one: at('x/1') }], soon()))[0]?.version ?? version).to.equal(version);
      await backend.rested(1_000);
      expect((await commit([was('x/1', version)], [put('y/1', 'no')])).done).to.equal(false);
      expect(await texts()).to.deep.equal({ 'x/2': 'stays' });
    });

    it('stay where they were put again, be it to rest or not', async () => {
      await done([], [laid('x/1', 1_000), laid('x/2', 1_000)]);
      await done([], [put('x/1', 'taken'), laid('x/2', 600_000)]);
      await backend.loseLeases();
      expect(await texts()).to.deep.equal({ 'x/1': 'taken' });
    });

    it('100 in one change, 600 in six', async () => {
      for (let change = 0; change < 6; change++)
        await done(
          [],
          Array.from({ length: 100 }, (_, i) => laid(`x/${change}-${i}`, 600_000)),
        );
      expect(Object.keys(await texts())).to.have.length(600);
      await backend.loseLeases();
      expect(await texts()).to.deep.equal({});
    });
  });

  describe('grants', () => {
    const grant = (key: string, text: string): Change<readonly []> => ({
      ...change([was(key, null)], [put(key, text)]),
      witness: { key: at(key), token: note(text).token },
    });

    it('are commits like others while the session lives', async () => {
      const won = await store.commit(grant('x/1', 'mine'), soon());
      const lost = await store.commit(grant('x/1', 'mine too'), soon());
      expect([won.done, lost]).to.deep.equal([true, { done: false, certain: true, seen: [] }]);
      expect(await texts()).to.deep.equal({ 'x/1': 'mine' });
    });

    it('read what was asked for on a loss, not the session', async () => {
      await filled('x/1');
      const otherwise = [{ one: at('x/1') }, { count: span('x/', 'x0') }] as const;
      const lost = await store.commit({ ...grant('x/1', 'mine'), otherwise }, soon());
      if (lost.done) throw new Error('won against a record that is there');
      expect(lost.seen[0]?.record.text).to.equal('x/1');
      expect(lost.seen[1]).to.equal(1);
      expect(await texts()).to.deep.equal({ 'x/1': 'x/1' });
    });

    it('that are brief read on a loss what was asked for and no more, and are refused without a session at the next attempt', async () => {
      const [v1] = await filled('x/1');
      const brief = { ...grant('x/1', 'mine'), otherwise: [{ one: at('x/1') }] as const, brief: true };
      const lost = await store.commit(brief, soon());
      expect(lost.done ? [] : lost.seen.map((one) => one?.version)).to.deep.equal([v1]);
      await seat.loseSession();
      const untold = await store.commit({ ...grant('x/2', 'mine'), brief: true }, soon()).catch(String);
      if (typeof untold !== 'string') expect(untold).to.deep.equal({ done: false, certain: true, seen: [] });
      expect(await refusal(store.commit(grant('x/2', 'mine'), soon()))).to.match(/^unavailable: /);
      expect(await texts()).to.deep.equal({ 'x/1': 'x/1' });
    });

    it('of 40 at once each have their own end: 30 are made, and 10 read what was there', async () => {
      const taken = Array.from({ length: 10 }, (_, i) => `x/${4 * i}`);
      const versions = await filled(...taken);
      const outcomes = await Promise.all(
        Array.from({ length: 40 }, (_, i) => {
          const otherwise = [{ one: at(`x/${i}`) }, { count: span('y/', 'y0') }] as const;
          return store.commit({ ...grant(`x/${i}`, `new ${i}`), otherwise, brief: i % 8 === 0 }, soon());
        }),
      );
      for (const [i, outcome] of outcomes.entries()) {
        expect(outcome.done, `x/${i}`).to.equal(i % 4 !== 0);
        if (!outcome.done) expect([outcome.seen[0]?.version, outcome.seen[1]]).to.deep.equal([versions[i / 4], 0]);
      }
      const after = await texts();
      for (let i = 0; i < 40; i++) expect(after[`x/${i}`]).to.equal(i % 4 === 0 ? `x/${i}` : `new ${i}`);
    });

    it('are refused without a session, while releases and reads go on', async () => {
      const [v1] = await filled('x/1');
      await seat.loseSession();
      expect(await refusal(store.commit(grant('x/2', 'mine'), soon()))).to.match(/^unavailable: /);
      expect((await store.read([{ one: at('x/1') }], soon()))[0]?.version).to.equal(v1);
      expect((await commit([was('x/1', v1!)], [{ remove: at('x/1') }])).done).to.equal(true);
      expect(await texts()).to.deep.equal({});
    });

    it("end with the process's own session, not with another one's", async () => {
      const other = await backend.open('a', 'boot-1');
      await other.loseSession();
      expect((await store.commit(grant('x/1', 'mine'), soon())).done).to.equal(true);
      expect(await refusal(other.store.commit(grant('x/2', 'theirs'), soon()))).to.match(/^unavailable: /);
      expect(await texts()).to.deep.equal({ 'x/1': 'mine' });
    });
  });

  describe('deadlines', () => {
    it('a call that begins past its deadline does nothing and says so', async () => {
      const late = soon(-1);
      expect(await refusal(store.read([{ one: at('x/1') }], late))).to.match(/^deadline: /);
      expect(await refusal(store.commit(change([], [put('x/1', 'late')]), late))).to.match(/^deadline: /);
      expect(await texts()).to.deep.equal({});
    });
  });

  describe('records that cannot be read', () => {
    const claims: Span<unknown> = { from: 'claims/', to: 'claims0', decode: decodeClaim };
    const pool = { key: 'pools/p', decode: decodePool };

    it('a claim is foreign, be it text, another version or null', async () => {
      await backend.plant('claims/1', 'not JSON');
      await backend.plant('claims/2', { kind: 'of a later version', since: 'then', token: 't' });
      await backend.plant('claims/3', 'null');
      const [{ found }] = await store.read([{ span: claims, limit: 0 }], soon());
      const foreign = { kind: 'foreign', since: '', token: '' };
      expect(found.map(({ record }) => record)).to.deep.equal([foreign, foreign, foreign]);
      expect(Object.keys(await backend.records())).to.have.length(3);
    });

    it('a field that this version does not know is kept', async () => {
      const claim = { kind: 'endpoint', node: 'a', since: 'then', token: 't', colour: 'green' };
      await backend.plant('claims/1', claim);
      const [{ found }] = await store.read([{ span: claims, limit: 0 }], soon());
      expect(found[0]?.record).to.deep.equal(claim);
      expect(await backend.records()).to.deep.equal({ 'claims/1': claim });
    });

    it('a pool fails the read with bad_record and names the key', async () => {
      await backend.plant('pools/p', 'not JSON');
      expect(await refusal(store.read([{ one: pool }], soon()))).to.match(/^bad_record: the record .*pools\/p /);
      await backend.plant('pools/p', { state: 'ajar', since: 'then', token: 't' });
      expect(await refusal(store.read([{ one: pool }], soon()))).to.match(
        /^bad_record: the record .*pools\/p cannot be understood \(state: /,
      );
      const lost: Change<readonly [{ one: typeof pool }]> = {
        ...change([was('pools/p', null)], []),
        otherwise: [{ one: pool }],
      };
      expect(await refusal(store.commit(lost, soon()))).to.match(/^bad_record: /);
      expect(await backend.records()).to.deep.equal({ 'pools/p': { state: 'ajar', since: 'then', token: 't' } });
    });

    it('its keys can be listed and counted all the same', async () => {
      await backend.plant('pools/p', 'not JSON');
      const all = { from: 'pools/', to: 'pools0', decode: decodePool };
      expect(await store.read([{ keys: all, limit: 0 }, { count: all }], soon())).to.deep.equal([
        { keys: ['pools/p'], more: false },
        1,
      ]);
      expect(await backend.records()).to.deep.equal({ 'pools/p': 'not JSON' });
    });
  });

  describe('seen', () => {
    it('is never below what an answer carried', async () => {
      const fresh = (await backend.open('b', 'boot-1')).store;
      const version = await done([], [put('x/1', 'x')]);
      expect(BigInt(store.seen()!) >= BigInt(version)).to.equal(true);
      await fresh.read([{ one: at('x/1') }], soon());
      expect(BigInt(fresh.seen()!) >= BigInt(version)).to.equal(true);
      expect(await texts()).to.deep.equal({ 'x/1': 'x' });
    });

    it("knows nothing of another process's commit until an answer came", async () => {
      const other = (await backend.open('b', 'boot-1')).store;
      await store.read([{ one: at('x/1') }], soon());
      const outcome = await other.commit(change([], [put('x/1', 'x')]), soon());
      if (!outcome.done) throw new Error('lost a commit that nobody contests');
      expect(BigInt(store.seen()!) < BigInt(outcome.version)).to.equal(true);
      expect(await texts()).to.deep.equal({ 'x/1': 'x' });
    });
  });

  it('throws nothing but IpamErrors', async () => {
    const error = await store.read([], soon(-1)).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(IpamError);
    expect(await backend.records()).to.deep.equal({});
  });
}
