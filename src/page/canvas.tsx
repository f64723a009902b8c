// The canvas of a map: its size, scrolling, pointer and keys, and cells that change while one looks. Draws once a frame and
// only when there is a reason.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Change, Pool } from '../web/shapes.js';
import { AddressCells, type Cells } from './cells.js';
import { Tip } from './detail.js';
import { type Colouring, Drawing, layoutOf } from './drawing.js';
import type { Live } from './live.js';
import type { Loading } from './loading.js';

interface Props {
  readonly cells: Cells;
  readonly pool: Pool;
  readonly live: Live;
  readonly node: string | undefined;
  readonly colouring: Colouring;
  readonly cursor: number | undefined;
  /** Another whenever more was read into the cells. */
  readonly version: Loading;
  readonly onCursor: (at: number) => void;
  readonly onEnter: (at: number) => void;
  readonly onBack: () => void;
}

const FLASH_MS = 1_600;
const HIGHEST = 780;

export function Canvas({ cells, pool, live, node, colouring, cursor, version, onCursor, onEnter, onBack }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [hover, setHover] = useState<{ readonly at: number; readonly x: number; readonly y: number }>();
  const drawn = useRef<{ drawing: Drawing; paint: () => void }>();
  const seen = useRef(cursor);
  seen.current = cursor;
  /** All of it has been read, and not been drawn yet. */
  const whole = useRef(false);

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (width === 0) return;
    const box = scroller.current!;
    const drawing = new Drawing(canvas.current!, cells, layoutOf(cells, width), pool.pool, pool.rules);
    const flashes = new Map<number, number>();
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    let due = 0;
    const frame = () => {
      due = 0;
      const now = performance.now();
      const strengths = new Map<number, number>();
      for (const [at, since] of flashes) {
        const left = 1 - (now - since) / FLASH_MS;
        if (left <= 0) flashes.delete(at);
        else strengths.set(at, left);
      }
      const height = Math.min(box.clientHeight, drawing.layout.height);
      drawing.paint({ scroll: box.scrollTop, width, height, cursor: seen.current, flashes: strengths });
      performance.measure('map:paint', { start: now, end: performance.now() });
      if (whole.current) performance.measure('map:drawn', 'map:asked');
      whole.current = false;
      if (flashes.size > 0) paint();
    };
    const paint = () => {
      if (due === 0) due = requestAnimationFrame(frame);
    };
    const hear = (changes: readonly Change[]) => {
      for (const change of changes) {
        if (change.pool !== pool.pool || change.space !== pool.space) continue;
        const at = cells.change(change);
        if (at === undefined) continue;
        drawing.colour(at);
        if (!still) flashes.set(at, performance.now());
        paint();
      }
    };
    const restyle = () => {
      drawing.restyle();
      paint();
    };
    const dark = matchMedia('(prefers-color-scheme: dark)');
    live.changes.add(hear);
    box.addEventListener('scroll', paint, { passive: true });
    dark.addEventListener('change', restyle);
    addEventListener('theme', restyle);
    drawn.current = { drawing, paint };
    paint();
    return () => {
      cancelAnimationFrame(due);
      live.changes.delete(hear);
      box.removeEventListener('scroll', paint);
      dark.removeEventListener('change', restyle);
      removeEventListener('theme', restyle);
      drawn.current = undefined;
    };
  }, [cells, width, pool.rules]);

  useEffect(() => {
    if (!drawn.current) return;
    const { drawing, paint } = drawn.current;
    drawing.colouring = colouring;
    drawing.node = node;
    drawing.colourAll();
    whole.current = version.read === undefined;
    paint();
  }, [cells, width, pool.rules, version, colouring, node]);

  useEffect(() => {
    if (!drawn.current) return;
    const { drawing, paint } = drawn.current;
    paint();
    if (cursor === undefined) return;
    const { y } = drawing.placeOf(cursor);
    const box = scroller.current!;
    if (y - 20 < box.scrollTop) box.scrollTop = y - box.clientHeight / 3;
    if (y + 20 > box.scrollTop + box.clientHeight) box.scrollTop = y - (2 * box.clientHeight) / 3;
  }, [cursor, cells, width]);

  const cellAt = (event: PointerEvent | MouseEvent) => {
    const { left, top } = canvas.current!.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    const at = drawn.current?.drawing.cellAt(x, y, scroller.current!.scrollTop);
    return at === undefined ? undefined : { at, x, y };
  };
  const move = (event: KeyboardEvent) => {
    const layout = drawn.current?.drawing.layout;
    if (!layout) return;
    const to = steppedTo(event, cells, layout.columns, cursor);
    if (event.key === 'Enter' && cursor !== undefined) onEnter(cursor);
    else if (event.key === 'Escape' || event.key === 'Backspace') onBack();
    else if (to !== undefined) onCursor(to);
    else return;
    event.preventDefault();
  };
  const layout = width === 0 ? undefined : layoutOf(cells, width);
  const height = `min(${layout?.height ?? 0}px, ${HIGHEST}px, 72vh)`;
  const what = cells instanceof AddressCells ? 'addresses' : 'blocks';
  return (
    <div class="canvas" onPointerLeave={() => setHover(undefined)}>
      <div
        ref={scroller}
        class="scroller"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: an application, by its role, with keys of its own
        tabIndex={0}
        aria-label={`Map of ${cells.size} ${what}. Arrows move, N and P go to the next and previous one that is taken, Enter looks into it`}
        aria-describedby="detail"
        style={{ height }}
        onKeyDown={move}
        onFocus={() => cursor === undefined && scroller.current!.matches(':focus-visible') && onCursor(0)}
      >
        <div aria-hidden="true" style={{ height: `${layout?.height ?? 0}px` }}>
          <canvas
            ref={canvas}
            style={{ width: `${width}px`, height }}
            onPointerMove={(event) => setHover(cellAt(event))}
            onPointerDown={() => setHover(undefined)}
            onClick={(event) => {
              const hit = cellAt(event);
              if (hit) onEnter(hit.at);
            }}
          />
        </div>
      </div>
      {hover && <Tip {...{ cells, pool, hover, width }} />}
    </div>
  );
}

/** Where a key leads; undefined if it is none of the map's. */
function steppedTo({ key }: KeyboardEvent, cells: Cells, columns: number, cursor = 0): number | undefined {
  const steps: Readonly<Record<string, number>> = {
    ...{ ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns },
    ...{ PageUp: -8 * columns, PageDown: 8 * columns, Home: -cells.size, End: cells.size },
  };
  const step = steps[key];
  if (step !== undefined) return Math.min(cells.size - 1, Math.max(0, cursor + step));
  const way = { n: 1, N: 1, p: -1, P: -1 }[key];
  if (way === undefined) return undefined;
  for (let at = cursor + way; at >= 0 && at < cells.size; at += way) if (!cells.isEmpty(at)) return at;
  return cursor;
}
