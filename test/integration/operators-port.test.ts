// The operators' port of a driver process: health, readiness and metrics, with etcd there and away.
import { expect } from 'chai';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, freePorts, startEtcd } from '../support/etcd.js';
import { eventually } from '../support/process.js';

describe('the operators’ port', () => {
  let etcd: EtcdFixture;
  let driver: DriverProcess;
  let port: number;

  before(async () => {
    etcd = await startEtcd();
    [port] = (await freePorts(1)) as [number];
    driver = await DriverProcess.start(etcd.url, 'a', 4, {
      IPAM_OPS_LISTEN: `127.0.0.1:${port}`,
      IPAM_SESSION_TTL: '2s',
    });
  });
  after(async () => {
    await driver?.stop();
    await etcd?.stop();
  });

  const get = async (path: string, at = port) => {
    const response = await fetch(`http://127.0.0.1:${at}${path}`);
    return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
  };
  const must = async (call: string, body: object) => (await driver.client.call(`/IpamDriver.${call}`, body)).json;
  const ask = { AddressSpace: 'local', SubPool: '', Options: {}, V6: false };

  it('says that the process lives and is ready', async () => {
    expect(await get('/healthz')).to.include({ status: 200, text: '{"status":"ok"}' });
    await eventually('ready', async () => (await get('/readyz')).status === 200);
    expect((await get('/nothing')).status).to.equal(404);
    expect((await fetch(`http://127.0.0.1:${port}/metrics`, { method: 'POST' })).status).to.equal(405);
  });

  it('counts pools and calls, those of pools that were made before the process too', async () => {
    const { PoolID } = await must('RequestPool', { ...ask, Pool: '10.66.0.0/24' });
    const dynamic = await must('RequestAddress', { PoolID, Address: '', Options: {} });
    await must('RequestAddress', { PoolID, Address: '10.66.0.77', Options: {} });
    const refused = await must('RequestAddress', { PoolID, Address: '10.99.0.1', Options: {} });
    expect((await driver.client.call('/IpamDriver.RequestPool')).status).to.equal(500);
    expect([dynamic.Address, refused.Err]).to.satisfy(([address, error]: string[]) => address && error);
    const { type, text } = await get('/metrics');
    expect(type).to.match(/^text\/plain; version=0\.0\.4/);
    const labels = 'space="local",cidr="10.66.0.0/24"';
    for (const line of [
      `etcd_ipam_allocated_ips{${labels}} 2`,
      `etcd_ipam_available_ips{${labels}} 252`,
      `etcd_ipam_allocation_total{${labels},scope="dynamic"} 1`,
      `etcd_ipam_allocation_total{${labels},scope="static"} 1`,
      `etcd_ipam_allocation_errors_total{${labels},scope="static"} 1`,
      'etcd_ipam_call_duration_seconds_count{call="RequestPool",outcome="granted"} 1',
      'etcd_ipam_call_duration_seconds_count{call="RequestPool",outcome="refused"} 1',
      'etcd_ipam_session_alive 1',
      'etcd_ipam_etcd_up 1',
      'etcd_ipam_pending_releases 0',
    ])
      expect(text.split('\n')).to.include(line);
    expect(text).not.to.match(/10\.66\.0\.77|10\.99\.0\.1/);

    const [other] = (await freePorts(1)) as [number];
    const later = await DriverProcess.start(etcd.url, 'a', 4, { IPAM_OPS_LISTEN: `127.0.0.1:${other}` });
    try {
      expect((await get('/metrics', other)).text.split('\n')).to.include(`etcd_ipam_allocated_ips{${labels}} 2`);
    } finally {
      await later.stop();
    }
  });

  it('is no reason not to serve engines where the port is taken', async () => {
    const second = await DriverProcess.start(etcd.url, 'b', 4, { IPAM_OPS_LISTEN: `127.0.0.1:${port}` });
    try {
      const reply = await second.client.call('/IpamDriver.RequestPool', { ...ask, Pool: '10.67.0.0/24' });
      expect(reply.json.Pool).to.equal('10.67.0.0/24');
    } finally {
      await second.stop();
    }
  });

  it('is not ready while etcd counts as restored from a backup, and says so as the page does', async () => {
    await etcd.ctl('put', '/etcd-ipam/restored', '{}');
    const { text } = await eventually('not ready', async () => {
      const answer = await get('/readyz');
      return answer.status === 503 && answer;
    });
    const { restored } = JSON.parse((await get('/api/v1/overview')).text);
    expect(JSON.parse(text)).to.deep.equal({ status: 'not ready', problem: restored });
    expect(restored).to.match(/^etcd was restored from a backup/);
    await etcd.ctl('del', '/etcd-ipam/restored');
    await eventually('ready', async () => (await get('/readyz')).status === 200);
  });

  it('says what keeps it from being ready while etcd is away, and when that is over', async () => {
    etcd.freeze();
    try {
      const { text } = await eventually('not ready', async () => {
        const answer = await get('/readyz');
        return answer.status === 503 && answer;
      });
      expect(JSON.parse(text).problem).to.be.a('string').and.not.equal('');
      expect((await get('/healthz')).status).to.equal(200);
      expect((await get('/metrics')).text).to.match(/^etcd_ipam_session_alive 0$/m);
    } finally {
      etcd.thaw();
    }
    await eventually('ready', async () => (await get('/readyz')).status === 200);
  });
});
