import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { passwordNow, tlsNow } from '../../src/credentials.js';

const run = promisify(execFile);

describe('credentials', () => {
  let directory: string;
  let said: string[];
  const at = (name: string) => join(directory, name);
  const log = {
    info: (text: string) => void said.push(`info: ${text}`),
    warn: (text: string) => void said.push(`warn: ${text}`),
  } as never;
  const make = async (name: string) => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at(`${name}.key`)];
    await run('openssl', ['req', '-x509', ...key, '-out', at(`${name}.pem`), '-subj', `/CN=${name}`, '-days', '2']);
  };
  const held = async () => {
    const [cert, key] = [await readFile(at('cert')), await readFile(at('key'))];
    return { cert, key, from: { cert: at('cert'), key: at('key') } };
  };

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'credentials-'));
    for (const name of ['one', 'two']) await make(name);
  });
  after(() => rm(directory, { recursive: true, force: true }));
  beforeEach(async () => {
    said = [];
    await copyFile(at('one.pem'), at('cert'));
    await copyFile(at('one.key'), at('key'));
  });

  it('are the same object while the files hold the same, though they were written again', async () => {
    const first = await held();
    const now = tlsNow(first, log, 0);
    expect(now()).to.equal(first);
    await copyFile(at('one.pem'), at('cert'));
    expect(now()).to.equal(first);
    expect(said).to.deep.equal([]);
  });

  it('change when both halves of the pair have, and not before: one warning for a half', async () => {
    const first = await held();
    const now = tlsNow(first, log, 0);
    await copyFile(at('two.key'), at('key'));
    for (let look = 0; look < 3; look++) expect(now()).to.equal(first);
    expect(said).to.have.length(1);
    expect(said[0]).to.match(
      /^warn: .*\/cert, .*\/key changed, and are not used: \S+\/cert is not a certificate in PEM that belongs/,
    );
    await copyFile(at('two.pem'), at('cert'));
    const second = now();
    expect(second).to.deep.equal(await held());
    expect(now()).to.equal(second);
    expect(said.slice(1)).to.deep.equal([`info: new certificates are in use, from ${at('cert')}, ${at('key')}`]);
  });

  it('are found when other files are renamed into place, and stay while one is missing', async () => {
    const first = await held();
    const now = tlsNow(first, log, 0);
    await rm(at('key'));
    expect(now()).to.equal(first);
    expect(said[0]).to.contain('ENOENT');
    await copyFile(at('two.key'), at('key.new'));
    await copyFile(at('two.pem'), at('cert.new'));
    await rename(at('key.new'), at('key'));
    await rename(at('cert.new'), at('cert'));
    expect(now().cert).to.deep.equal(await readFile(at('two.pem')));
  });

  it('are not looked at twice within a second', async () => {
    const first = await held();
    const now = tlsNow(first, log, 60_000);
    now();
    await copyFile(at('two.key'), at('key'));
    await copyFile(at('two.pem'), at('cert'));
    expect(now()).to.equal(first);
  });

  it('are what was given where no file was', () => {
    const none = {};
    expect(tlsNow(none, log)()).to.equal(none);
    expect(passwordNow('given', undefined, log)()).to.equal('given');
  });

  it('read a password anew each time, without its line break, and keep the one before an empty or missing file', async () => {
    await writeFile(at('password'), 'first\n');
    const now = passwordNow('first', at('password'), log);
    await writeFile(at('password'), 'second\r\n');
    expect(now()).to.equal('second');
    await writeFile(at('password'), '\n');
    expect([now(), now()]).to.deep.equal(['second', 'second']);
    await rm(at('password'));
    expect(now()).to.equal('second');
    expect(said).to.have.length(2);
    expect(said[0]).to.equal(
      `warn: the password in ${at('password')} is not used: it is empty; that of before stays in use`,
    );
    expect(said[1]).to.contain('ENOENT');
  });
});
