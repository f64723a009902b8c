// What a build says of the packages that it has in it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { runOrFail } from '../../support/process.js';

describe('THIRD-PARTY.txt', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'etcd-ipam-notices-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('names the packages in the program and in the page, with version, licence and its text', async () => {
    await runOrFail(process.execPath, ['src/bundle.mjs', folder]);
    await runOrFail(process.execPath, ['src/page/build.mjs', join(folder, 'page')]);
    const paragraphs = readFileSync(join(folder, 'THIRD-PARTY.txt'), 'utf8').split(`\n${'='.repeat(80)}\n`);
    const of = (name: string) => {
      const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8'));
      return paragraphs.find((text) => text.includes(`${name} ${version} (`));
    };
    expect(of('koa')).to.match(/^koa [\d.]+ \(MIT\)\n\n\(The MIT License\)\n\nCopyright \(c\) 2019 Koa contributors\n/);
    expect(of('etcd3')).to.contain('(MIT)').and.contain('Permission is hereby granted');
    expect(of('@grpc/grpc-js')).to.contain('(Apache-2.0)').and.contain('Version 2.0, January 2004');
    expect(of('preact')).to.contain('(MIT)').and.contain('Jason Miller').and.contain('Permission is hereby granted');
    expect(of('koa-compose')).to.contain('No text of it is in the package.');
    expect(of('mocha')).to.equal(undefined);
  });
});
