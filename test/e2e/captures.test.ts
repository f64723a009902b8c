// What a real engine sent, byte by byte, to the driver process over a real etcd; each reply is held to the wire's schema.
import { readFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { guard, KeyspaceView, NodeRecords, pool, wholeOf } from '../support/keyspace-view.js';
import { PluginClient } from '../support/plugin-client.js';
import { RealDriver } from '../support/real-driver.js';
import { FAILURE, type Path, REPLIES } from '../support/wire-schema.js';

interface Captured {
  readonly path: Path;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly reply: Readonly<Record<string, string>>;
}

describe('what dockerd 20.10.24 sent for bridge and macvlan networks', function () {
  this.timeout(60_000);
  let etcd: EtcdFixture;
  let driver: RealDriver;
  let client: PluginClient;
  let captured: readonly Captured[];

  before(async () => {
    const file = new URL('../captures/bridge-macvlan-one-engine.jsonl', import.meta.url);
    captured = (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Captured);
    etcd = await startEtcd();
    const socket = join(tmpdir(), `captures-${process.pid}.sock`);
    const env = {
      IPAM_SOCKET: socket,
      IPAM_NODE: 'replayed',
      IPAM_MACHINE_ID: 'a-machine',
      IPAM_POOLS: '10.200.0.0/16/24',
      IPAM_REQUIRE_MAC: 'true',
    };
    driver = await RealDriver.start({ etcd, env });
    client = new PluginClient({ socketPath: socket });
  });
  after(async () => {
    client?.close();
    await driver?.[Symbol.asyncDispose]();
    await etcd?.stop();
  });

  it('is answered with replies that an engine can read, and leaves the claims of the network that was left', async () => {
    expect(captured).to.have.length(14);
    // The recorded driver had names of its own for spaces, pools and addresses; an engine sends back what it was given.
    const ours = new Map<string, string>();
    let granted = '';
    for (const { path, headers, body, reply } of captured) {
      const sent = [...ours].reduce((text, [theirs, own]) => text.replaceAll(`"${theirs}"`, `"${own}"`), body);
      const length = String(Buffer.byteLength(sent));
      const answer = await client.call(path, sent, { headers: { ...headers, 'content-length': length } });
      expect(answer.status, `${path} ${sent}: ${answer.text}`).to.equal(200);
      REPLIES[path].parse(answer.json);
      for (const name of ['LocalDefaultAddressSpace', 'GlobalDefaultAddressSpace', 'PoolID'])
        if (reply[name]) ours.set(reply[name], answer.json[name]);
      // Which address a container gets is the driver's to choose; gateways, pools and numbers that were asked for are not.
      if (sent.includes('endpoint.macaddress')) {
        granted = bare(answer.json.Address);
        ours.set(bare(reply.Address!), granted);
        expect(answer.json.Address).to.match(/^10\.200\.0\.\d+\/24$/);
      } else if (/Request/.test(path)) {
        expect({ ...answer.json, PoolID: undefined }).to.deep.equal({ ...reply, PoolID: undefined });
      }
    }
    const node = new NodeRecords('replayed');
    const subnet = 'local/v4/010.200.000.000-24';
    const last = captured.at(-1)!.body.match(/(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/)![0];
    expect(await new KeyspaceView(etcd).now()).to.deep.equal(
      wholeOf(
        node.own('instance-1', { machine: 'a-machine', host: hostname() }),
        guard(),
        pool(subnet, '10.200.0.1'),
        node.join(subnet, 1),
        node.shared(subnet, '10.200.0.1', 'gateway', 1),
        node.endpoint(subnet, granted, 1, { mac: last }),
      ),
    );
  });

  it('with bodies cut short or empty is refused in the one shape an engine shows, and changes nothing', async () => {
    const view = new KeyspaceView(etcd);
    const before = await view.now();
    for (const call of ['RequestPool', 'ReleasePool', 'RequestAddress', 'ReleaseAddress']) {
      const whole = captured.find(({ path }) => path === `/IpamDriver.${call}`)!.body;
      for (const body of ['', whole.slice(0, -3)]) {
        const answer = await client.call(`/IpamDriver.${call}`, body);
        expect(answer.status).to.equal(500);
        FAILURE.parse(answer.json);
      }
    }
    expect(await view.now()).to.deep.equal(before);
  });
});

const bare = (address: string) => address.replace(/\/.*/, '');
