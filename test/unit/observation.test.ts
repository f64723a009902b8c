// When a reading of the metrics asks etcd, and what it shows while that does not answer. By a clock of the test's own.
import { expect } from 'chai';
import { openLog } from '../../src/log.js';
import { Observation } from '../../src/observation.js';
import { EtcdRequests } from '../../src/telemetry/etcd-requests.js';
import { MemoryStore } from '../support/memory-store.js';
import { valueIn } from '../support/promql.js';

const SUBNET = 'local/v4/010.066.000.000-24';
const SINCE = '2026-01-01T00:00:00.000Z';

function observed() {
  const store = new MemoryStore();
  const now = { ms: performance.now(), away: false, reads: 0, slowMs: 0, busy: () => false };
  store.plant(`pools/${SUBNET}`, { state: 'open', since: SINCE, token: 't' });
  store.plant(`joins/${SUBNET}/00000000000000aa`, { node: 'a', boot: 'b', since: SINCE, token: 't' });
  store.plant(`claims/${SUBNET}/010.066.000.002`, { kind: 'endpoint', node: 'a', since: SINCE, token: 't' });
  for (const node of ['a', 'b', 'c'])
    store.plant(`nodes/${node}`, { machine: 'm', boot: 'b', since: SINCE, silence: 3 });
  store.plant('nodes/d', { machine: 'm', boot: 'b', since: SINCE, silence: 9 });
  store.plant('sessions/a/1', { machine: 'm', boot: 'b', since: SINCE, token: 't' });
  const asked = new Proxy(store, {
    get(target, name) {
      if (name === 'read') {
        now.reads++;
        now.ms += now.slowMs;
        if (now.away) return () => Promise.reject(new Error('etcd is away'));
      }
      const member = Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  const observation = new Observation({
    settings: { node: 'a' },
    client: { outage: () => undefined },
    watching: async function* () {},
    busy: () => now.busy(),
    restored: () => undefined,
    session: { alive: true, refusal: undefined },
    ...{
      store: Object.assign(asked, { hasty: asked }),
      allocator: { pending: 0 },
      requests: new EtcdRequests(),
      goneRounds: 4,
    },
    ...{ around: { millis: () => now.ms }, log: openLog({ level: 'silent', node: 'a' }) },
  });
  const read = async (afterMs: number) => {
    now.ms += afterMs;
    const before = now.reads;
    const { text } = await observation.metrics();
    return {
      asked: now.reads > before,
      taken: valueIn(text, 'etcd_ipam_allocated_ips{space="local",cidr="10.66.0.0/24"}'),
      silent: valueIn(text, 'etcd_ipam_nodes{state="silent"}'),
      gone: valueIn(text, 'etcd_ipam_nodes{state="gone"}'),
      restored: valueIn(text, 'etcd_ipam_restored'),
    };
  };
  return { store, now, read };
}

describe('observation', () => {
  it('counts pools and nodes at a reading, pools every 10 s and nodes every 30 s', async () => {
    const { store, read } = observed();
    const first = { asked: true, taken: 1, silent: 2, gone: 1, restored: 0 };
    expect(await read(0)).to.deep.equal(first);
    store.plant(`claims/${SUBNET}/010.066.000.003`, { kind: 'endpoint', node: 'a', since: SINCE, token: 't' });
    store.plant('sessions/b/1', { machine: 'm', boot: 'b', since: SINCE, token: 't' });
    store.plant('restored', { token: 't', node: 'a', what: 'x', since: SINCE });
    expect(await read(9_000)).to.deep.equal({ ...first, asked: false });
    expect(await read(2_000)).to.deep.equal({ ...first, taken: 2 });
    expect(await read(20_000)).to.deep.equal({ asked: true, taken: 2, silent: 1, gone: 1, restored: 1 });
  });

  it('lets an engine that waits for an answer go first', async () => {
    const { now, read } = observed();
    let looks = 0;
    now.busy = () => ++looks === 1;
    await read(0);
    expect(looks).to.equal(2);
  });

  it('goes past keys that are none of ours among the joins', async () => {
    const { store, read } = observed();
    store.plant(`joins/${SUBNET}/x/y`, { node: 'a', boot: 'b', since: SINCE, token: 't' });
    store.plant('joins/note', { node: 'a', boot: 'b', since: SINCE, token: 't' });
    expect((await read(0)).taken).to.equal(1);
  });

  it('counts 400 nodes every 2 minutes, and looks for a restored backup every 30 s', async () => {
    const { store, read } = observed();
    for (let i = 4; i < 400; i++) store.plant(`nodes/n${i}`, { machine: 'm', boot: 'b', since: SINCE, silence: 3 });
    const first = { asked: true, taken: 1, silent: 398, gone: 1, restored: 0 };
    expect(await read(0)).to.deep.equal(first);
    store.plant('sessions/b/1', { machine: 'm', boot: 'b', since: SINCE, token: 't' });
    store.plant('restored', { token: 't', node: 'a', what: 'x', since: SINCE });
    expect(await read(31_000)).to.deep.equal({ ...first, restored: 1 });
    expect(await read(90_000)).to.deep.equal({ ...first, restored: 1, silent: 397 });
  });

  it('spends a hundredth of its time on that: after 1 s the next is 100 s later', async () => {
    const { now, read } = observed();
    now.slowMs = 250;
    await read(0);
    now.slowMs = 0;
    expect((await read(20_000)).asked).to.equal(false);
    expect((await read(200_000)).asked).to.equal(true);
  });

  it('shows the figures of before for a minute while etcd is away, asks every 10 s, and then shows none', async () => {
    const { now, read } = observed();
    const { asked: _, ...before } = await read(0);
    expect(before.taken).to.equal(1);
    now.away = true;
    for (let second = 11; second < 55; second += 11)
      expect(await read(11_000)).to.deep.equal({ asked: true, ...before });
    const none = { taken: undefined, silent: undefined, gone: undefined, restored: undefined };
    await read(11_000);
    expect(await read(11_000)).to.deep.equal({ asked: true, ...none });
    now.away = false;
    expect(await read(11_000)).to.deep.equal({ asked: true, ...before });
  });
});
