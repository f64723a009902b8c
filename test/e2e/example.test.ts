// The example driver, built on the exported library alone, as the driver of a real engine; it refuses to know ours.
import { lstat } from 'node:fs/promises';
import { expect } from 'chai';
import type { Listening } from '../../src/docker/index.js';
import { type Engine, startEngine } from '../support/engine.js';
import { serveExample } from '../support/example-driver.js';
import { lingering, makeImage } from '../support/image.js';
import { needPrivateHost } from '../support/skip.js';

describe('the example driver', () => {
  let engine: Engine;
  let plugin: Listening;

  before(async function () {
    needPrivateHost(this);
    engine = await startEngine();
    plugin = await serveExample(engine.pluginSocket('example'));
    await makeImage(engine);
  });

  after(async () => {
    await engine?.[Symbol.asyncDispose]();
    await plugin?.close(0);
  });

  it('gives a real engine its automatic pool, and refuses it to a second network', async () => {
    await engine.must('network', 'create', '--ipam-driver', 'example', 'first');
    const network = (await engine.inspect('first')) as { IPAM: { Driver: string; Config: object[] } };
    expect(network.IPAM.Driver).to.equal('example');
    expect(network.IPAM.Config).to.deep.equal([{ Subnet: '10.200.0.0/24', Gateway: '10.200.0.1' }]);
    const { code, stderr } = await engine.docker('network', 'create', '--ipam-driver', 'example', 'second');
    expect(code).to.equal(1);
    expect(stderr).to.contain('no pool left: 10.200.0.0/24 is in use');
  });

  it('gives two containers .2 and .3 of it, which reach each other', async () => {
    await engine.must('run', '--detach', '--name', 'one', '--network', 'first', 'busybox', ...lingering);
    expect(await addressIn('first')).to.equal('10.200.0.3/24');
    const ping = ['ping', '-c', '1', '-W', '5', '10.200.0.2'];
    await engine.must('run', '--rm', '--network', 'first', 'busybox', ...ping);
  });

  it('grants the address of --ip, and refuses it while another container has it', async () => {
    await engine.must('network', 'create', '--ipam-driver', 'example', '--subnet', '10.201.0.0/24', 'chosen');
    const asked = ['--network', 'chosen', '--ip', '10.201.0.77', 'busybox'];
    await engine.must('run', '--detach', '--name', 'two', ...asked, ...lingering);
    expect(await engine.must('exec', 'two', 'ip', 'address', 'show', 'eth0')).to.contain('inet 10.201.0.77/24');
    const { code, stderr } = await engine.docker('run', '--rm', ...asked, 'true');
    expect(code).to.equal(125);
    expect(stderr).to.contain('10.201.0.77 is taken');
  });

  it('takes everything back, so that the pool serves anew', async () => {
    await engine.must('rm', '--force', 'one', 'two');
    await engine.must('network', 'rm', 'first', 'chosen');
    await engine.must('network', 'create', '--ipam-driver', 'example', 'again');
    expect(await addressIn('again')).to.equal('10.200.0.2/24');
    await engine.must('network', 'rm', 'again');
    await plugin.close();
    expect(await lstat(plugin.address).catch(({ code }) => code)).to.equal('ENOENT');
  });

  async function addressIn(network: string): Promise<string | undefined> {
    const shown = await engine.must('run', '--rm', '--network', network, 'busybox', 'ip', 'address', 'show', 'eth0');
    return shown.match(/inet (\S+)/)?.[1];
  }
});
