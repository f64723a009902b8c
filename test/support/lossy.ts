// Transactions whose answers get lost between a driver and etcd, one scenario at a time: the hooks of such a suite, and the
// tests that each scenario is put through. Refuses to know what is asked for.
import { expect } from 'chai';
import type { TxnRequest } from '../../src/etcd/client.js';
import { type EtcdFixture, startEtcd } from './etcd.js';
import { eventually, Late } from './process.js';
import { TcpProxy } from './proxy.js';
import { Look, WholeDriver, type WholeOptions } from './whole-driver.js';

/** One host whose way to etcd can be cut, another whose way is straight, and a look at etcd itself. */
export interface Stage {
  readonly web: WholeDriver;
  readonly db: WholeDriver;
  readonly look: Look;
  /** Stops web and starts it anew in another boot of its host. */
  reboot(): Promise<WholeDriver>;
}

export type Records = Record<string, Record<string, unknown>>;

export interface Scenario<C = unknown> {
  readonly title: string;
  /** Transactions that the act takes when nothing goes wrong; a first one may only find out what is there. */
  readonly writes: number;
  /** Its last transaction grants something. */
  readonly grants?: true;
  /** Web lays to rest what it releases. */
  readonly rests?: true;
  prepare(stage: Stage): Promise<C>;
  act(stage: Stage, prepared: C): Promise<unknown>;
  /** What must be so after the act. */
  check(stage: Stage, result: unknown, prepared: C): Promise<void>;
  /** What there is after a grant that was taken back, as `bare` shows it for these PoolIDs, if not what there was before. */
  left?(prepared: C): { readonly records: Records; readonly poolIds: readonly string[] } | undefined;
}

/** Takes the grant of a request back, as after a caller that had gone. */
export async function undone(
  web: WholeDriver,
  request: (call: Parameters<WholeDriver['driver']['requestPool']>[1]) => unknown,
): Promise<() => Promise<unknown>> {
  const undos: (() => Promise<void>)[] = [];
  const signal = new AbortController().signal;
  await request({ deadline: performance.now() + 5_000, signal, onUndelivered: (undo) => undos.push(undo) });
  return () => Promise.all(undos.map((undo) => undo())).then(() => settled(web));
}

export function settled(web: WholeDriver): Promise<unknown> {
  return eventually('all undos and queued releases are done', () => web.allocator.pending === 0, 8_000, 10);
}

export async function onlyNodes(look: Look): Promise<void> {
  expect(await bare(look)).to.deep.equal({});
}

/** Longer than a test takes. */
const REST_MS = 600_000;
/** For a call that is to be given up. */
export const HURRIED_MS = 700;

const VARYING = ['token', 'since', 'incarnation'];

