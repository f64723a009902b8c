// Who may ask the operators' port: by which name, and from which page.
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import Koa from 'koa';
import { guarded } from '../../../src/web/guard.js';

describe('the guard of the operators’ port', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  async function ask(listensOn: string, headers: Record<string, string>) {
    const app = new Koa();
    app.use(guarded(listensOn)).use((context) => {
      context.body = 'let in';
    });
    const server = createServer(app.callback());
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return new Promise<{ status: number; csp: string }>((resolve, reject) => {
      request({ port, host: '127.0.0.1', headers, agent: false }, (response) => {
        response.resume();
        resolve({ status: response.statusCode!, csp: String(response.headers['content-security-policy']) });
      })
        .on('error', reject)
        .end();
    });
  }

  for (const host of ['127.0.0.1:9475', 'localhost', 'LOCALHOST:9475', '[::1]:9475', '192.0.2.7:80'])
    it(`lets ${host} in on loopback`, async () => {
      expect((await ask('127.0.0.1', { Host: host })).status).to.equal(200);
    });

  for (const host of ['evil.example', 'evil.example:9475', 'localhost.evil.example', '127.0.0.1.evil.example', '[x]'])
    it(`refuses "${host}" on loopback`, async () => {
      for (const listensOn of ['127.0.0.1', '::1', 'localhost', '127.8.0.1'])
        expect((await ask(listensOn, { Host: host })).status).to.equal(421);
    });

  it('leaves names to the operator elsewhere', async () => {
    expect((await ask('0.0.0.0', { Host: 'ipam.example:9475' })).status).to.equal(200);
  });

  it('refuses what another page asks, and lets it lead here', async () => {
    const from = (site: string, rest = {}) => ask('127.0.0.1', { Host: 'localhost', 'Sec-Fetch-Site': site, ...rest });
    expect((await from('same-origin')).status).to.equal(200);
    expect((await from('none')).status).to.equal(200);
    expect((await from('cross-site')).status).to.equal(403);
    expect((await from('same-site')).status).to.equal(403);
    const link = { 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' };
    expect((await from('cross-site', link)).status).to.equal(200);
    expect((await from('cross-site', { ...link, 'Sec-Fetch-Dest': 'iframe' })).status).to.equal(403);
  });

  it('allows scripts, styles and connections of its own and nothing else, also where it refuses', async () => {
    for (const host of ['localhost', 'evil.example']) {
      const { csp } = await ask('127.0.0.1', { Host: host });
      expect(csp)
        .to.contain("default-src 'none'")
        .and.contain("script-src 'self'")
        .and.contain("frame-ancestors 'none'");
      expect(csp).not.to.contain('unsafe');
    }
  });
});
