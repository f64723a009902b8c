// The commands that look on, act by hand and carry records elsewhere: what they print, what they leave in etcd and their exit
// codes.
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAddress } from '../../src/net/address.js';
import { release } from '../../src/ops/release.js';
import { type Host, type Net, soon, World } from '../support/allocator-fixture.js';
import { beside, foreign, network, SpokenEngine, shown } from '../support/engine-shown.js';
import { type EtcdFixture, keyspace, startEtcd } from '../support/etcd.js';
import { eventually, type Outcome, Program, run } from '../support/process.js';
import { EtcdBackend } from '../support/stores.js';

const S = '10.66.0.0/24';

describe('commands that operate', function () {
  this.timeout(120_000);
  let backend: EtcdBackend;
  let world: World;
  let [a, b]: Host[] = [];
  let [na, nb]: Net[] = [];
  let directory: string;

  before(async () => {
    backend = await EtcdBackend.start();
    directory = await mkdtemp(join(tmpdir(), 'operating-'));
  });
  beforeEach(async () => {
    world = new World(backend);
    world.keepMs = 600_000;
    [a, b] = [await world.host('a'), await world.host('b')];
    [na, nb] = [await a.network(S), await b.network(S)];
  });
  afterEach(() => backend.clear());
  after(async () => {
    await backend?.close();
    await rm(directory, { recursive: true, force: true });
  });

  const command = (...args: string[]): Promise<Outcome> => commandAt(backend.etcd, ...args);
  const commandAt = ({ url }: Pick<EtcdFixture, 'url'>, ...args: string[]): Promise<Outcome> =>
    run(process.execPath, ['dist/main.js', ...args], { env: { ETCD_ENDPOINTS: url, IPAM_NODE: 'operator' } });
  /** Without times. */
  const plain = (text: string) =>
    text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').replace(/^\d\d:\d\d:\d\d/gm, 'HH:MM:SS');
  const claims = async () => (await world.records()).filter((line) => line.startsWith('claims/'));

  describe('watch', () => {
    const watching = (...args: string[]) =>
      Program.start(process.execPath, ['dist/main.js', 'watch', ...args], {
        env: { ETCD_ENDPOINTS: backend.etcd.url },
      });

    it('tells what happens in lines, and ends with exit code 0 at Ctrl-C', async () => {
      await using program = await watching();
      await program.prints(/^TIME/);
      // It says nothing of when it stands: the first event is asked for until it is told.
      await eventually('it watches', async () => {
        await backend.plant('brake', { silent: 2, of: 3, since: 'then' });
        await backend.plant('brake', undefined);
        return /unbraked/.test(program.output);
      });
      const { ip } = await na!.endpoint({ name: 'web' });
      await na!.endpoint({ ip, name: 'web' });
      await na!.release(ip);
      await nb!.gateway('10.66.0.1');
      await nb!.releasePool();
      const other = await a!.network('10.67.0.0/24');
      await other.releasePool();
      await program.prints(/pool-removed/);
      const lines = plain(program.output).split('\n');
      const told = lines.slice(lines.findLastIndex((line) => /braked/.test(line)) + 1);
      expect(told.filter(Boolean).map((line) => line.replace(/ +/g, ' '))).to.have.members([
        'HH:MM:SS allocated 10.66.0.1 10.66.0.0/24 a web',
        'HH:MM:SS renewed 10.66.0.1 10.66.0.0/24 a web',
        'HH:MM:SS released 10.66.0.1 10.66.0.0/24 a web',
        'HH:MM:SS shared 10.66.0.1 10.66.0.0/24 b gateway',
        'HH:MM:SS left 10.66.0.0/24 b',
        'HH:MM:SS unshared 10.66.0.1 10.66.0.0/24 b gateway',
        'HH:MM:SS pool-made 10.67.0.0/24',
        'HH:MM:SS joined 10.67.0.0/24 a',
        'HH:MM:SS left 10.67.0.0/24 a',
        'HH:MM:SS pool-removed 10.67.0.0/24',
      ]);
      program.signal('SIGINT');
      expect(await program.exited).to.equal(0);
    });

    it('--json tells of one pool alone, with the revision, and goes on after etcd was away', async () => {
      await using program = await watching(S, '--json');
      const events = () =>
        program.output
          .split('\n')
          .filter((line) => line.startsWith('{'))
          .map((line) => JSON.parse(line));
      await eventually('it watches', async () => {
        const { ip } = await na!.endpoint({ name: 'first' });
        await na!.release(ip);
        return events().some(({ event }) => event === 'released');
      });
      const before = events().length;
      await backend.etcd.kill();
      await program.prints(/etcd-ipam: .*; waiting/);
      await backend.etcd.restart();
      await program.prints(/etcd-ipam: watching again/);
      await eventually(
        'a host allocates again',
        () => nb!.endpoint({ ip: '10.66.0.9', name: 'web' }).catch(() => false),
        60_000,
      );
      await backend.plant('pools/local/v4/010.099.000.000-24', { state: 'open', since: 'then', token: 't' });
      await eventually('the event', () => events().some(({ name }) => name === 'web'));
      // What it had not yet told of when the first was seen comes as well.
      const told = events()
        .slice(before)
        .filter(({ event, name }) => event === 'allocated' && name !== 'first');
      expect(told[0]).to.include({ space: 'local', pool: S, address: '10.66.0.9', node: 'b', name: 'web' });
      expect(told[0].version).to.match(/^\d+$/);
      expect(Date.parse(told[0].at)).to.be.closeTo(Date.now(), 120_000);
      expect(events().filter(({ pool }) => pool !== S)).to.deep.equal([]);
    });
  });

  describe('release', () => {
    it('shows what stands behind an address, and frees it with --yes where the host is not alive', async () => {
      await nb!.endpoint({ ip: '10.66.0.9', name: 'web', mac: '02:42:00:00:00:09' });
      await b!.loseSession();
      const shows = [
        '10.66.0.9 of 10.66.0.0/24 in local: endpoint, since TIME',
        '  who       web',
        '  node      b, which is silent',
      ];
      const first = await command('release', '10.66.0.9');
      expect([first.code, plain(first.stdout).trimEnd().split('\n')]).to.deep.equal([
        1,
        [...shows, 'would be released: add --yes'],
      ]);
      expect(await claims()).to.have.length(1);
      const second = await command('release', '10.66.0.9', '--yes');
      expect([second.code, plain(second.stdout).trimEnd().split('\n')]).to.deep.equal([0, [...shows, 'released']]);
      expect(await claims()).to.deep.equal([]);
      expect((await command('who', '10.66.0.9')).stdout).to.match(/past {4}web on b, .*, released by hand/);
      const third = await command('release', '10.66.0.9', '--yes');
      expect([third.code, third.stdout]).to.deep.equal([1, '10.66.0.9 of 10.66.0.0/24 in local is free\n']);
      expect((await command('release', '10.99.0.1')).stdout).to.equal('10.99.0.1 is in no pool of local\n');
    });

    it('refuses what a living host has without --force, in words and in JSON', async () => {
      await na!.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na!.gateway('10.66.0.1');
      await nb!.gateway('10.66.0.1');
      const refused = await command('release', '10.66.0.9', '--yes', '--json');
      expect(refused.code).to.equal(1);
      const said = JSON.parse(refused.stdout);
      expect(said).to.deep.include({
        released: false,
        against: ['a is alive'],
        nodes: [{ node: 'a', state: 'alive' }],
      });
      expect(said.claim).to.include({ address: '10.66.0.9', kind: 'endpoint', node: 'a', name: 'web' });
      const shared = plain((await command('release', '10.66.0.1', '--yes')).stdout).split('\n');
      expect(shared.slice(0, 3).sort()).to.deep.equal([
        '  gateway   of a, which is alive',
        '  gateway   of b, which is alive',
        '10.66.0.1 of 10.66.0.0/24 in local: shared, since TIME',
      ]);
      expect(shared[3]).to.equal(
        'not released: a and b are alive; networks of a and b have it as gateway, and a container may be given it; if it is unused all the same, add --force',
      );
      const forced = await command('release', '10.66.0.9', '--yes', '--force', '--json');
      expect([forced.code, JSON.parse(forced.stdout).released]).to.deep.equal([0, true]);
      expect(await claims()).to.deep.equal(['claims/local/v4/010.066.000.000-24/010.066.000.001 shared']);
    });

    it('says what the engine of this host shows, which is a word against it', async () => {
      await na!.endpoint({ ip: '10.66.0.9', name: 'web' });
      await a!.loseSession();
      const engine = new SpokenEngine();
      const ask = (yes: boolean) =>
        release(
          b!.link,
          parseAddress('10.66.0.9'),
          {
            ...{ space: 'local', yes, force: false, goneRounds: 4, keepMs: 0, now: () => new Date() },
            engine: { node: 'a', asked: engine },
          },
          soon(),
        );
      engine.view = shown(network(S, { containers: { web: '10.66.0.9' } }));
      expect(await ask(true)).to.deep.include({
        ...{ released: false, container: 'web', against: ['the engine of a shows web with it'] },
      });
      engine.view = undefined;
      expect((await ask(false)).container).to.equal(undefined);
      engine.view = beside(shown(network(S)), foreign(S));
      expect((await ask(false)).container, 'on a network that may be of this driver').to.equal(undefined);
      engine.view = shown(network(S));
      expect(await ask(true)).to.deep.include({ released: true, container: null, against: [] });
    });

    it('leaves alone what has been given anew since it was looked at, or whose host has come back', async () => {
      await nb!.endpoint({ ip: '10.66.0.9', name: 'web' });
      const free = () =>
        release(
          a!.link,
          parseAddress('10.66.0.9'),
          { space: 'local', yes: true, force: true, goneRounds: 4, keepMs: 600_000, now: () => new Date() },
          soon(),
        );
      a!.link.beforeNext(() => nb!.endpoint({ ip: '10.66.0.9', name: 'web' }));
      expect(await free()).to.include({ released: false, changed: true });
      await b!.loseSession();
      a!.link.beforeNext(() => world.host('b'));
      expect(await free()).to.include({ released: false, changed: true });
      expect(await claims()).to.have.length(1);
      expect((await world.records()).filter((line) => line.includes('by hand'))).to.deep.equal([]);
    });

    it('needs --force for what a swarm gave, and says which host has it', async () => {
      const leader = await a!.network('10.80.0.0/24', { space: 'global' });
      await leader.task('10.80.0.5');
      const alone = await command('release', '10.80.0.5', '--space', 'global', '--yes', '--json');
      expect(JSON.parse(alone.stdout).against).to.deep.equal(['a swarm gave it, and may know of a task']);
      const worker = await b!.network('10.80.0.0/24', { managed: true });
      await worker.endpoint({ ip: '10.80.0.5', name: 'task.1' });
      const used = await command('release', '10.80.0.5', '--space', 'global', '--yes', '--json');
      expect(JSON.parse(used.stdout).against).to.deep.equal(['a swarm gave it, and b has it']);
    });
  });

  it('no command prints what a terminal obeys, nor a row that is none, for an odd name in etcd', async () => {
    await na!.gateway();
    const odd = 'x\u001b[2J\n10.66.0.8 web\u009b\u2028';
    const [since, token] = ['2026-11-29T12:00:00.000Z', '00000000000000aa'];
    const claim = { kind: 'endpoint', node: odd, name: odd, join: odd, from: odd, since, token };
    await backend.plant('claims/local/v4/010.066.000.000-24/010.066.000.009', claim);
    await backend.plant(`notes/${odd}`, {});
    for (const [words, lines] of [
      [['claims', S], 3],
      [['who', '10.66.0.9'], 6],
      [['who', '10.66.0.9', '--at', '2026-11-29T12:30:00Z'], 3],
      [['release', '10.66.0.9'], 4],
    ] as const) {
      const { stdout } = await command(...words);
      expect(stdout, words[0]).to.contain('x\ufffd[2J\ufffd10.66.0.8 web\ufffd\ufffd');
      expect(stdout.trimEnd().split('\n'), words[0]).to.have.length(lines);
    }
    for (const words of [['check'], ['exclude', S, '10.66.0.9']]) {
      const { stdout, stderr } = await command(...words);
      expect(stdout + stderr, words[0])
        .to.contain('x\ufffd[2J\ufffd')
        .and.not.match(/[^\P{Cc}\n]|\u2028/u);
    }
  });

  describe('export and import', () => {
    const filled = async () => {
      await na!.gateway('10.66.0.1');
      await nb!.gateway('10.66.0.1');
      for (let i = 0; i < 150; i++) await na!.endpoint({ name: `c${i}` });
      world.restMs = 600_000;
      const blue = await (await world.host('c')).network('10.66.0.0/24', { space: 'local.blue' });
      const { ip } = await blue.endpoint({ name: 'rests' });
      await blue.release(ip);
    };
    const exported = async () => {
      const { stdout, code } = await command('export');
      expect(code).to.equal(0);
      const file = join(directory, 'export.jsonl');
      await writeFile(file, stdout);
      return file;
    };

    it('carry all that does not go by itself into another etcd, where no address is given until that is allowed', async () => {
      await filled();
      const ruled = ['exclude', '10.66.0.0/24', '10.66.0.240/28', '--comment', 'printers'];
      expect((await command(...ruled)).stderr).to.equal('');
      const file = await exported();
      const [head, ...lines] = (await readFile(file, 'utf8'))
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(head['etcd-ipam']).to.include({ format: 1, prefix: '/etcd-ipam/', records: lines.length });
      expect(new Set(lines.map(({ key }) => key.split('/')[0]))).to.deep.equal(
        new Set(['claims', 'holders', 'joins', 'nodes', 'pools', 'rules']),
      );
      const target = await startEtcd();
      try {
        const tried = await commandAt(target, 'import', file, '--dry-run');
        expect([tried.code, tried.stdout]).to.deep.equal([
          0,
          `${lines.length} records: 0 are there already, ${lines.length} are missing\n${lines.length} would be written\n`,
        ]);
        expect(await keyspace(target)).to.deep.equal({});
        const done = await commandAt(target, 'import', file, '--json');
        expect(JSON.parse(done.stdout)).to.include({ records: lines.length, there: 0, written: lines.length });
        const there = await keyspace(target, '/etcd-ipam/');
        for (const { key, record } of lines) expect(there[`/etcd-ipam/${key}`], key).to.deep.equal(record);
        const rest = Object.keys(there).filter((key) => !lines.some((one) => `/etcd-ipam/${one.key}` === key));
        expect(rest).to.deep.equal(['/etcd-ipam/restored', '/etcd-ipam/spaces/local', '/etcd-ipam/spaces/local.blue']);
        expect(JSON.parse((await commandAt(target, 'check', '--json')).stdout).findings).to.deep.equal([]);
        expect((await commandAt(target, 'resume', '--dry-run')).stdout).to.match(/records were imported/);
        const again = await commandAt(target, 'import', file);
        expect([again.code, again.stdout.split('\n')[1]]).to.deep.equal([0, 'nothing to write']);
      } finally {
        await target.stop();
      }
    });

    it('carry the pools of 100 spaces, each of which has a guard of its own', async () => {
      for (let nth = 0; nth < 100; nth++)
        await backend.plant(`pools/local.s${nth}/v4/010.066.000.000-24`, { state: 'open', since: 'then', token: 't' });
      const target = await startEtcd();
      try {
        const { stderr } = await commandAt(target, 'import', await exported());
        expect(stderr).to.equal('');
        expect(Object.keys(await keyspace(target, '/etcd-ipam/spaces/local.s'))).to.have.length(100);
      } finally {
        await target.stop();
      }
    });

    it('leave out what is damaged, name it, and end with 1; what is damaged where it goes differs', async () => {
      await filled();
      const file = await exported();
      const damaged = 'claims/local/v4/010.066.000.000-24/010.066.000.009';
      await backend.plant(damaged, '{"kind":');
      const { code, stdout, stderr } = await command('export');
      expect([code, stderr]).to.deep.equal([1, `etcd-ipam: /etcd-ipam/${damaged} was left out: it is no JSON\n`]);
      expect(stdout.split('\n')).to.have.length((await readFile(file, 'utf8')).split('\n').length - 1);
      const back = await command('import', file);
      expect([back.code, back.stderr, back.stdout.split('\n')[2]]).to.deep.equal([1, '', `  ${damaged}`]);
    });

    it('write nothing where a record is there and differs, or overlaps with what is there', async () => {
      await filled();
      const file = await exported();
      const [gone, other] = ['010.066.000.009', '010.066.000.010'].map(
        (ip) => `claims/local/v4/010.066.000.000-24/${ip}`,
      );
      await backend.plant(gone!, undefined);
      await backend.plant(other!, { kind: 'endpoint', node: 'z', since: 'then', token: 't' });
      const { code, stdout } = await command('import', file);
      expect(code).to.equal(1);
      expect(stdout.split('\n').slice(1)).to.deep.equal([
        '1 are there and differ, so nothing was written:',
        `  ${other}`,
        '',
      ]);
      expect(await backend.records()).to.not.have.property(gone!);
      const wide = 'pools/local/v4/010.066.000.000-16';
      await backend.plant(other!, undefined);
      for (const key of Object.keys(await backend.records())) if (/-24/.test(key)) await backend.plant(key, undefined);
      await backend.plant(wide, { state: 'open', since: 'then', token: 't' });
      const overlapping = await command('import', file, '--json');
      expect(overlapping.code).to.equal(1);
      expect(JSON.parse(overlapping.stdout).wrong).to.deep.equal([
        'pool-overlap: 10.66.0.0/16 and 10.66.0.0/24 (local)',
      ]);
    });

    for (const [what, text, why] of [
      ['is empty', '', /its first line does not say so/],
      [
        'is cut',
        '{"etcd-ipam":{"format":1,"prefix":"/x/","revision":"1","records":2}}\n{"key":"a","record":{}}\n',
        /it has 1 of 2/,
      ],
      ['is of a later format', '{"etcd-ipam":{"format":9,"records":0}}\n', /its format is 9/],
      ['is no JSON', 'claims\n', /line 1 is no JSON/],
    ] as const)
      it(`a file that ${what} is refused in one line`, async () => {
        const file = join(directory, 'wrong');
        await writeFile(file, text);
        const { code, stderr } = await command('import', file);
        expect(code).to.equal(2);
        expect(stderr.trimEnd().split('\n')).to.have.length(1);
        expect(stderr).to.match(why);
      });
  });

  describe('whose reader has gone, or whose disk is full', () => {
    const env = (more: Record<string, string> = {}) => ({
      ...{ ETCD_ENDPOINTS: backend.etcd.url, IPAM_NODE: 'operator', IPAM_DEADLINE: '500ms', NODE: process.execPath },
      ...more,
    });
    const typed = (words: string) =>
      run('bash', ['-c', `set -o pipefail; "$NODE" dist/main.js ${words}`], { env: env() });

    it('exit with what they found, and with 1 where half of it is as good as nothing', async () => {
      await backend.plant('pools/local/v4/010.070.000.000-24', { state: 'closing', since: 'then', token: 't' });
      for (const [words, code] of [
        ['check | true', 1],
        ['who 10.66.0.99 | true', 1],
        ['export | true', 1],
        ['claims | true', 0],
        ['nodes | true', 0],
        ['export | cat', 0],
      ] as const) {
        const cut = await typed(words);
        expect([cut.code, cut.stderr], words).to.deep.equal([code, '']);
      }
    });

    it('exit with 1 and say why in one line', async function () {
      if (!existsSync('/dev/full')) this.skip();
      for (const words of ['export', 'nodes', 'claims']) {
        const full = await typed(`${words} > /dev/full`);
        expect([full.code, full.stderr], words).to.deep.equal([
          1,
          'etcd-ipam: standard output: ENOSPC: no space left on device, write\n',
        ]);
      }
    });
  });

  it('every command says on stderr what is doubtful about its settings', async () => {
    const doubtful = { ETCD_ENDPOINTS: backend.etcd.url, IPAM_PREFX: '/x', IPAM_LISTEN: '0.0.0.0:9474' };
    for (const words of [['nodes'], ['check'], ['pool', S]]) {
      const { code, stdout, stderr } = await run(process.execPath, ['dist/main.js', ...words, '--json'], {
        env: { ...doubtful, IPAM_DEADLINE: '500ms' },
      });
      expect([code, stderr.split('\n')], words[0]).to.deep.equal([
        0,
        [
          'etcd-ipam: warning: IPAM_PREFX is not a setting: did you mean IPAM_PREFIX?',
          'etcd-ipam: warning: IPAM_LISTEN serves 0.0.0.0 without TLS: whoever reaches it can take and free addresses',
          '',
        ],
      ]);
      expect(JSON.parse(stdout), words[0]).to.be.an('object');
    }
  });

  it('every command has help with an example', async () => {
    const { stdout } = await command('--help');
    const names = [...stdout.slice(stdout.indexOf('Commands:')).matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name!);
    expect(names).to.include.members([
      'status',
      'pools',
      'claims',
      'who',
      'nodes',
      'check',
      'evict',
      'release',
      'watch',
    ]);
    for (const name of names.filter((one) => !['help', 'serve', 'completion'].includes(one))) {
      const help = await command(name, '--help');
      expect([help.code, help.stderr], name).to.deep.equal([0, '']);
      expect(help.stdout, name).to.match(/Examples?:\n {2}\$ (ETCD_ENDPOINTS=\S+ )?etcd-ipam /);
    }
  });
});
