// The page: one screen of the cluster. Mounts it, and holds what is chosen; everything that is shown is in the other files.
import { render } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Claim, Pool } from '../web/shapes.js';
import { poolIn } from './fragment.js';
import { Happenings } from './happenings.js';
import { Live, type State } from './live.js';
import { MapPanel } from './map.js';
import { NodeList } from './nodes.js';
import { PoolList } from './pools.js';
import { Search } from './search.js';
import { Away, Headline, LinkState, ThemeButton } from './top.js';
import { partUsed } from './words.js';

/** An address that somebody wants to see; each time anew. */
export interface Target {
  readonly address: string;
}

function Page({ live }: { readonly live: Live }) {
  const [state, setState] = useState<State>(live.state);
  const [chosen, setChosen] = useState(() => poolIn(location.hash));
  const [target, setTarget] = useState<Target>();
  const [node, setNode] = useState<string>();
  useEffect(() => {
    let due = 0;
    live.onState = () => {
      if (due === 0)
        due = requestAnimationFrame(() => {
          due = 0;
          setState(live.state);
        });
    };
    live.start();
    const moved = () => setChosen((before) => poolIn(location.hash) ?? before);
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, [live]);

  const { pools, nodes, overview } = state;
  const pool = useMemo(() => pools && (pools.find((one) => nameOf(one) === chosen) ?? fullest(pools)), [pools, chosen]);
  const choose = (name: string) => {
    setChosen(name);
    history.replaceState(null, '', `#${name}`);
  };
  const show = (claim: Pick<Claim, 'space' | 'pool' | 'address'>) => {
    choose(`${claim.space}/${claim.pool}`);
    setTarget({ address: claim.address });
  };
  const showPool = (one: { space: string; pool: string }) => {
    setTarget(undefined);
    choose(`${one.space}/${one.pool}`);
  };

  return (
    <>
      <a class="skip" href="#map-title">
        Skip to the map
      </a>
      <header>
        <h1>
          <img src="/icon.svg" alt="" width="24" height="24" /> etcd-ipam
        </h1>
        <Search onClaim={show} onNode={setNode} onPool={showPool} />
        <LinkState state={state} />
        <ThemeButton />
      </header>
      <main>
        <div class="top">
          <Away state={state} />
          <Headline state={state} />
        </div>
        <PoolList pools={pools} chosen={pool} onChoose={showPool} />
        <MapPanel pool={pool} live={live} target={target} node={node} onNode={setNode} waiting={pools === undefined} />
        <NodeList nodes={nodes} chosen={node} onChoose={(name) => setNode(name === node ? undefined : name)} />
        <Happenings recent={state.recent} />
      </main>
      <footer>
        {overview && `${overview.node}, version ${overview.version} · `}
        <a href="/openapi.json">JSON API</a> · <a href="/metrics">metrics</a>
      </footer>
    </>
  );
}

function nameOf({ space, pool }: Pool): string {
  return `${space}/${pool}`;
}

function fullest(pools: readonly Pool[]): Pool | undefined {
  return pools.toSorted((a, b) => partUsed(b) - partUsed(a))[0];
}

render(<Page live={new Live()} />, document.getElementById('page')!);
