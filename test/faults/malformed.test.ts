// A hundred thousand malformed requests, slow senders and a thousand idle connections against one driver process: it lives,
// serves others meanwhile, and nothing is written.
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, entries, startEtcd } from '../support/etcd.js';
import { Malformed, type Shot } from '../support/malformed.js';
import { PluginClient } from '../support/plugin-client.js';
import { eventually, sleep } from '../support/process.js';
import { RawConnection } from '../support/raw-connection.js';
import { AS, Look } from '../support/whole-driver.js';

const REQUESTS = 100_000;
const LARGE = 100;
const SLOW = 50;
const IDLE = 1_000;
const SENDERS = 12;
/** Of the resident memory at the start, after ordinary calls, that it may have grown by. */
const GROWTH = 0.2;

describe('malformed requests', function () {
  this.timeout(600_000);
  const seed = process.env.ETCD_IPAM_TEST_SEED ?? randomBytes(4).toString('hex');
  let etcd: EtcdFixture;
  let look: Look;
  let driver: DriverProcess;
  const open: { destroy(): void }[] = [];

  before(async () => {
    etcd = await startEtcd();
    look = new Look(etcd.url);
    // A session that the busiest machine does not lose.
    driver = await DriverProcess.start(etcd.url, 'web', 32, {
      ...{ IPAM_SESSION_TTL: '5m', IPAM_COOLDOWN: '0s', IPAM_HISTORY: '0s' },
      NODE_OPTIONS: '--import ./test/support/collect.mjs',
    });
  });
  after(async () => {
    for (const connection of open) connection.destroy();
    await driver?.stop();
    look?.close();
    await etcd?.stop();
  });

  const must = async (client: PluginClient, call: string, body: object) => {
    const { status, json, text } = await client.call(`/IpamDriver.${call}`, body);
    if (status !== 200) throw new Error(`${call}: ${text}`);
    return json;
  };
  const pool = async (Pool: string) =>
    (await must(driver.client, 'RequestPool', { AddressSpace: 'local', Pool, SubPool: '', Options: {}, V6: false }))
      .PoolID as string;
  const address = async (client: PluginClient, PoolID: string, name: string) => {
    const { Address } = await must(client, 'RequestAddress', { PoolID, Address: '', Options: AS.named(name) });
    return (Address as string).split('/')[0]!;
  };
  /**
   * All records with their revisions, but for those of the rounds and of the addresses that the probes come and go with. The
   * session has to be the same one; its record is put anew when the answer to a probe was lost on a busy machine.
   */
  const state = async () =>
    (await entries(etcd))
      .filter(({ key }) => !key.endsWith('/tick') && !key.includes('claims/local/v4/010.068.'))
      .map(({ key, created, modified }) => `${key} ${key.includes('/sessions/') ? created : modified}`);

  it(`${REQUESTS.toLocaleString('en')} of them, ${LARGE} with 10 MB, beside ${IDLE.toLocaleString('en')} idle connections and ${SLOW} slow senders: no crash, nothing written, nobody kept waiting, no memory kept`, async () => {
    console.log(`      seed ${seed} (ETCD_IPAM_TEST_SEED repeats it)`);
    const pools = [];
    for (const subnet of ['10.66.0.0/24', 'fd00:66::/64']) {
      const id = await pool(subnet);
      const held = [await address(driver.client, id, 'web'), await address(driver.client, id, 'db')];
      pools.push({ id, subnet, held });
    }
    const probed = await pool('10.68.0.0/24');
    await ordinary(probed, 4_000);
    const [startAll, start] = [driver.resident(), await withoutGarbage()];
    const handles = driver.handles();
    const before = await state();
    const claimed = await look.keys('claims/');

    const fuzz = new Malformed(seed, { pools });
    const idle = await Promise.all(Array.from({ length: IDLE }, () => dial()));
    for (const connection of idle.filter((_, i) => i % 2 === 0)) await activates(connection);
    const slow = await Promise.all(Array.from({ length: SLOW }, () => dial()));
    const crawling = crawl(
      slow,
      slow.map(() => fuzz.slow()),
    );
    const probes = probing(probed);

    const begun = performance.now();
    const counted = new Map<string, number>();
    let left = REQUESTS - LARGE;
    const sender = async () => {
      let kept: RawConnection | undefined;
      while (left > 0) {
        const shot = fuzz.shot(left);
        left -= shot.kinds.length;
        for (const kind of shot.kinds) counted.set(kind, (counted.get(kind) ?? 0) + 1);
        if (shot.methods.length === 0) await sendBroken(shot);
        else {
          kept = kept?.open ? kept : await dial();
          await sendWhole(kept, shot);
        }
      }
      kept?.destroy();
    };
    const large = async () => {
      for (let sent = 0; sent < LARGE; sent++) await sendLarge(fuzz.large());
    };
    await Promise.all([...Array.from({ length: SENDERS }, sender), large()]);
    const seconds = (performance.now() - begun) / 1_000;
    const waited = await probes.end();

    // The driver may end those that have been idle for the longest where there are too many; the others serve on.
    const kept = idle.filter((connection) => connection.open);
    expect(kept.length, 'idle connections that were kept').to.be.at.least(0.9 * IDLE);
    for (const connection of kept) await activates(connection);
    for (const connection of idle) connection.destroy();
    await crawling;
    expect(driver.running, 'the driver runs').to.equal(true);
    expect(await state()).to.deep.equal(before);
    expect(await look.keys('claims/'), 'claims').to.deep.equal(claimed);
    await sleep(60_000);
    await eventually('connections are gone', () => driver.handles() <= handles + 4);
    const [endAll, end] = [driver.resident(), await withoutGarbage()];
    const [rarest = ['', 0]] = [...counted].sort(([, a], [, b]) => a - b);
    console.log(
      `      ${REQUESTS} in ${seconds.toFixed(0)} s, of ${counted.size} kinds, at least ${rarest[1]} of each ("${rarest[0]}"); ` +
        `${waited.length} calls beside them, median ${waited[waited.length >> 1]!.toFixed(0)} ms, longest ${waited.at(-1)!.toFixed(0)} ms; ` +
        `resident ${megabytes(startAll)} MB after ordinary calls, ${megabytes(endAll)} MB after 60 s idle, without garbage ${megabytes(start)} and ${megabytes(end)} MB`,
    );
    expect(waited.length).to.be.at.least(20);
    expect(end / start, 'resident memory at the end, over that at the start').to.be.at.most(1 + GROWTH);
    expect(await state()).to.deep.equal(before);
  });

  /** Resident memory without garbage: it is given back to the kernel in pieces, so it is read until it falls no more. */
  async function withoutGarbage(): Promise<number> {
    let lowest = driver.resident();
    for (let unchanged = 0; unchanged < 8; unchanged++) {
      driver.signal('SIGUSR2');
      await sleep(1_000);
      const now = driver.resident();
      if (now < 0.99 * lowest) unchanged = 0;
      lowest = Math.min(lowest, now);
    }
    return lowest;
  }

  /** Containers that come and go, 16 at a time. */
  async function ordinary(PoolID: string, calls: number): Promise<void> {
    let left = calls;
    const engine = async () => {
      while (left-- > 0) await comesAndGoes(driver.client, PoolID);
    };
    await Promise.all(Array.from({ length: 16 }, engine));
  }

  async function comesAndGoes(client: PluginClient, PoolID: string): Promise<void> {
    const Address = await address(client, PoolID, 'probe');
    await must(client, 'ReleaseAddress', { PoolID, Address });
  }

  /** An engine's calls in turn over a kept connection and a new one, until told to end; what each pair took, sorted. */
  function probing(PoolID: string): { end(): Promise<number[]> } {
    const took: number[] = [];
    let on = true;
    const run = (async () => {
      while (on) {
        const fresh = new PluginClient({ socketPath: driver.socket });
        const begun = performance.now();
        const kept = took.length % 2 === 0;
        // The driver may end a kept connection in that very moment, as above.
        await comesAndGoes(kept ? driver.client : fresh, PoolID).catch((error: NodeJS.ErrnoException) => {
          if (!kept || !/^(EPIPE|ECONNRESET)$/.test(error.code ?? '')) throw error;
          return comesAndGoes(fresh, PoolID);
        });
        took.push(performance.now() - begun);
        fresh.close();
        await sleep(200);
      }
    })();
    run.catch(() => undefined);
    return {
      end: async () => {
        on = false;
        await run;
        return took.sort((a, b) => a - b);
      },
    };
  }

  async function dial(): Promise<RawConnection> {
    const connection = await RawConnection.dial(driver.socket);
    open.push(connection);
    return connection;
  }

  async function activates(connection: RawConnection): Promise<void> {
    connection.write('POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n');
    expect(await connection.reply('POST')).to.deep.equal({ status: 200, body: '{"Implements":["IpamDriver"]}' });
  }

  async function sendWhole(connection: RawConnection, shot: Shot): Promise<void> {
    connection.write(Buffer.concat(shot.parts));
    for (const [nth, method] of shot.methods.entries()) {
      const reply = await connection.reply(method).catch((cause) => {
        throw told(shot, nth, `${cause.message} to ${method}`);
      });
      granted(shot, nth, reply);
    }
  }

  async function sendLarge(shot: Shot): Promise<void> {
    const connection = await dial();
    await sendWhole(connection, shot);
    connection.destroy();
  }

  async function sendBroken(shot: Shot): Promise<void> {
    const connection = await dial();
    connection.end(Buffer.concat(shot.parts));
    const rest = await connection.rest();
    if (/"(PoolID|Address)":/.test(rest)) throw told(shot, 0, rest);
  }

  /** A release of nothing is answered too; whatever else is answered has to be a refusal. */
  function granted(shot: Shot, nth: number, reply: { status: number; body: string } | undefined): void {
    if (reply === undefined) throw told(shot, nth, 'no reply');
    const refused = reply.status >= 400 && reply.status < 600;
    if (!refused && !(reply.status === 200 && reply.body === '{}'))
      throw told(shot, nth, `${reply.status} ${reply.body}`);
  }

  function told({ kinds, parts }: Shot, nth: number, what: string): Error {
    return new Error(`${kinds[nth]}: ${what}\n${JSON.stringify(parts[nth]!.subarray(0, 2_000).toString('latin1'))}`);
  }

  /** A byte a second on each of them, until the driver has had enough of it. */
  async function crawl(connections: readonly RawConnection[], texts: readonly Buffer[]): Promise<void> {
    const late = performance.now() + 150_000;
    for (let sent = 0; connections.some((connection) => connection.open); sent++) {
      if (performance.now() > late) throw new Error('slow senders are not closed after 150 s');
      for (const [i, connection] of connections.entries()) connection.write(texts[i]!.subarray(sent, sent + 1));
      await sleep(1_000);
    }
    const said = await Promise.all(connections.map((connection) => connection.rest()));
    expect(new Set(said.map((text) => text.split('\r\n')[0]))).to.deep.equal(new Set(['HTTP/1.1 408 Request Timeout']));
  }
});

function megabytes(bytes: number): string {
  return (bytes / 1_048_576).toFixed(0);
}
