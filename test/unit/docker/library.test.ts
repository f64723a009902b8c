// README's use of the library, pasted: a program of a package that depends on this one.
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { PluginClient } from '../../support/plugin-client.js';
import { Program } from '../../support/process.js';

describe('README’s program on the library', () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'library-'));
    await mkdir(join(directory, 'node_modules'));
    await symlink(resolve('.'), join(directory, 'node_modules/etcd-ipam'));
    await writeFile(join(directory, 'package.json'), '{"type":"module"}');
  });
  after(() => rm(directory, { recursive: true, force: true }));

  it('serves what its driver says, with the driver and the socket’s place put in', async () => {
    const readme = readFileSync('README.md', 'utf8');
    const [, section = ''] = readme.split('\n## As a library\n');
    const [, block] = /^```ts\n(.*?)^```$/ms.exec(section)!;
    const [body] = /\{ \/\* .* \*\/ \}/.exec(block!)!;
    const example = pathToFileURL(resolve('test/support/example-driver.ts')).href;
    const socketPath = join(directory, 'my-ipam.sock');
    const program = block!.replace(body, 'exampleDriver()').replace("'my-ipam'", JSON.stringify(socketPath));
    expect(program).to.include('exampleDriver()').and.include(socketPath);
    const told = "console.log('listening at', listening.address);";
    const file = join(directory, 'mine.ts');
    await writeFile(file, `import { exampleDriver } from '${example}';\n${program}\n${told}\n`);

    const tsx = pathToFileURL(resolve('node_modules/tsx/dist/esm/index.mjs')).href;
    const args = ['--import', tsx, file];
    await using _serving = await Program.start(process.execPath, args, { ready: /^listening at /m, cwd: directory });
    const client = new PluginClient({ socketPath });
    const { json } = await client.call('/IpamDriver.GetDefaultAddressSpaces', {});
    client.close();
    expect(json).to.deep.equal({
      LocalDefaultAddressSpace: 'example-local',
      GlobalDefaultAddressSpace: 'example-global',
    });
    for (const method of /\/\* (.*) \*\//.exec(body)![1]!.split(', '))
      expect(readFileSync('test/support/example-driver.ts', 'utf8')).to.match(new RegExp(`\\b${method}\\b`));
  });
});
