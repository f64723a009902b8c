import { expect } from 'chai';
import { recording } from '../../support/captures.js';
import { exampleDriver } from '../../support/example-driver.js';
import { FAILURE, REPLIES } from '../../support/wire-schema.js';
import { endAll, type Served, served } from './served.js';

/** The overlay's story goes on in the failover: its drivers are the same. */
const RECORDINGS = {
  'for bridge and macvlan networks': { of: ['bridge-macvlan-one-engine'], hosts: 1, calls: 14 },
  'for a macvlan service on three hosts': { of: ['swarm-macvlan-config-from'], hosts: 3, calls: 20 },
  'for an overlay, and when its leader changed': {
    of: ['swarm-overlay', 'swarm-leader-failover'],
    hosts: 3,
    calls: 44,
  },
};

for (const [what, { of, hosts, calls }] of Object.entries(RECORDINGS))
  describe(`docker: what dockerd 20.10.24 sent ${what}`, () => {
    afterEach(endAll);

    it('is answered byte by byte as the engine sent it, with replies an engine can read', async () => {
      const captured = (await Promise.all(of.map(recording))).flat();
      expect(captured).to.have.length(calls);
      const drivers = new Map<string, Served>();
      for (const { host, path, headers, body, reply } of captured) {
        const driver = drivers.get(host) ?? (await served(exampleDriver()));
        drivers.set(host, driver);
        const answer = await driver.client.call(path, body, { headers });
        expect(answer.status, `${path} ${body}: ${answer.text}`).to.equal(200);
        REPLIES[path].parse(answer.json);
        // The recorded drivers chose as the example does; their capabilities and the names of their spaces differ.
        if (/Request|Release/.test(path)) expect(answer.json).to.deep.equal(reply);
      }
      expect(drivers.size).to.equal(hosts);
      const outcomes = [...drivers.values()].flatMap(({ events }) => events.map((event) => event.outcome));
      expect(new Set(outcomes)).to.deep.equal(new Set(['answered']));
    });
  });

describe('docker: the example driver', () => {
  afterEach(endAll);

  it('refuses in the one shape that an engine shows its user', async () => {
    const { client } = await served(exampleDriver());
    for (const body of [{ PoolID: 'gone', Address: '' }, {}, 'nonsense']) {
      const answer = await client.call('/IpamDriver.RequestAddress', body);
      expect(answer.status).to.equal(500);
      FAILURE.parse(answer.json);
    }
  });
});
