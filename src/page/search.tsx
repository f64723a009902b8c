// The search: whatever a person remembers of an address, and where that leads.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Claim, Search as Found } from '../web/shapes.js';
import { get } from './ask.js';
import { KINDS } from './words.js';

interface Props {
  readonly onClaim: (claim: Pick<Claim, 'space' | 'pool' | 'address'>) => void;
  readonly onNode: (node: string) => void;
  readonly onPool: (pool: { space: string; pool: string }) => void;
}

interface Option {
  readonly key: string;
  readonly main: string;
  readonly more: string;
  readonly choose: () => void;
}

const PAUSE_MS = 180;
const ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:]+:[0-9a-f]*)$/i;

export function Search({ onClaim, onNode, onPool }: Props) {
  const [text, setText] = useState('');
  const [found, setFound] = useState<Found>();
  const [problem, setProblem] = useState<string>();
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  const field = useRef<HTMLInputElement>(null);
  const wanted = text.trim();

  useEffect(() => {
    const slash = (event: KeyboardEvent) => {
      const elsewhere = event.target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (event.key !== '/' || elsewhere || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener('keydown', slash);
    return () => removeEventListener('keydown', slash);
  }, []);

  useEffect(() => {
    setFound(undefined);
    setProblem(undefined);
    setAt(0);
    if (wanted === '') return;
    const gone = new AbortController();
    const timer = setTimeout(() => {
      get<Found>(`/search?limit=30&q=${encodeURIComponent(wanted)}`, gone.signal).then(setFound, (error: Error) => {
        if (!gone.signal.aborted) setProblem(error.message);
      });
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      gone.abort();
    };
  }, [wanted]);

  const options = found ? optionsOf(found, wanted, { onClaim, onNode, onPool }) : [];
  const choose = (option: Option | undefined) => {
    if (!option) return;
    option.choose();
    setOpen(false);
    field.current?.blur();
  };
  const key = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      setOpen(true);
      setAt((at + step + options.length) % Math.max(1, options.length));
    } else if (event.key === 'Enter') choose(options[at]);
    else if (event.key === 'Escape') {
      if (open) setOpen(false);
      else setText('');
    }
  };
  const shown = open && wanted !== '';
  return (
    <search class="search">
      <input
        ref={field}
        type="search"
        role="combobox"
        aria-label="Search for an address, name, MAC or node"
        aria-expanded={shown}
        aria-controls="found"
        aria-autocomplete="list"
        aria-activedescendant={shown && options[at] ? `found-${at}` : undefined}
        placeholder="Address, name, MAC or node"
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setOpen(true);
        }}
        onFocus={() => setOpen(true)}
        onBlur={() => setTimeout(() => setOpen(false), 150)}
        onKeyDown={key}
      />
      <span class="key" aria-hidden="true">
        /
      </span>
      <div class="found" hidden={!shown}>
        <div id="found" role="listbox" aria-label="What was found">
          {options.map((option, i) => (
            <div
              key={option.key}
              id={`found-${i}`}
              role="option"
              tabIndex={-1}
              aria-selected={i === at}
              onPointerDown={(event) => {
                event.preventDefault();
                choose(option);
              }}
            >
              <b class="address">{option.main}</b> <span>{option.more}</span>
            </div>
          ))}
        </div>
        <p role="status">{statusOf(found, options.length, problem)}</p>
      </div>
    </search>
  );
}

function statusOf(found: Found | undefined, count: number, problem: string | undefined): string {
  if (problem !== undefined) return `The search failed: ${problem}`;
  if (!found) return 'Searching…';
  if (count === 0) return 'Nothing was found.';
  return found.complete ? '' : 'There is more: write more of it.';
}

function optionsOf({ claims, nodes, pools }: Found, wanted: string, { onClaim, onNode, onPool }: Props): Option[] {
  const free = ADDRESS.test(wanted) ? pools.filter((pool) => !claims.some((claim) => isOf(claim, pool))) : [];
  return [
    ...nodes.map((node) => ({
      ...{ key: `node ${node}`, main: node, more: 'node: shown on the map' },
      choose: () => onNode(node),
    })),
    ...claims.map((claim) => ({
      ...{ key: `claim ${claim.space} ${claim.pool} ${claim.address}`, main: claim.address, more: moreOf(claim) },
      choose: () => onClaim(claim),
    })),
    ...free.map(({ space, pool }) => ({
      ...{ key: `free ${space} ${pool}`, main: wanted, more: `free in ${pool}` },
      choose: () => onClaim({ space, pool, address: wanted }),
    })),
    ...(ADDRESS.test(wanted) ? [] : pools).map(({ space, pool }) => ({
      ...{ key: `pool ${space} ${pool}`, main: pool, more: space === 'local' ? 'pool' : `pool in ${space}` },
      choose: () => onPool({ space, pool }),
    })),
  ];
}

function isOf(claim: Claim, { space, pool }: { readonly space: string; readonly pool: string }): boolean {
  return claim.space === space && claim.pool === pool;
}

function moreOf({ kind, name, node, mac, space }: Claim): string {
  const parts = [name ?? KINDS[kind], node && `on ${node}`, name === undefined ? mac : undefined];
  if (space !== 'local') parts.push(`in ${space}`);
  return parts.filter(Boolean).join(' ');
}
