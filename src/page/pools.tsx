// The list of pools: how full each is, how that has gone, and when it will be full.
import { useMemo, useState } from 'preact/hooks';
import type { Pool, Trend } from '../web/shapes.js';
import { levelOf } from './verdict.js';
import { amount, counted, forecast, partUsed, percent } from './words.js';

const ORDERS = {
  fullest: ['fullest first', (a: Pool, b: Pool) => partUsed(b) - partUsed(a)],
  soonest: ['full soonest first', (a: Pool, b: Pool) => fullAt(a) - fullAt(b) || partUsed(b) - partUsed(a)],
  largest: ['most addresses first', (a: Pool, b: Pool) => b.used - a.used],
  listed: ['by address', () => 0],
} as const;
type Order = keyof typeof ORDERS;

const PAGE = 50;

interface Props {
  readonly pools: readonly Pool[] | undefined;
  readonly chosen: Pool | undefined;
  readonly onChoose: (pool: Pool) => void;
}

export function PoolList({ pools, chosen, onChoose }: Props) {
  const [order, setOrder] = useState<Order>('fullest');
  const [most, setMost] = useState(PAGE);
  const sorted = useMemo(() => pools?.toSorted(ORDERS[order][1]), [pools, order]);
  const now = new Date();
  return (
    <section class="panel pools" aria-labelledby="pools-title">
      <div class="panel-head">
        <h2 id="pools-title">Pools</h2>
        {pools && pools.length > 1 && (
          <select
            aria-label="Order of pools"
            value={order}
            onChange={(event) => setOrder(event.currentTarget.value as Order)}
          >
            {Object.entries(ORDERS).map(([name, [text]]) => (
              <option key={name} value={name}>
                {text}
              </option>
            ))}
          </select>
        )}
      </div>
      {!sorted && <Bones />}
      {sorted?.length === 0 && (
        <p class="empty">
          There is no pool yet. The first <code>docker network create --ipam-driver etcd-ipam</code> makes one.
        </p>
      )}
      <ul class="scrolling">
        {sorted?.slice(0, most).map((pool) => (
          <li key={`${pool.space} ${pool.pool}`}>
            <PoolRow pool={pool} now={now} chosen={pool === chosen} onChoose={onChoose} />
          </li>
        ))}
      </ul>
      {sorted && sorted.length > most && (
        <button type="button" class="plain" onClick={() => setMost(most + PAGE)}>
          {counted(sorted.length - most, 'more pool')}
        </button>
      )}
    </section>
  );
}

interface RowProps {
  readonly pool: Pool;
  readonly now: Date;
  readonly chosen: boolean;
  readonly onChoose: (pool: Pool) => void;
}

function PoolRow({ pool, now, chosen, onChoose }: RowProps) {
  const part = percent(pool);
  const level = levelOf(pool, now);
  const givable = pool.used + pool.free;
  return (
    <button type="button" class={`pool ${level}`} aria-pressed={chosen} onClick={() => onChoose(pool)}>
      <span class="name">
        <b class="address">{pool.pool}</b>
        {pool.space !== 'local' && <span class="tag">{pool.space}</span>}
        {pool.rules?.note && <span class="note">{pool.rules.note}</span>}
      </span>
      <span class="part">{part} %</span>
      <span class="bar" aria-hidden="true">
        <span style={{ width: `${100 * partUsed(pool)}%` }} />
      </span>
      <span class="facts">
        <span>
          {amount(pool.used)} of {amount(givable)}
          {pool.size > givable && ` · ${amount(pool.size - givable)} set aside`}
          {pool.unreadable && ' · its record cannot be read'}
          {pool.cooling !== null && pool.cooling > 0 && ` · ${counted(pool.cooling, 'rests', 'rest')}`} ·{' '}
          {counted(pool.nodes, 'node')}
        </span>
        <span class="trend">
          <Curve trend={pool.trend} size={givable} />
          {forecast(pool, now)}
        </span>
      </span>
    </button>
  );
}

const WIDE = 64;
const HIGH = 16;

/** Between the least and the most that it was, or a tenth of the pool if that is more: what hardly moves looks so. */
function Curve({ trend: { points }, size }: { readonly trend: Trend; readonly size: number }) {
  if (points.length < 3) return null;
  const used = points.map(([, n]) => n);
  const [least, most] = [Math.min(...used), Math.max(...used)];
  const span = Math.max(most - least, Math.min(size, 1e4) / 50, 1);
  const [first, last] = [points[0]![0], points.at(-1)![0]];
  const x = (t: number) => (WIDE * (t - first)) / Math.max(1, last - first);
  const y = (n: number) => HIGH - 2 - ((HIGH - 4) * (n - (most + least - span) / 2)) / span;
  const line = points.map(([t, n], i) => `${i === 0 ? 'M' : 'L'}${x(t).toFixed(1)} ${y(n).toFixed(1)}`).join('');
  return (
    <svg class="curve" viewBox={`0 0 ${WIDE} ${HIGH}`} width={WIDE} height={HIGH} aria-hidden="true">
      <path d={line} />
    </svg>
  );
}

/** The shape of what comes. */
export function Bones() {
  return (
    <div class="bones" role="img" aria-label="loading">
      <span />
      <span />
      <span />
    </div>
  );
}

function fullAt({ trend }: Pool): number {
  return trend.fullAt === null ? Number.MAX_SAFE_INTEGER : Date.parse(trend.fullAt);
}
