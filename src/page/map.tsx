// The map of a pool: the panel round the canvas, what is looked at, and the way into the parts of a large pool.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Pool } from '../web/shapes.js';
import { formatBlock } from './addresses.js';
import { Canvas } from './canvas.js';
import { AddressCells, BlockCells, bestPart, CELL_KINDS, type Cells } from './cells.js';
import { Detail } from './detail.js';
import type { Colouring } from './drawing.js';
import type { Live } from './live.js';
import { Loader, type Loading } from './loading.js';
import { amount, KINDS } from './words.js';

interface Props {
  readonly pool: Pool | undefined;
  readonly live: Live;
  readonly target: { readonly address: string } | undefined;
  readonly node: string | undefined;
  readonly onNode: (node: string | undefined) => void;
  readonly waiting: boolean;
}

export function MapPanel({ pool, ...props }: Props) {
  if (pool) return <PoolMap key={`${pool.space} ${pool.pool}`} pool={pool} {...props} />;
  return (
    <section class="panel map" aria-labelledby="map-title" aria-busy={props.waiting}>
      <div class="panel-head">
        <h2 id="map-title">Map</h2>
      </div>
      {props.waiting ? <div class="bones tall" /> : <p class="empty">There is nothing to draw yet.</p>}
    </section>
  );
}

/** Parts are counted anew when something has happened in them, but not all the time. */
const COUNT_ANEW_MS = 3_000;

function PoolMap({ pool, live, target, node, onNode }: Props & { readonly pool: Pool }) {
  /** The way in: the pool itself, then parts of it. */
  const [way, setWay] = useState<readonly string[]>([pool.pool]);
  const [loading, setLoading] = useState<Loading>();
  const [problem, setProblem] = useState<string>();
  const [anew, setAnew] = useState(0);
  const [cursor, setCursor] = useState<number>();
  const [colouring, setColouring] = useState<Colouring>('kind');
  const ledIn = useRef(false);
  const of = way.at(-1)!;

  useEffect(() => {
    const gone = new AbortController();
    const loader = new Loader();
    const hear = loader.heard.bind(loader);
    live.changes.add(hear);
    const run = async () => {
      performance.mark('map:asked');
      for await (const piece of loader.load(pool, of, gone.signal)) {
        if (gone.signal.aborted) return;
        const part = piece.cells instanceof BlockCells && !ledIn.current ? bestPart(piece.cells) : undefined;
        ledIn.current = true;
        if (part !== undefined) return setWay([pool.pool, part]);
        setLoading(piece);
        setProblem(undefined);
      }
    };
    run().catch((error: Error) => {
      if (!gone.signal.aborted) setProblem(error.message);
    });
    return () => {
      gone.abort();
      live.changes.delete(hear);
    };
  }, [of, anew]);

  useEffect(() => {
    const again = () => setAnew((count) => count + 1);
    live.resets.add(again);
    return () => void live.resets.delete(again);
  }, [live]);

  const cells = loading && formatBlock(loading.cells.block) === of ? loading.cells : undefined;
  const counted = cells instanceof BlockCells;
  useEffect(() => {
    if (!counted) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const hear = (changes: readonly { space?: string | undefined; pool?: string | undefined }[]) => {
      if (timer !== undefined || !changes.some((one) => one.pool === pool.pool && one.space === pool.space)) return;
      timer = setTimeout(() => setAnew((count) => count + 1), COUNT_ANEW_MS);
    };
    live.changes.add(hear);
    return () => {
      live.changes.delete(hear);
      clearTimeout(timer);
    };
  }, [counted, of, anew]);

  useEffect(() => setCursor(undefined), [of]);
  useEffect(() => {
    if (!target || !cells) return;
    ledIn.current = true;
    const at = cells.indexOf(target.address);
    // Somewhere else in the pool: from its top down.
    if (at === undefined) setWay([pool.pool]);
    else if (cells instanceof BlockCells) setWay([...way, cells.nameOf(at)]);
    else setCursor(at);
  }, [target, cells]);

  const enter = (at: number) => {
    if (cells instanceof BlockCells) setWay([...way, cells.nameOf(at)]);
    else setCursor(at);
  };
  return (
    <section class="panel map" aria-labelledby="map-title" aria-busy={loading === undefined}>
      <div class="panel-head">
        <h2 id="map-title" tabIndex={-1}>
          Map of <Way way={way} onBack={(to) => setWay(way.slice(0, to + 1))} />
        </h2>
        {!counted && (
          <fieldset class="choice">
            <legend class="unseen">Colours</legend>
            {(['kind', 'node'] as const).map((name) => (
              <button key={name} type="button" aria-pressed={colouring === name} onClick={() => setColouring(name)}>
                by {name}
              </button>
            ))}
          </fieldset>
        )}
      </div>
      {node !== undefined && (
        <p class="filter">
          Only addresses of <b>{node}</b> are strong.{' '}
          <button type="button" class="plain" onClick={() => onNode(undefined)}>
            show all
          </button>
        </p>
      )}
      {problem !== undefined && (
        <p class="problem" role="alert">
          The map could not be read: {problem}{' '}
          <button type="button" class="plain" onClick={() => setAnew(anew + 1)}>
            try again
          </button>
        </p>
      )}
      {loading?.read !== undefined && (
        <progress max={pool.used} value={loading.read} aria-label="reading the claims of this pool" />
      )}
      {cells && loading ? (
        <Canvas
          {...{ cells, pool, live, node, colouring, cursor }}
          version={loading}
          onCursor={setCursor}
          onEnter={enter}
          onBack={() => setWay(way.length > 1 ? way.slice(0, -1) : way)}
        />
      ) : (
        problem === undefined && <div class="bones tall" role="img" aria-label="loading" />
      )}
      {cells && <Detail {...{ cells, pool, live, cursor }} onNode={onNode} />}
      {cells && <Legend cells={cells} pool={pool} colouring={colouring} version={loading} live={live} />}
    </section>
  );
}

