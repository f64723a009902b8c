// Every setting: what is taken, what is refused and with which words. Needs openssl for two files, and no network.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { expect } from 'chai';
import { parseDuration } from '../../src/config/kinds.js';
import { type Environment, loadSettings, SETTING_NAMES, SettingsError, withEnvFile } from '../../src/config.js';

const pools = (text: string) => {
  if (text === 'nonsense') throw new Error('"nonsense" is not BASE/LENGTH/SIZE such as 10.208.0.0/12/24');
  return text.split(',');
};
const load = (environment: Environment, host = 'host-a') => loadSettings(environment, pools, host);
const refusal = (environment: Environment, host?: string): string => {
  try {
    load(environment, host);
  } catch (error) {
    expect(error).to.be.instanceOf(SettingsError);
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
};

describe('settings', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'etcd-ipam-config-'));
    for (const name of ['one', 'two']) {
      const subject = ['-subj', `/CN=${name}`, '-days', '1', '-nodes'];
      const out = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
      const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
      execFileSync('openssl', ['req', '-x509', ...curve, ...subject, ...out], { stdio: 'pipe' });
    }
    writeFileSync(at('password'), 'from file\n');
    writeFileSync(at('not.pem'), 'no certificate\n');
    writeFileSync(at('broken.pem'), '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n');
    const locked = ['-topk8', '-in', at('one.key'), '-out', at('locked.key'), '-passout', 'pass:secret'];
    execFileSync('openssl', ['pkcs8', ...locked], { stdio: 'pipe' });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('all have a default, which an empty environment shows', () => {
    expect(load({})).to.deep.equal({
      etcd: { endpoints: ['http://127.0.0.1:2379'] },
      prefix: '/etcd-ipam/',
      swarm: '',
      node: 'host-a',
      socket: '/run/docker/plugins/etcd-ipam.sock',
      opsListen: { host: '127.0.0.1', port: 9475 },
      pools: ['10.208.0.0/12/24', 'fd00:e7cd::/48/64'],
      sessionTtl: 15_000,
      hold: 86_400_000,
      forget: 30 * 86_400_000,
      cooldown: 30_000,
      history: 604_800_000,
      deadline: 5_000,
      requireMac: false,
      reconcileGrace: 600_000,
      logLevel: 'info',
      warnings: [],
    });
  });

  it('are all taken from the environment', () => {
    const settings = load({
      ETCD_ENDPOINTS: 'https://etcd-1:2379, https://[fd00::1]:4001/,https://etcd-3',
      ETCD_CA_FILE: at('two.pem'),
      ETCD_CERT_FILE: at('one.pem'),
      ETCD_KEY_FILE: at('one.key'),
      ETCD_USERNAME: 'ipam',
      ETCD_PASSWORD: ' kept as it is ',
      IPAM_PREFIX: 'dc1/ipam',
      IPAM_SWARM: 'blue-1',
      IPAM_NODE: 'node-7.example.org',
      IPAM_MACHINE_ID: 'a3f0:rack-4',
      IPAM_SOCKET: '/run/ipam.sock',
      IPAM_LISTEN: '[::1]:9474',
      IPAM_OPS_LISTEN: '0.0.0.0:80',
      IPAM_POOLS: '10.0.0.0/8/24',
      IPAM_SESSION_TTL: '2s',
      IPAM_HOLD: 'never',
      IPAM_FORGET: '90d',
      IPAM_COOLDOWN: '0s',
      IPAM_HISTORY: '0',
      IPAM_DEADLINE: '500ms',
      IPAM_REQUIRE_MAC: '1',
      IPAM_ENGINE_SOCKET: '/var/run/docker.sock',
      IPAM_RECONCILE_GRACE: '1h',
      LOG_LEVEL: 'debug',
    });
    expect(settings.etcd.endpoints).to.deep.equal([
      'https://etcd-1:2379',
      'https://[fd00::1]:4001',
      'https://etcd-3:2379',
    ]);
    expect(settings.etcd.tls?.key?.toString()).to.match(/BEGIN (EC )?PRIVATE KEY/);
    expect(settings.etcd).to.include({ username: 'ipam', password: ' kept as it is ' });
    expect(settings).to.include({
      prefix: '/dc1/ipam/',
      swarm: 'blue-1',
      node: 'node-7.example.org',
      machineId: 'a3f0:rack-4',
      socket: '/run/ipam.sock',
      sessionTtl: 2_000,
      hold: Number.POSITIVE_INFINITY,
      forget: 90 * 86_400_000,
      cooldown: 0,
      history: 0,
      deadline: 500,
      requireMac: true,
      engineSocket: '/var/run/docker.sock',
      reconcileGrace: 3_600_000,
      logLevel: 'debug',
    });
    expect(settings.listen).to.deep.equal({ host: '::1', port: 9474 });
    expect(settings.opsListen).to.deep.equal({ host: '0.0.0.0', port: 80 });
    expect(settings.pools).to.deep.equal(['10.0.0.0/8/24']);
  });

  it('that are empty or blank count as unset, but for IPAM_OPS_LISTEN, where empty means off', () => {
    const blank = Object.fromEntries(SETTING_NAMES.map((name, index) => [name, index % 2 === 0 ? '' : '  ']));
    delete blank.ETCD_PASSWORD; // whose blanks count
    const { opsListen, ...rest } = load(blank);
    const { opsListen: _, ...defaults } = load({});
    expect(opsListen).to.equal(undefined);
    expect(rest).to.deep.equal(defaults);
  });

  it('give one spelling of a prefix, so that no two nodes miss each other over a slash', () => {
    for (const text of ['ipam', '/ipam', 'ipam/', '/ipam/'])
      expect(load({ IPAM_PREFIX: text }).prefix).to.equal('/ipam/');
  });

  it('take a password from a file, without its last newline', () => {
    expect(load({ ETCD_USERNAME: 'ipam', ETCD_PASSWORD_FILE: at('password') }).etcd.password).to.equal('from file');
  });

  it('IPAM_LISTEN alone leaves the socket out, IPAM_SOCKET beside it keeps it', () => {
    expect(load({ IPAM_LISTEN: '127.0.0.1:9474' }).socket).to.equal(undefined);
    expect(load({ IPAM_LISTEN: '127.0.0.1:9474', IPAM_SOCKET: '/run/x.sock' }).socket).to.equal('/run/x.sock');
  });

  it('IPAM_TLS files are read, and named for the engine', () => {
    const paths = { caFile: at('two.pem'), certFile: at('one.pem'), keyFile: at('one.key') };
    const { listen } = load({
      IPAM_LISTEN: '192.0.2.7:9474',
      IPAM_TLS_CA_FILE: paths.caFile,
      IPAM_TLS_CERT_FILE: paths.certFile,
      IPAM_TLS_KEY_FILE: paths.keyFile,
    });
    expect(listen?.tls?.engine).to.deep.equal(paths);
    expect(listen?.tls?.cert.toString()).to.contain('BEGIN CERTIFICATE');
  });

  it('IPAM_TLS files are named for the engine, whose directory is another, from the root', () => {
    const near = (name: string) => relative(process.cwd(), at(name));
    const { listen } = load({
      ...{ IPAM_LISTEN: '192.0.2.7:9474', IPAM_TLS_CA_FILE: near('two.pem') },
      ...{ IPAM_TLS_CERT_FILE: near('one.pem'), IPAM_TLS_KEY_FILE: near('one.key') },
    });
    expect(listen?.tls?.engine).to.deep.equal({
      ...{ caFile: at('two.pem'), certFile: at('one.pem'), keyFile: at('one.key') },
    });
  });

  const DURATION = (limits: string) => `a duration ${limits}`;
  const HOST_PORT = 'host:port such as 192.0.2.1:9474';
  const ENDPOINTS = 'comma-separated http://host:port, or https://host:port for all, without user or path';
  const PATH = 'an absolute path of at most 107 bytes';
  const PREFIX = 'names of letters, digits, ".", "_" and "-" between slashes such as /etcd-ipam/';
  const NODE = '1 to 253 letters, digits or . _ -, beginning with a letter or digit';
  const long = `/${'x'.repeat(107)}`;

  const refused: readonly [name: string, value: string, allowed: string][] = [
    ['ETCD_ENDPOINTS', '127.0.0.1:2379', ENDPOINTS],
    ['ETCD_ENDPOINTS', 'http://a:2379,https://b:2379', ENDPOINTS],
    ['ETCD_ENDPOINTS', 'http://a:0', ENDPOINTS],
    ['ETCD_ENDPOINTS', 'http://a:65536', ENDPOINTS],
    ['ETCD_ENDPOINTS', 'http://a:2379/v3', ENDPOINTS],
    ['ETCD_ENDPOINTS', 'http://a:2379,', ENDPOINTS],
    ['ETCD_ENDPOINTS', 'unix:///run/etcd.sock', ENDPOINTS],
    ['ETCD_CA_FILE', '/nowhere/ca.pem', 'a file that can be read (ENOENT)'],
    ['ETCD_CERT_FILE', '/', 'a file that can be read (EISDIR)'],
    ['IPAM_PREFIX', '/', PREFIX],
    ['IPAM_PREFIX', 'a//b', PREFIX],
    ['IPAM_PREFIX', '/ipam*/', PREFIX],
    ['IPAM_SWARM', 'a.b', '1 to 63 letters, digits or _ -, beginning with a letter or digit'],
    ['IPAM_NODE', 'host a', NODE],
    ['IPAM_NODE', '-a', NODE],
    ['IPAM_NODE', 'a/b', NODE],
    ['IPAM_NODE', 'x'.repeat(254), NODE],
    ['IPAM_MACHINE_ID', 'a b', '1 to 128 letters, digits or . : _ -, beginning with a letter or digit'],
    ['IPAM_SOCKET', 'etcd-ipam.sock', PATH],
    ['IPAM_SOCKET', '/run/docker/plugins/', PATH],
    ['IPAM_SOCKET', long, PATH],
    ['IPAM_ENGINE_SOCKET', 'unix:///var/run/docker.sock', PATH],
    ['IPAM_LISTEN', '9474', HOST_PORT],
    ['IPAM_LISTEN', '127.0.0.1:0', HOST_PORT],
    ['IPAM_LISTEN', '127.0.0.1:65536', HOST_PORT],
    ['IPAM_LISTEN', '::1:9474', HOST_PORT],
    ['IPAM_OPS_LISTEN', 'localhost', 'host:port such as 127.0.0.1:9475, or empty for none'],
    ['IPAM_POOLS', 'nonsense', '"nonsense" is not BASE/LENGTH/SIZE such as 10.208.0.0/12/24'],
    ['IPAM_SESSION_TTL', '1s', DURATION('in whole seconds between 2s and 5m such as 15s')],
    ['IPAM_SESSION_TTL', '2500ms', DURATION('in whole seconds between 2s and 5m such as 15s')],
    ['IPAM_SESSION_TTL', '301s', DURATION('in whole seconds between 2s and 5m such as 15s')],
    ['IPAM_SESSION_TTL', 'never', DURATION('in whole seconds between 2s and 5m such as 15s')],
    ['IPAM_HOLD', 'forever', `never, or ${DURATION('between 30s and 3650d such as 24h')}`],
    ['IPAM_HOLD', '29s', `never, or ${DURATION('between 30s and 3650d such as 24h')}`],
    ['IPAM_FORGET', 'never', DURATION('between 30s and 3650d such as 30d')],
    ['IPAM_RECONCILE_GRACE', '999ms', DURATION('between 1s and 24h such as 10m')],
    ['IPAM_RECONCILE_GRACE', '25h', DURATION('between 1s and 24h such as 10m')],
    ['IPAM_COOLDOWN', '-1s', DURATION('in whole seconds between 0s and 24h such as 30s')],
    ['IPAM_HISTORY', '3651d', DURATION('in whole seconds between 0s and 3650d such as 7d')],
    ['IPAM_HISTORY', 'never', DURATION('in whole seconds between 0s and 3650d such as 7d')],
    ['IPAM_DEADLINE', '5 minutes', DURATION('between 500ms and 60s such as 5s')],
    ['IPAM_DEADLINE', '5', DURATION('between 500ms and 60s such as 5s')],
    ['IPAM_DEADLINE', '499ms', DURATION('between 500ms and 60s such as 5s')],
    ['IPAM_DEADLINE', '61s', DURATION('between 500ms and 60s such as 5s')],
    ['IPAM_REQUIRE_MAC', 'yes', 'true or false (1 or 0)'],
    ['LOG_LEVEL', 'verbose', 'one of trace, debug, info, warn, error, fatal, silent'],
    ['ETCD_USERNAME', 'two words', '1 to 256 characters without space'],
  ];
  for (const [name, value, allowed] of refused) {
    it(`${name} is not ${value.length > 60 ? `${value.slice(0, 20)}… of ${value.length} characters` : value}`, () => {
      expect(refusal({ [name]: value })).to.equal(`1 setting is wrong:\n  ${name} is "${value}": ${allowed}`);
    });
  }

  it('IPAM_FORGET is not shorter than IPAM_HOLD, whichever of them was given', () => {
    for (const [given, line] of [
      [{ IPAM_FORGET: '1h' }, 'IPAM_FORGET is "1h": not shorter than IPAM_HOLD, which is 24h'],
      [{ IPAM_FORGET: '1h', IPAM_HOLD: '90m' }, 'IPAM_FORGET is "1h": not shorter than IPAM_HOLD, which is 90m'],
      [{ IPAM_HOLD: '40d' }, 'IPAM_HOLD is "40d": not longer than IPAM_FORGET, which is 30d'],
    ] as const)
      expect(refusal(given)).to.equal(`1 setting is wrong:\n  ${line}, since a node is forgotten after its hold`);
    expect(load({ IPAM_FORGET: '1h', IPAM_HOLD: '1h' }).forget).to.equal(3_600_000);
    expect(load({ IPAM_FORGET: '1h', IPAM_HOLD: 'never' }).hold).to.equal(Number.POSITIVE_INFINITY);
  });

  it('certificate and key come together, and with https', () => {
    expect(refusal({ ETCD_ENDPOINTS: 'https://a:2379', ETCD_CERT_FILE: at('one.pem') })).to.equal(
      `1 setting is wrong:\n  ETCD_CERT_FILE is "${at('one.pem')}": needs ETCD_KEY_FILE too`,
    );
    expect(refusal({ ETCD_ENDPOINTS: 'https://a:2379', ETCD_KEY_FILE: at('one.key') })).to.equal(
      `1 setting is wrong:\n  ETCD_KEY_FILE is "${at('one.key')}": needs ETCD_CERT_FILE too`,
    );
    expect(refusal({ ETCD_CA_FILE: at('one.pem') })).to.equal(
      `1 setting is wrong:\n  ETCD_CA_FILE is "${at('one.pem')}": needs https:// in ETCD_ENDPOINTS`,
    );
  });

  it('a key of another certificate is found at the start', () => {
    const message = refusal({
      ETCD_ENDPOINTS: 'https://a:2379',
      ETCD_CERT_FILE: at('one.pem'),
      ETCD_KEY_FILE: at('two.key'),
    });
    expect(message).to.match(
      /^1 setting is wrong:\n {2}ETCD_CERT_FILE is ".*one\.pem": a certificate in PEM that belongs to the key \(/,
    );
    expect(message).to.contain('key values mismatch');
  });

  for (const room of ['ETCD', 'IPAM_TLS'])
    it(`${room}: the file that is no certificate, or no key, is the one that is named`, () => {
      const good = {
        ...(room === 'ETCD' ? { ETCD_ENDPOINTS: 'https://a:2379' } : { IPAM_LISTEN: '127.0.0.1:9474' }),
        ...{ [`${room}_CA_FILE`]: at('two.pem'), [`${room}_CERT_FILE`]: at('one.pem') },
        [`${room}_KEY_FILE`]: at('one.key'),
      };
      for (const [end, file, wanted] of [
        ['CA_FILE', 'not.pem', 'a certificate in PEM (it has none)'],
        ['CA_FILE', 'one.key', 'a certificate in PEM (it has none)'],
        ['CA_FILE', 'broken.pem', 'a certificate in PEM (error:'],
        ['CERT_FILE', 'not.pem', 'a certificate in PEM (error:'],
        ['KEY_FILE', 'not.pem', 'a key in PEM without a passphrase (error:'],
        ['KEY_FILE', 'locked.key', 'a key in PEM without a passphrase (error:'],
      ] as const) {
        const name = `${room}_${end}`;
        expect(refusal({ ...good, [name]: at(file) })).to.contain(
          `1 setting is wrong:\n  ${name} is "${at(file)}": ${wanted}`,
        );
      }
      const all = { [`${room}_CA_FILE`]: at('not.pem'), [`${room}_KEY_FILE`]: at('not.pem') };
      expect(refusal({ ...good, ...all })).to.match(/^2 settings are wrong:\n.*_CA_FILE is .*\n.*_KEY_FILE is .*$/);
    });

  it('a CA file without a certificate is found at the start', () => {
    expect(refusal({ ETCD_ENDPOINTS: 'https://a:2379', ETCD_CA_FILE: at('not.pem') })).to.equal(
      `1 setting is wrong:\n  ETCD_CA_FILE is "${at('not.pem')}": a certificate in PEM (it has none)`,
    );
  });

  it('IPAM_TLS files come all three, and with IPAM_LISTEN', () => {
    expect(refusal({ IPAM_TLS_CA_FILE: at('one.pem') })).to.equal(
      `1 setting is wrong:\n  IPAM_TLS_CA_FILE is "${at('one.pem')}": needs IPAM_LISTEN and IPAM_TLS_CERT_FILE and IPAM_TLS_KEY_FILE too`,
    );
  });

  it('user and password come together, the password once', () => {
    expect(refusal({ ETCD_USERNAME: 'ipam' })).to.equal(
      '1 setting is wrong:\n  ETCD_USERNAME is "ipam": needs ETCD_PASSWORD or ETCD_PASSWORD_FILE too',
    );
    expect(refusal({ ETCD_PASSWORD_FILE: at('password') })).to.equal(
      `1 setting is wrong:\n  ETCD_PASSWORD_FILE is "${at('password')}": needs ETCD_USERNAME too`,
    );
    const both = { ETCD_USERNAME: 'ipam', ETCD_PASSWORD: 's3cret', ETCD_PASSWORD_FILE: at('password') };
    expect(refusal(both)).to.equal(
      `1 setting is wrong:\n  ETCD_PASSWORD_FILE is "${at('password')}": comes instead of ETCD_PASSWORD, not beside it`,
    );
  });

  it('a file with an empty password is found at the start', () => {
    for (const text of ['', '\n', '\r\n']) {
      writeFileSync(at('empty'), text);
      expect(refusal({ ETCD_USERNAME: 'ipam', ETCD_PASSWORD_FILE: at('empty') })).to.equal(
        `1 setting is wrong:\n  ETCD_PASSWORD_FILE is "${at('empty')}": a file with a password in it (it is empty)`,
      );
    }
  });

  it('no secret is ever shown', () => {
    expect(refusal({ ETCD_PASSWORD: 's3cret' })).to.equal(
      '1 setting is wrong:\n  ETCD_PASSWORD (not shown): needs ETCD_USERNAME too',
    );
    expect(refusal({ ETCD_USERNAME: 'ipam', ETCD_PASSWORD: 's'.repeat(1025) })).to.equal(
      '1 setting is wrong:\n  ETCD_PASSWORD (not shown): at most 1024 characters',
    );
    const shown = [
      ['http://ipam:s3cret@a:2379,http://ipam:s3cret@b:2379', 'http://***@b:2379'],
      ['http://root:se/cret@10.0.0.1:2379', 'http://***@10.0.0.1:2379'],
      ['https://root:se,cret@a:2379,https://b:2379', 'https://***@a:2379,https://b:2379'],
      ['http://root:s3@cret@a:2379', 'http://***@a:2379'],
      ['root:s3://cret@a:2379', '***@a:2379'],
      ['http://root:s3\ncret@a:2379', 'http://***@a:2379'],
    ];
    for (const [given, seen] of shown)
      expect(refusal({ ETCD_ENDPOINTS: given! })).to.equal(
        `1 setting is wrong:\n  ETCD_ENDPOINTS is "${seen}": ${ENDPOINTS}`,
      );
    expect(refusal({ IPAM_LISTEN: 'https://root:se/cret@a:1' })).not.to.contain('cret');
    expect(refusal({ ETCD_ENDPOINTS: 'https://a', ETCD_CA_FILE: '/run/ca@a.pem' })).to.contain('"/run/ca@a.pem"');
  });

  it('a host name that will not do is not blamed on the user', () => {
    expect(refusal({}, 'my host')).to.equal(
      `1 setting is wrong:\n  IPAM_NODE is unset, and the host's name "my host" will not do: ${NODE}`,
    );
  });

  it('that are wrong are all listed in one message, in the order of the table', () => {
    expect(refusal({ LOG_LEVEL: 'loud', IPAM_DEADLINE: '5 minutes', ETCD_USERNAME: 'ipam' })).to.equal(
      [
        '3 settings are wrong:',
        '  ETCD_USERNAME is "ipam": needs ETCD_PASSWORD or ETCD_PASSWORD_FILE too',
        '  IPAM_DEADLINE is "5 minutes": a duration between 500ms and 60s such as 5s',
        '  LOG_LEVEL is "loud": one of trace, debug, info, warn, error, fatal, silent',
      ].join('\n'),
    );
  });

  it('that do not exist are warned about with the nearest name, and stop nothing', () => {
    const { warnings } = load({
      IPAM_SOKET: '/run/x.sock',
      IPAM_SESSION_TLL: '3s',
      IPAM_SOMETHING_ELSE: '1',
      ETCD_ENDPOINT: 'http://a:2379',
      ETCD_DATA_DIR: '/var/lib/etcd',
      ETCD_IPAM_ETCD_IMAGE: 'etcd:mine',
      ETCDCTL_API: '3',
      PATH: '/bin',
    });
    expect(warnings).to.deep.equal([
      'IPAM_SOKET is not a setting: did you mean IPAM_SOCKET?',
      'IPAM_SESSION_TLL is not a setting: did you mean IPAM_SESSION_TTL?',
      'IPAM_SOMETHING_ELSE is not a setting and is ignored',
      'ETCD_ENDPOINT is not a setting: did you mean ETCD_ENDPOINTS?',
    ]);
  });

  it('warn of TCP without TLS, within this host too', () => {
    for (const [at, host, who] of [
      ['0.0.0.0:9474', '0.0.0.0', 'whoever reaches it'],
      ['127.0.0.1:9474', '127.0.0.1', 'any user of this host'],
      ['[::1]:9474', '::1', 'any user of this host'],
      ['localhost:9474', 'localhost', 'any user of this host'],
    ] as const)
      expect(load({ IPAM_LISTEN: at }).warnings).to.deep.equal([
        `IPAM_LISTEN serves ${host} without TLS: ${who} can take and free addresses`,
      ]);
  });

  it('warn of a password without TLS beyond this host', () => {
    const user = { ETCD_USERNAME: 'ipam', ETCD_PASSWORD: 's3cret' };
    const warningsOf = (ETCD_ENDPOINTS: string) => load({ ...user, ETCD_ENDPOINTS }).warnings;
    expect(warningsOf('http://127.0.0.1:2379,http://10.0.0.1:2379,http://b:2379')).to.deep.equal([
      'ETCD_PASSWORD goes to 10.0.0.1 without TLS: whoever can listen on the way there can use it',
    ]);
    expect(
      load({ ETCD_USERNAME: 'ipam', ETCD_PASSWORD_FILE: at('password'), ETCD_ENDPOINTS: 'http://a' }).warnings,
    ).to.deep.equal(['ETCD_PASSWORD_FILE goes to a without TLS: whoever can listen on the way there can use it']);
    for (const endpoints of ['https://10.0.0.1', 'http://127.0.0.1', 'http://[::1]:2379', 'http://localhost'])
      expect(warningsOf(endpoints), endpoints).to.deep.equal([]);
    expect(load({ ETCD_ENDPOINTS: 'http://10.0.0.1' }).warnings).to.deep.equal([]);
  });

  describe('of a file', () => {
    const file = (text: string) => {
      writeFileSync(at('settings.env'), text);
      return at('settings.env');
    };

    it('count where the environment is silent or empty', () => {
      const path = file('IPAM_NODE=from-file\nIPAM_SWARM=from-file\nIPAM_DEADLINE=7s\n');
      const merged = withEnvFile({ IPAM_NODE: 'from-env', IPAM_SWARM: '' }, path);
      expect(load(merged)).to.include({ node: 'from-env', swarm: 'from-file', deadline: 7_000 });
    });

    it('stand in lines with comments, quotes, export and Windows ends', () => {
      const lines = [
        '# a comment',
        '; another',
        '',
        'export A=1',
        'B = two words ',
        `C='x "y" # z'`,
        'D="a \\"b\\" \\\\ c"',
        'E=',
        'F=a#b',
        'A=2',
      ];
      expect(withEnvFile({}, file(lines.join('\r\n')))).to.deep.equal({
        A: '2',
        B: 'two words',
        C: 'x "y" # z',
        D: 'a "b" \\ c',
        E: '',
        F: 'a#b',
      });
    });

    it('are refused by line number, without the line, which may hold a password', () => {
      const path = file('IPAM_NODE=a\nETCD_PASSWORD s3cret\n\nETCD_PASSWORD="s3cret\n9A=1\n');
      expect(() => withEnvFile({}, path)).to.throw(
        SettingsError,
        new RegExp(
          `^3 settings are wrong:\n {2}--env-file is "${path}": line 2 is not KEY=value\n` +
            ` {2}--env-file is "${path}": line 4 \\(ETCD_PASSWORD\\) has a quote that does not close, or text after it\n` +
            ` {2}--env-file is "${path}": line 5 is not KEY=value$`,
        ),
      );
    });

    it('that is not there stops the start', () => {
      expect(() => withEnvFile({}, '/nowhere/settings.env')).to.throw(
        SettingsError,
        '1 setting is wrong:\n  --env-file is "/nowhere/settings.env": a file that can be read (ENOENT)',
      );
    });

    it('that was not named changes nothing', () => {
      expect(withEnvFile({ A: '' }, undefined)).to.deep.equal({ A: '' });
    });
  });
});

describe('durations', () => {
  it('are a whole number and one of five units', () => {
    const table = { '500ms': 500, '15s': 15_000, '5m': 300_000, '24h': 86_400_000, '30d': 2_592_000_000, '0s': 0 };
    for (const [text, ms] of Object.entries(table)) expect(parseDuration(text), text).to.equal(ms);
    for (const text of ['', '5', 's', '1.5s', '-1s', '5 s', '5S', '1h30m', '1e3s', '9999999999s', 'never'])
      expect(parseDuration(text), text).to.equal(undefined);
  });
});
