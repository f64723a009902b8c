// What happens, as it happens, the latest first.
import { useMemo } from 'preact/hooks';
import type { Happening } from './live.js';
import { clock } from './words.js';

export function Happenings({ recent }: { readonly recent: readonly Happening[] }) {
  const list = useMemo(
    () =>
      recent.map(({ id, at, subject, text, change }) => (
        <li key={id} class={change.gone ? 'gone' : ''}>
          <time dateTime={at}>{clock(at)}</time>
          <span>
            <b class="address">{subject}</b> {text}
          </span>
        </li>
      )),
    [recent],
  );
  return (
    <section class="panel happenings" aria-labelledby="happenings-title">
      <div class="panel-head">
        <h2 id="happenings-title">What happens</h2>
      </div>
      {recent.length === 0 && <p class="empty">Nothing since this page was opened.</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls is reached by keyboard */}
      <ol class="scrolling" tabIndex={0} aria-label="What happens, the latest first">
        {list}
      </ol>
    </section>
  );
}