function Way({ way, onBack }: { readonly way: readonly string[]; readonly onBack: (to: number) => void }) {
  return (
    <span class="address way">
      {way.map((block, i) =>
        i === way.length - 1 ? (
          <span key={block}>{block}</span>
        ) : (
          <span key={block}>
            <button type="button" class="plain" onClick={() => onBack(i)}>
              {block}
            </button>
            {' › '}
          </span>
        ),
      )}
    </span>
  );
}

interface LegendProps {
  readonly cells: Cells;
  readonly pool: Pool;
  readonly colouring: Colouring;
  readonly version: unknown;
  readonly live: Live;
}

function Legend({ cells, pool, colouring, version, live }: LegendProps) {
  const [changed, setChanged] = useState(0);
  useEffect(() => {
    let due = 0;
    const hear = () => {
      if (due === 0)
        due = window.setTimeout(() => {
          due = 0;
          setChanged((count) => count + 1);
        }, 300);
    };
    live.changes.add(hear);
    return () => {
      live.changes.delete(hear);
      clearTimeout(due);
    };
  }, [live]);
  const counts = useMemo(() => (cells instanceof AddressCells ? cells.counts() : []), [cells, version, changed]);
  if (!(cells instanceof AddressCells))
    return (
      <p class="legend">
        Each cell is a block of {amount(2 ** (cells.block.bits - cells.length))} addresses, the stronger the fuller.
        Choose one to look into it.
      </p>
    );
  const rules = pool.rules;
  return (
    <ul class="legend" aria-label={colouring === 'kind' ? 'What colours mean' : 'Each node has a colour of its own'}>
      {CELL_KINDS.map((kind, i) =>
        kind === 'free' || counts[i] === 0 ? null : (
          <li key={kind}>
            {colouring === 'kind' && (
              <span class="swatch" style={{ background: `var(--${kind})` }} aria-hidden="true" />
            )}
            {KINDS[kind]} <b>{amount(counts[i]!)}</b>
          </li>
        ),
      )}
      <li>
        <span class="swatch" style={{ background: 'var(--free)' }} aria-hidden="true" /> free
      </li>
      {rules?.excluded && rules.excluded.length > 0 && (
        <li>
          <span class="swatch" style={{ background: 'var(--excluded)' }} aria-hidden="true" /> excluded
        </li>
      )}
      {rules?.reserved && rules.reserved.length > 0 && (
        <li>
          <span class="swatch" style={{ background: 'var(--kept)' }} aria-hidden="true" /> reserved for somebody
        </li>
      )}
    </ul>
  );
}
