// Loopback ports: the preferred one if it is free, and what is said if it is not.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { answersHealthy, choosePort } from '../../../src/quickstart/ports.js';
import { run } from '../../support/process.js';

describe('a port', () => {
  let server: Server;
  let port: number;
  let health: string;
  beforeEach(async () => {
    health = '{"health":"true"}';
    server = createServer((_request, reply) => reply.end(health)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterEach(() => void server.close());
  const choose = async () => {
    const said: string[] = [];
    return { chosen: await choosePort(port, (line) => said.push(line)), said };
  };

  it('that is free is taken, without a word', async () => {
    server.close();
    await once(server, 'close');
    expect(await choose()).to.deep.equal({ chosen: port, said: [] });
  });

  it('that an etcd holds is left to it, with the setting that would use it', async () => {
    const { chosen, said } = await choose();
    expect(chosen).not.to.equal(port);
    expect(said).to.deep.equal([
      `Port ${port} is taken (an etcd answers there: set ETCD_ENDPOINTS=http://127.0.0.1:${port} to use it), so this etcd listens on port ${chosen}`,
    ]);
  });

  it('that something else holds is left to it', async () => {
    health = 'hello';
    const { chosen, said } = await choose();
    expect(said).to.deep.equal([`Port ${port} is taken (by something else), so this etcd listens on port ${chosen}`]);
  });

  it('answers healthy only when an etcd says so', async () => {
    const url = `http://127.0.0.1:${port}`;
    expect(await answersHealthy(url)).to.equal(true);
    health = '{"health":"false"}';
    expect(await answersHealthy(url)).to.equal(false);
    server.close();
    await once(server, 'close');
    expect(await answersHealthy(url)).to.equal(false);
  });

  // Some 1 of 3,000 fetches does so where connections are reset, as by Docker before etcd listens in its container.
  it('is given up after 1 s where fetch stays undecided with nothing open, instead of ending the process', async () => {
    const program = `
      import { answersHealthy } from './src/quickstart/ports.ts';
      globalThis.fetch = (_url, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject));
      console.log(await answersHealthy('http://127.0.0.1:1'));`;
    const args = ['--import', 'tsx/esm', '--input-type=module', '--eval', program];
    expect(await run(process.execPath, args)).to.deep.include({ code: 0, stdout: 'false\n' });
  });
});