/** All records but those of the hosts, without what is random or a time. The joins of the PoolIDs are called J1, J2, … */
export async function bare(look: Look, ...poolIds: readonly string[]): Promise<Records> {
  const all = Object.entries(await look.keyspace()).filter(([key]) => !/^(nodes|sessions)\//.test(key));
  const text = JSON.stringify(Object.fromEntries(all), (name, value) => (VARYING.includes(name) ? undefined : value));
  return JSON.parse(poolIds.reduce((named, id, nth) => named.replaceAll(id.slice(-16), `J${nth + 1}`), text));
}

/** To be made at the top of a suite. */
export class Lossy {
  etcd!: EtcdFixture;
  look!: Look;
  proxy!: TcpProxy;
  started: WholeDriver[] = [];

  constructor() {
    before(async () => {
      this.etcd = await startEtcd();
      this.look = new Look(this.etcd.url);
    });
    after(async () => {
      this.look?.close();
      await this.etcd?.stop();
    });
    beforeEach(async () => {
      this.proxy = await TcpProxy.to(this.etcd.url);
    });
    afterEach(async () => {
      this.proxy.resume();
      for (const whole of this.started) await whole.stop();
      this.started = [];
      await this.proxy.close();
      await this.look.clear();
    });
  }

  readonly stage = async (options: Partial<WholeOptions> = {}): Promise<Stage> => {
    const { look } = this;
    const web = await this.#start({ etcd: this.proxy.url, ...options });
    const db = await this.#start({ etcd: this.etcd.url, node: 'db' });
    const reboot = async () => {
      await web.stop();
      return this.#start({ etcd: this.proxy.url, boot: 'boot-2', ...options });
    };
    return { web, db, look, reboot };
  };

  /**
   * The replies of these transactions are lost, counted from now on: once etcd shows the commit the line is cut. One that
   * finds its compare false leaves no trace, so that the line is cut after `withinMs`.
   */
  readonly lose = (web: WholeDriver, nths: readonly number[] = [], withinMs = 2_000) => {
    let count = 0;
    const lost: Promise<boolean>[] = [];
    web.beforeWrite = async () => {
      if (!nths.includes(++count)) return;
      const before = await this.look.revision();
      this.proxy.swallowReplies();
      const committed = eventually('the commit', async () => (await this.look.revision()) !== before, withinMs, 2);
      lost.push(
        committed
          .then(
            () => true,
            () => false,
          )
          .finally(() => {
            this.proxy.cut();
            this.proxy.resume();
          }),
      );
    };
    return { writes: () => count, commits: async () => (await Promise.all(lost)).filter((one) => one).length };
  };

  /** Ends every join there is, through the driver of its host, and expects that nothing stays. */
  readonly cleanUp = async () => {
    // The end of an epoch may bring the one before back.
    for (let joins = await this.look.keyspace('joins/'); Object.keys(joins).length > 0; ) {
      for (const [key, { node, range, epoch }] of Object.entries(joins)) {
        const [, space, , wide, join] = key.split('/');
        const [network, length] = wide!.split('-');
        const subnet = `${network!.split('.').map(Number).join('.')}/${length}`;
        const limits = `${range ? `range=${range}&` : ''}${epoch ? `epoch=${epoch}&` : ''}`;
        const whole = this.started.findLast((one) => one.node === node)!;
        await whole.drop(`${space}/${subnet}?${limits}join=${join}`);
        await settled(whole);
      }
      const before = Object.keys(joins).join();
      joins = await this.look.keyspace('joins/');
      expect(Object.keys(joins).join(), 'joins that do not end').to.not.equal(before);
    }
    await onlyNodes(this.look);
    for (const whole of this.started) expect(whole.faults).to.deep.equal([]);
  };

  tell(scenario: Scenario): void {
    const { title, writes, rests } = scenario;
    const { lose, cleanUp } = this;
    const stage = (options: Partial<WholeOptions>) => this.stage({ ...(rests && { restMs: REST_MS }), ...options });
    const perform = async (
      options: Partial<WholeOptions>,
      disturb: (web: WholeDriver) => Promise<unknown> | unknown,
    ) => {
      const on = await stage(options);
      const prepared = await scenario.prepare(on);
      const web = this.#web();
      const disturbed = disturb(web);
      const result = await scenario.act(on, prepared);
      await disturbed;
      return { on: { ...on, web }, prepared, result };
    };

    it(`${title}: ${writes} ${writes === 1 ? 'transaction' : 'transactions'} when nothing is lost`, async () => {
      let counted = () => 0;
      const { on, prepared, result } = await perform({}, (web) => {
        counted = lose(web).writes;
      });
      await scenario.check(on, result, prepared);
      expect(counted()).to.equal(writes);
      await cleanUp();
    });

    for (let nth = 1; nth <= writes; nth++) {
      it(`${title}: the answer of transaction ${nth} of ${writes} is lost: done once all the same`, async () => {
        let losing: ReturnType<typeof lose> | undefined;
        const { on, prepared, result } = await perform({}, (web) => {
          losing = lose(web, [nth], nth < writes ? 200 : undefined);
        });
        if (nth === writes) expect(await losing!.commits()).to.equal(1);
        await scenario.check(on, result, prepared);
        await cleanUp();
      });
    }

    it(`${title}: the answers of transaction ${writes} and of the one that settles it are lost: done once all the same`, async () => {
      let losing: ReturnType<typeof lose> | undefined;
      const { on, prepared, result } = await perform({}, (web) => {
        losing = lose(web, [writes, writes + 1]);
      });
      expect(await losing!.commits()).to.be.at.least(1);
      await scenario.check(on, result, prepared);
      await cleanUp();
    });

    if (!scenario.grants) return;

    it(`${title}: stuck while its call goes on with another one, lands when that was answered: no effect`, async () => {
      let stuck: TxnRequest | undefined;
      let count = 0;
      const { on, prepared, result } = await perform({ attemptMs: 200 }, (web) => {
        web.beforeWrite = (request) => {
          if (++count !== writes) return;
          stuck = request;
          this.proxy.pause();
          setTimeout(() => {
            this.proxy.cut();
            this.proxy.resume();
          }, 250);
        };
      });
      expect(count, 'transactions, the fence among them').to.be.at.least(writes + 2);
      const before = await this.look.keyspace();
      expect(await this.look.land(stuck!), 'the copy lands').to.equal(false);
      expect(await this.look.keyspace()).to.deep.equal(before);
      await scenario.check(on, result, prepared);
      await cleanUp();
    });

    // The transaction is in a buffer somewhere while its sender has given up; a copy of it lands, sooner or later.
    for (const landing of ['before', 'after'] as const) {
      it(`${title}: stuck until the call was refused, lands ${landing} the doubt is settled: nothing of it stays`, async () => {
        let stuck: TxnRequest | undefined;
        let count = 0;
        const on = await stage({ attemptMs: 300 });
        const prepared = await scenario.prepare(on);
        const web = this.#web();
        const before = await bare(this.look);
        web.deadlineMs = HURRIED_MS;
        web.beforeWrite = (request) => {
          // After an attempt that took too long by itself it is the fence's, and not the call's.
          if (++count !== writes || putsSession(request)) return;
          stuck = request;
          this.proxy.pause();
        };
        const refusal = await scenario.act(on, prepared).then(
          (result) => `granted ${result}`,
          (error: Error) => error.message,
        );
        web.deadlineMs = on.db.deadlineMs;
        if (!stuck) throw new Late(`transaction ${writes} of the call did not begin within ${HURRIED_MS} ms`);
        expect(refusal).to.match(/is not reachable: no answer within|did not finish within 0\.7 s/);
        await eventually('the driver itself gave up', () => web.told.some(({ outcome }) => outcome === 'failed'));
        if (landing === 'before') expect(await this.look.land(stuck!), 'the copy lands').to.equal(true);
        this.proxy.resume();
        await settled(web);
        if (landing === 'after') expect(await this.look.land(stuck!), 'the copy lands').to.equal(false);
        const left = landing === 'before' ? scenario.left?.(prepared) : undefined;
        const { records = before, poolIds = [] } = left ?? {};
        expect(withoutHints(await bare(this.look, ...poolIds))).to.deep.equal(withoutHints(records));
        expect(await web.pool('10.77.0.0/24'), 'the driver goes on').to.be.a('string');
        await cleanUp();
      });
    }
  }

  /** Web as it is after a reboot, should there have been one. */
  #web(): WholeDriver {
    return this.started.findLast((one) => one.node === 'web')!;
  }

  async #start(options: WholeOptions): Promise<WholeDriver> {
    // Twice an answer is waited for, on a machine that does other things as well.
    const whole = await WholeDriver.start({ pools: '10.9.0.0/27/29', deadlineMs: 15_000, ...options });
    this.started.push(whole);
    await whole.session.current(performance.now() + 5_000);
    return whole;
  }
}

/** The gateway that a pool remembers is a hint, which an undo leaves. */
function withoutHints(records: Records): Records {
  const plain = ([key, record]: [string, Record<string, unknown>]) => {
    const { gateway: _, ...rest } = record;
    return [key, key.startsWith('pools/') ? rest : record];
  };
  return Object.fromEntries(Object.entries(records).map(plain as never));
}

function putsSession({ success = [] }: TxnRequest): boolean {
  return success.some(({ request_put: put }) => String(put?.key).includes('/sessions/'));
}
