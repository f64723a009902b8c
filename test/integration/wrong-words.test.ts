// Operators' commands with wrong words: one line and exit code 2, before etcd is asked anything.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { expect } from 'chai';
import { run } from '../support/process.js';
import { WRONG } from './wrong-words.rows.js';

describe('wrong words', () => {
  let listener: Server;
  let asked = 0;
  let env: Record<string, string>;

  before(async () => {
    listener = createServer((socket) => {
      asked++;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    env = { ETCD_ENDPOINTS: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`, NODE: process.execPath };
  });
  after(() => listener?.close());

  for (const [words, line] of WRONG)
    it(`etcd-ipam ${words.length > 90 ? `${words.slice(0, 90)}…` : words}`, async () => {
      const { code, stdout, stderr } = await run('bash', ['-c', `exec "$NODE" dist/main.js ${words}`], { env });
      expect([code, stdout, asked], stderr).to.deep.equal([2, '', 0]);
      expect(stderr).to.contain(line);
      expect(stderr.trimEnd().split('\n')).to.have.length(1);
    });

  it('are told apart from an etcd that is not there', async () => {
    const { code } = await run(process.execPath, ['dist/main.js', 'warn-at', '10.66.0.0/24', '80'], { env });
    expect([code, asked > 0]).to.deep.equal([3, true]);
  });
});
