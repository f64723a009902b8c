// The chaos harness's checker against histories that it must reject, and those beside them that it must not.
import { expect } from 'chai';
import { check, leaks } from '../../chaos/checker.js';
import { type Call, History, type Use } from '../../chaos/history.js';

const SUBNET = 'v4/010.066.000.000-24';
const LOCAL = `local/${SUBNET}`;
const GLOBAL = `global/${SUBNET}`;
const CLAIM = `claims/${LOCAL}/010.066.000.007`;
const SWARM = `claims/${GLOBAL}/010.066.000.007`;

type Row = Record<string, unknown>;

/** A history told step by step; each write is a revision, known a millisecond after it was written. */
class Story {
  readonly history = new History();
  #at = 0;
  #revision = 0;
  #tokens = 0;

  /** Nodes a and b with sessions, and each its join of one open pool. */
  static begun(): Story {
    const story = new Story();
    for (const node of ['a', 'b']) {
      story.write(`nodes/${node}`, {});
      story.write(`sessions/${node}/1`, {});
    }
    story.write(`pools/${LOCAL}`, { state: 'open' });
    for (const node of ['a', 'b']) story.write(`joins/${LOCAL}/j${node}`, { node });
    return story;
  }

  /** A leader's pool: `epoch` of join `leader`, on node a. */
  lead(epoch: number): this {
    this.#write([
      [`pools/${GLOBAL}`, { state: 'open', epoch, leader: `e${epoch}` }],
      [`joins/${GLOBAL}/e${epoch}`, { node: 'a', epoch }],
      ...(epoch > 1 ? [[`joins/${GLOBAL}/e${epoch - 1}`, undefined] as const] : []),
    ]);
    return this;
  }

  write(key: string, record: Row | undefined): this {
    this.#write([[key, record]]);
    return this;
  }

  /** With a token of its own. */
  claim(node: string, more: Row = {}, key = CLAIM): this {
    return this.write(key, { kind: 'endpoint', node, join: `j${node}`, token: `t${++this.#tokens}`, ...more });
  }

  swarm(epoch: number, more: Row = {}): this {
    return this.write(SWARM, { kind: 'swarm', join: `e${epoch}`, epoch, token: `t${++this.#tokens}`, ...more });
  }

  ask(node: string, more: Partial<Call> = {}): Call {
    const asked = ++this.#at;
    const about = { place: 'local 10.66.0.0/24', join: `j${node}`, asked, limit: asked + 1_000 };
    return this.history.begin({ name: 'RequestAddress', node, ...about, ...more });
  }

  /** The reply comes, and the use begins. */
  grant(call: Call, who: string): Use {
    Object.assign(call, { outcome: 'granted', given: '10.66.0.7', ended: ++this.#at });
    const { place = '', join = '', node } = call;
    const use: Use = { place, address: '10.66.0.7', who, node, join, shared: false, grant: call, from: ++this.#at };
    this.history.uses.push(use);
    return use;
  }

  letGo(use: Use): this {
    use.until = ++this.#at;
    return this;
  }

  pass(ms: number): this {
    this.#at += ms;
    return this;
  }

  get revision(): number {
    return this.#revision;
  }

  /** To the backup of that revision; a node notices, and marks it. */
  setBack(revision: number): this {
    this.history.backups.push(revision);
    this.#revision = revision;
    return this.write('restored', { token: `m${++this.#tokens}` });
  }

  get rejected(): string[] {
    return check(this.history).map(({ rule, text }) => `${rule}: ${text}`);
  }

  #write(rows: readonly (readonly [string, Row | undefined])[]): void {
    const era = this.history.backups.length;
    this.history.looks.push({ era, sent: ++this.#at, revision: this.#revision });
    this.#revision++;
    this.#at++;
    for (const [key, record] of rows)
      this.history.writes.push({ era, revision: this.#revision, key, ...(record && { record }), known: this.#at });
    this.#at++;
  }
}

/** Asked, written and granted, in this order. */
function held(story: Story, node: string, who: string, more: Row = {}): Use {
  const call = story.ask(node);
  story.claim(node, more);
  return story.grant(call, who);
}

describe('the checker of chaos accepts', () => {
  it('an address that is granted, let go, released and granted to another', () => {
    const story = Story.begun();
    story.letGo(held(story, 'a', 'web')).write(CLAIM, undefined);
    held(story, 'b', 'db');
    expect(story.rejected).to.deep.equal([]);
  });

  it('one that its holder asks for again, and one that is claimed and undone', () => {
    const story = Story.begun();
    held(story, 'a', 'web', { name: 'web' });
    story.claim('a', { name: 'web', token: 'undone' }).claim('a', { name: 'web', token: 't1' });
    expect(story.rejected).to.deep.equal([]);
  });

  it('a task whose address the next leader claims again, and a worker takes over on that word', () => {
    const story = Story.begun().lead(1);
    const leader = { place: 'global 10.66.0.0/24', join: 'e1' };
    const first = story.ask('a', leader);
    story.swarm(1);
    const use = story.grant(first, 'task');
    story.claim('a', { kind: 'swarm' });
    story.lead(2).swarm(2).claim('b', { kind: 'swarm' });
    story.letGo(use).write(SWARM, undefined);
    expect(story.rejected).to.deep.equal([]);
  });

  it('a gateway that two networks share, each for its time', () => {
    const story = Story.begun();
    for (const node of ['a', 'b']) {
      const call = story.ask(node);
      story.claim('', { kind: 'shared', node: undefined, join: undefined });
      story.write(`holders/${LOCAL}/010.066.000.007/j${node}`, { node, role: 'gateway', token: `h${node}` });
      Object.assign(story.grant(call, 'the networks'), { shared: true });
    }
    expect(story.rejected).to.deep.equal([]);
  });

  it('a grant that looks like one nobody received, which was undone', () => {
    const story = Story.begun();
    const call = story.ask('a');
    story.claim('a').write(CLAIM, undefined).claim('a');
    // The log is heard a while after the reply.
    for (const write of story.history.writes.slice(-3)) Object.assign(write, { known: write.known + 4 });
    story.grant(call, 'web');
    expect(story.rejected).to.deep.equal([]);
  });

  it('grants of one join, the first unheard, each of which the log tells when the next was asked for', () => {
    const story = Story.begun();
    const unheard = story.ask('a');
    let call = story.ask('a');
    story.claim('a');
    for (const who of ['web', 'db', 'mail']) {
      story.write(CLAIM, undefined).claim('a');
      const use = story.grant(call, who);
      call = story.ask('a');
      story.letGo(use);
    }
    story.write(CLAIM, undefined);
    Object.assign(unheard, { outcome: 'unknown' });
    for (const write of story.history.writes.slice(-8)) Object.assign(write, { known: write.known + 6 });
    expect(story.rejected).to.deep.equal([]);
  });

  it('an address that is claimed again in an etcd that was set back, goes over to another join, and is let go', () => {
    const story = Story.begun().write(`joins/${LOCAL}/other`, { node: 'a' });
    const backup = story.revision;
    const use = held(story, 'a', 'web');
    story.setBack(backup).claim('a', { join: 'other', guessed: true, name: 'web' }).write('restored', undefined);
    story.claim('a', { guessed: true, name: 'web' }).letGo(use).write(CLAIM, undefined);
    expect(story.rejected).to.deep.equal([]);
  });

  it('silence that a round counts once', () => {
    const story = Story.begun().write('sessions/b/1', undefined).write('tick', {});
    story.write('nodes/b', { silence: 1 }).write('tick', undefined).write('tick', {}).write('nodes/b', { silence: 2 });
    expect(story.rejected).to.deep.equal([]);
  });

  it('claims that are used, are cooling, or come from a call whose answer was lost where only its network’s end helps', () => {
    const story = Story.begun();
    const use = held(story, 'a', 'web');
    const lost = { ...story.ask('b'), outcome: 'unknown' } as Call;
    const claims = {
      [CLAIM]: { join: 'ja' },
      [CLAIM.replace('007', '008')]: { kind: 'cooling' },
      [CLAIM.replace('007', '009')]: { join: 'jb' },
    };
    expect(leaks(claims, [use], [lost], true)).to.deep.equal([]);
  });
});

describe('the checker of chaos rejects', () => {
  const rejects = (title: string, tell: (story: Story) => unknown, ...reasons: RegExp[]) =>
    it(title, () => {
      const story = Story.begun();
      tell(story);
      const { rejected } = story;
      expect(rejected.length, rejected.join('\n')).to.equal(reasons.length);
      for (const [i, reason] of reasons.entries()) expect(rejected[i]).to.match(reason);
    });

  rejects(
    'an address that two have at a time, though etcd’s log looks right',
    (story) => {
      const first = held(story, 'a', 'web');
      story.write(CLAIM, undefined);
      held(story, 'b', 'db');
      story.letGo(first);
    },
    /^overlap: 10\.66\.0\.7 .* db on b .* while web on a /,
    /^taken: 10\.66\.0\.7 .* was removed at revision 9 while web on a /,
  );

  rejects(
    'a grant without any record',
    (story) => story.grant(story.ask('a'), 'web'),
    /^phantom: RequestAddress gave local 10\.66\.0\.0\/24 10\.66\.0\.7 ja, and etcd has no such record of that time/,
  );

  rejects(
    'a grant whose record was written when it had been answered',
    (story) => {
      story.grant(story.ask('a'), 'web');
      story.pass(10).claim('a');
    },
    /^phantom/,
  );

  rejects(
    'a grant whose record was there before it was asked for, and gone',
    (story) => {
      story.claim('a').write(CLAIM, undefined).pass(10);
      story.grant(story.ask('a'), 'web');
    },
    /^phantom/,
  );

  rejects(
    'two grants by one record',
    (story) => {
      const calls = [story.ask('a'), story.ask('a')];
      story.claim('a');
      for (const call of calls) story.grant(call, 'web');
    },
    /^phantom/,
  );

  rejects(
    'an address that went before its reply came, though another has had it for long since',
    (story) => {
      const slow = story.ask('a');
      story.claim('a').write(CLAIM, undefined).pass(10);
      const quick = story.ask('a');
      story.claim('a');
      story.letGo(story.grant(quick, 'db')).pass(10).grant(slow, 'web');
    },
    /^taken: 10\.66\.0\.7 .* was removed at revision 9 while web on a /,
  );

  rejects(
    'a release that frees what its holder still uses',
    (story) => {
      held(story, 'a', 'web');
      story.write(CLAIM, undefined).pass(10);
    },
    /^taken: 10\.66\.0\.7 of local 10\.66\.0\.0\/24 was removed/,
  );

  rejects(
    'an address that lives and is nobody’s when a restored etcd gives addresses again',
    (story) => {
      const backup = story.revision;
      held(story, 'a', 'web');
      story.setBack(backup).write('restored', undefined).pass(10);
    },
    /^taken: 10\.66\.0\.7 .* was nobody's at revision \d+, when addresses were given again, while web on a /,
  );

  rejects(
    'one that is claimed again by then, and goes with a join that was none of its own',
    (story) => {
      const backup = story.revision;
      held(story, 'a', 'web');
      story.setBack(backup).claim('a', { name: 'web' }).write('restored', undefined).write(CLAIM, undefined).pass(10);
    },
    /^taken: 10\.66\.0\.7 .* was removed at revision \d+ while web on a /,
  );

  rejects(
    'a claim that another node writes over',
    (story) => {
      held(story, 'a', 'web');
      story.claim('b');
    },
    /^unlawful: .* was taken from .*"node":"a"/,
  );

  rejects(
    'a grant after the deadline, by whoever had been stopped meanwhile',
    (story) => {
      const call = story.ask('a');
      story.claim('a').pass(1_000);
      story.grant(call, 'web');
    },
    /^late: RequestAddress gave 10\.66\.0\.7 after 10\d\d ms/,
  );

  rejects(
    'a claim without a token',
    (story) => story.claim('a', { token: undefined }),
    /^unlawful: .* has no token by which its writer knows it/,
  );

  rejects(
    'a claim by a node without a session',
    (story) => story.write('sessions/a/1', undefined).claim('a'),
    /^unlawful: .* was written by a without a session/,
  );

  rejects(
    'a claim through a join that has ended',
    (story) => story.write(`joins/${LOCAL}/ja`, undefined).claim('a'),
    /^unlawful: .* was given through a join that had ended/,
  );

  rejects(
    'a claim in a pool that is being closed',
    (story) => story.write(`pools/${LOCAL}`, { state: 'closing' }).claim('a'),
    /^unlawful: .* was given in a pool that is not open/,
  );

  rejects(
    'a claim by a leader that another has followed',
    (story) => story.lead(1).lead(2).swarm(1),
    /^unlawful: .* was given through a join that had ended/,
  );

  rejects(
    'an address that a leader gives twice in one epoch',
    (story) => story.lead(1).swarm(1).swarm(1),
    /^unlawful: .* was given once more in one epoch/,
  );

  rejects(
    'a worker that takes an address over which no leader gave',
    (story) => story.claim('a', { kind: 'swarm' }).claim('b', { kind: 'swarm' }),
    /^unlawful: .* was taken from/,
  );

  rejects(
    'a gateway that is given to a container',
    (story) => story.claim('', { kind: 'shared', join: undefined, node: undefined }).claim('a'),
    /^unlawful: .* was taken from .*"kind":"shared"/,
  );

  rejects(
    'a pool that overlaps another',
    (story) => story.write('pools/local/v4/010.064.000.000-10', { state: 'open' }),
    /^unlawful: .* overlaps pools\/local\/v4\/010\.066\.000\.000-24/,
  );

  rejects(
    'silence that a clock of its own counted',
    (story) => story.write('sessions/b/1', undefined).write('nodes/b', { silence: 1 }),
    /^unlawful: nodes\/b counts silence while there is no round/,
  );

  rejects(
    'silence counted twice in a round, and that of a node that is there',
    (story) => {
      story.write('sessions/b/1', undefined).write('tick', {}).write('nodes/b', { silence: 1 });
      story.write('nodes/b', { silence: 2 }).write('nodes/a', { silence: 1 });
    },
    /^unlawful: nodes\/b counts silence twice in one round/,
    /^unlawful: nodes\/a counts the silence of a node that has a session/,
  );

  it('a claim that nobody uses, one that a lost call cannot explain, and a use without a claim', () => {
    const story = Story.begun();
    const lost = { ...story.ask('b'), outcome: 'unknown', address: '10.66.0.8' } as Call;
    const leaked = (key: string, join: string) => leaks({ [key]: { join } }, [], [lost], true).map(({ text }) => text);
    expect(leaked(CLAIM, 'ja')).to.deep.equal([`${CLAIM} is nobody's: {"join":"ja"}`]);
    expect(leaked(CLAIM, 'jb')).to.deep.equal([`${CLAIM} is nobody's: {"join":"jb"}`]);
    expect(leaked(CLAIM.replace('007', '008'), 'jb')).to.deep.equal([]);
    const used = leaks({}, [held(story, 'a', 'web')], [], false);
    expect(used.map(({ text }) => text)).to.deep.equal(['local 10.66.0.0/24 10.66.0.7 is used and has no claim']);
  });
});
