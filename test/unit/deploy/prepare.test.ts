// deploy/prepare.mjs on a clone in miniature: what it does, what it leaves alone, and that two at once do not clash.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { run } from '../../support/process.js';

const PREPARE = new URL('../../../deploy/prepare.mjs', import.meta.url).pathname;
const TYPESCRIPT = new URL('../../../node_modules/typescript', import.meta.url).pathname;

describe('prepare', () => {
  let clone: string;
  const at = (...parts: string[]) => join(clone, ...parts);
  const write = (file: string, text: string) => writeFileSync(at(file), text);
  const lockFile = (version: string) =>
    JSON.stringify({
      packages: { '': {}, 'node_modules/typescript': { version }, 'node_modules/mac': { optional: true } },
    });
  const prepare = async (env: Record<string, string> = {}) => {
    const { code, stdout, stderr } = await run(process.execPath, [PREPARE, clone], { env });
    return { code, said: `${stdout}${stderr}`.trim() };
  };

  beforeEach(() => {
    clone = mkdtempSync(join(tmpdir(), 'etcd-ipam-prepare-'));
    mkdirSync(at('src/inner'), { recursive: true });
    mkdirSync(at('node_modules'));
    symlinkSync(TYPESCRIPT, at('node_modules/typescript'));
    write('node_modules/.package-lock.json', lockFile('1.0.0'));
    write('package-lock.json', lockFile('1.0.0'));
    write('package.json', '{"type":"module"}');
    const options = { module: 'nodenext', rootDir: 'src', outDir: 'dist', types: [], sourceMap: true };
    write('tsconfig.json', JSON.stringify({ compilerOptions: options, include: ['src'] }));
    write('src/one.ts', 'export const one: number = 1;\n');
    write('src/inner/two.ts', 'export const two: number = 2;\n');
  });
  afterEach(() => rmSync(clone, { recursive: true, force: true }));

  it('builds a new clone, takes packages laid out by hand as they are, and leaves only dist behind', async () => {
    expect(await prepare()).to.deep.equal({ code: 0, said: 'prepare: building (tsc)' });
    expect(readdirSync(at('dist')).sort()).to.deep.equal(['.etcd-ipam-build', 'inner', 'one.js', 'one.js.map']);
    expect(readdirSync(clone)).not.to.include('dist.tmp');
    expect(JSON.parse(readFileSync(at('dist/inner/two.js.map'), 'utf8')).sources).to.deep.equal([
      '../../src/inner/two.ts',
    ]);
  });

  it('has nothing to say and touches nothing when all is as it was', async () => {
    await prepare();
    const before = statSync(at('dist/one.js')).ino;
    expect(await prepare()).to.deep.equal({ code: 0, said: '' });
    expect(statSync(at('dist/one.js')).ino).to.equal(before);
  });

  it('builds again when a file has changed, come or gone, and takes away what has no source', async () => {
    await prepare();
    write('src/one.ts', 'export const one: number = 11;\n');
    rmSync(at('src/inner'), { recursive: true });
    expect((await prepare()).said).to.equal('prepare: building (tsc)');
    expect(readFileSync(at('dist/one.js'), 'utf8')).to.contain('11');
    expect(readdirSync(at('dist'), { recursive: true })).not.to.include('inner/two.js');
  });

  it("fails with tsc's words, and leaves the dist that was there", async () => {
    await prepare();
    write('src/one.ts', "export const one: number = 'x';\n");
    const { code, said } = await prepare();
    expect(code).not.to.equal(0);
    expect(said).to.match(
      /^prepare: building \(tsc\)\nprepare: tsc failed \(exit \d\):\n.*src\/one\.ts\(1,14\): error TS2322/,
    );
    expect(readFileSync(at('dist/one.js'), 'utf8')).to.contain('one = 1;');
    expect(readdirSync(clone)).not.to.include('dist.tmp');
  });

  it('installs with npm ci when the lock file is another, development packages included, and tells why it failed', async () => {
    await prepare();
    write('package-lock.json', lockFile('1.0.1'));
    mkdirSync(at('bin'));
    writeFileSync(at('bin/npm'), '#!/bin/sh\necho "npm $*"; echo "no registry" >&2; exit 7\n', { mode: 0o755 });
    const { code, said } = await prepare({
      PATH: `${at('bin')}:${process.env.PATH}`,
      npm_execpath: '',
      NODE_ENV: 'production',
    });
    expect(code).to.equal(7);
    expect(said).to.equal(
      'prepare: installing packages (npm ci), about a minute the first time\n' +
        'prepare: npm ci failed (exit 7):\nnpm ci --include=dev --ignore-scripts --no-audit --no-fund\nno registry',
    );
  });

  it('two at once build once, and the second waits', async () => {
    const both = await Promise.all([prepare(), prepare()]);
    expect(both.map(({ code }) => code)).to.deep.equal([0, 0]);
    const said = both.map((one) => one.said).sort();
    expect(said[0]).to.equal('prepare: building (tsc)');
    expect(said[1]).to.match(/^(prepare: waiting for another prepare( \(pid \d+\))?)?$/);
  });

  it('a lock whose process is gone is taken over', async () => {
    mkdirSync(at('.etcd-ipam/prepare.lock'), { recursive: true });
    const { stdout } = await run('sh', ['-c', 'echo $$']);
    write('.etcd-ipam/prepare.lock/pid', stdout.trim());
    expect(await prepare()).to.deep.equal({ code: 0, said: 'prepare: building (tsc)' });
    expect(readdirSync(at('.etcd-ipam'))).to.deep.equal([]);
  });
});
