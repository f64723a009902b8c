import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { exampleDriver } from '../../support/example-driver.js';
import { FAILURE, type Path, REPLIES } from '../../support/wire-schema.js';
import { endAll, served } from './served.js';

interface Captured {
  readonly path: Path;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly reply: object;
}

describe('docker: what dockerd 20.10.24 sent for bridge and macvlan networks', () => {
  afterEach(endAll);

  it('is answered byte by byte as the engine sent it, with replies an engine can read', async () => {
    const file = new URL('../../captures/bridge-macvlan-one-engine.jsonl', import.meta.url);
    const captured = (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Captured);
    expect(captured).to.have.length(14);
    const { client, events } = await served(exampleDriver());
    for (const { path, headers, body, reply } of captured) {
      const answer = await client.call(path, body, { headers });
      expect(answer.status, `${path} ${body}: ${answer.text}`).to.equal(200);
      REPLIES[path].parse(answer.json);
      // The recorded driver chose as the example does; their capabilities and the names of their spaces differ.
      if (/Request|Release/.test(path)) expect(answer.json).to.deep.equal(reply);
    }
    expect(new Set(events.map((event) => event.outcome))).to.deep.equal(new Set(['answered']));
  });

  it('is refused by the example driver in the one shape that an engine shows its user', async () => {
    const { client } = await served(exampleDriver());
    for (const body of [{ PoolID: 'gone', Address: '' }, {}, 'nonsense']) {
      const answer = await client.call('/IpamDriver.RequestAddress', body);
      expect(answer.status).to.equal(500);
      FAILURE.parse(answer.json);
    }
  });
});
