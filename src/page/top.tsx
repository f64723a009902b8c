// The top of the page: whether it is live, whether all is well, and the theme.
import { useEffect, useState } from 'preact/hooks';
import type { State } from './live.js';
import { verdict } from './verdict.js';
import { counted } from './words.js';

export function LinkState({ state: { link, away, overview } }: { readonly state: State }) {
  const [level, text] =
    link === 'lost'
      ? ['bad', 'not connected']
      : away !== undefined
        ? ['bad', 'etcd is away']
        : link === 'live' && overview
          ? ['ok', 'live']
          : ['wait', 'connecting'];
  return (
    <p class={`link ${level}`} role="status">
      <span class="dot" aria-hidden="true" />
      {text}
    </p>
  );
}

/** What is shown stays in sight, with the time that it is of. */
export function Away({ state: { link, away, asOf } }: { readonly state: State }) {
  if (link !== 'lost' && away === undefined) return null;
  const title = link === 'lost' ? 'This host’s etcd-ipam does not answer' : 'etcd does not answer';
  return (
    <section class="away" role="alert">
      <h2>{title}</h2>
      <p>
        {asOf ? `What you see is as it was at ${asOf.toLocaleTimeString('en-GB')}.` : 'Nothing could be read yet.'} The
        page keeps trying and goes on by itself.
      </p>
      {link !== 'lost' && <p class="why">{away}</p>}
    </section>
  );
}

const MOST_POINTS = 4;

export function Headline({ state: { overview, pools, nodes } }: { readonly state: State }) {
  const [all, setAll] = useState(false);
  if (!pools || !nodes)
    return (
      <section class="headline wait" aria-busy="true">
        <h2>Looking…</h2>
      </section>
    );
  const { level, title, points } = verdict({ overview, pools, nodes }, new Date());
  const alive = nodes.filter(({ state }) => state === 'alive').length;
  const taken = pools.reduce((sum, { used }) => sum + used, 0);
  return (
    <section class={`headline ${level}`} aria-label="State of the cluster">
      <h2>
        <span class="mark" aria-hidden="true">
          {level === 'ok' ? '✓' : '!'}
        </span>
        {title}
      </h2>
      <p>
        {counted(taken, 'address', 'addresses')} taken in {counted(pools.length, 'pool')}; {alive} of{' '}
        {counted(nodes.length, 'node')} alive
      </p>
      {points.length > 0 && (
        <ul>
          {points.slice(0, all ? undefined : MOST_POINTS).map((point) => (
            <li key={point}>{point}</li>
          ))}
        </ul>
      )}
      {points.length > MOST_POINTS && (
        <button type="button" class="plain" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? 'fewer' : `${points.length - MOST_POINTS} more`}
        </button>
      )}
    </section>
  );
}

const THEMES = ['auto', 'light', 'dark'] as const;
const ICONS = { auto: '◐', light: '☀', dark: '☾' } as const;

export function ThemeButton() {
  const [theme, setTheme] = useState(() => THEMES.find((name) => name === localStorage.getItem('theme')) ?? 'auto');
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem('theme', theme);
    dispatchEvent(new Event('theme'));
  }, [theme]);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
  return (
    <button
      type="button"
      class="theme"
      aria-label={`Theme: ${theme}. Change to ${next}`}
      onClick={() => setTheme(next)}
    >
      <span aria-hidden="true">{ICONS[theme]}</span>
    </button>
  );
}
