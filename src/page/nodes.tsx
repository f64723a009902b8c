// The list of hosts: those that are not alive first. One that is chosen is seen on the map.
import { useMemo } from 'preact/hooks';
import type { Nodes } from '../web/shapes.js';
import { css, nodeColour } from './drawing.js';
import { Bones } from './pools.js';
import { counted, dated, roughly } from './words.js';

type Node = Nodes['nodes'][number];

const ORDER = ['gone', 'evicted', 'silent', 'alive'] as const;
const ROUND_S = 30;

interface Props {
  readonly nodes: readonly Node[] | undefined;
  readonly chosen: string | undefined;
  readonly onChoose: (node: string) => void;
}

export function NodeList({ nodes, chosen, onChoose }: Props) {
  const list = useMemo(() => {
    const sorted = nodes?.toSorted((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
    return sorted?.map((node) => (
      <li key={node.node}>
        <button
          type="button"
          class={`node ${node.state}`}
          aria-pressed={node.node === chosen}
          title={node.since === undefined ? undefined : `since ${dated(node.since)}`}
          onClick={() => onChoose(node.node)}
        >
          <span class="dot" style={{ background: css(nodeColour(node.node)) }} aria-hidden="true" />
          <span class="name">{node.node}</span>
          <span class="state">{wordOf(node)}</span>
        </button>
      </li>
    ));
  }, [nodes, chosen]);
  const counts = ORDER.map((state) => [state, nodes?.filter((node) => node.state === state).length ?? 0] as const);
  return (
    <section class="panel nodes" aria-labelledby="nodes-title">
      <div class="panel-head">
        <h2 id="nodes-title">Nodes</h2>
        <p class="counts">
          {counts
            .toReversed()
            .filter(([, count]) => count > 0)
            .map(([state, count]) => (
              <span key={state} class={`state ${state}`}>
                {count} {state}
              </span>
            ))}
        </p>
      </div>
      {!nodes && <Bones />}
      {nodes?.length === 0 && <p class="empty">No host has been here yet.</p>}
      <ul class="scrolling">{list}</ul>
    </section>
  );
}

function wordOf({ state, silence, joins }: Node): string {
  if (state === 'silent') return silence === 0 ? 'silent' : `silent for ${roughly(silence * ROUND_S)}`;
  return state === 'alive' ? counted(joins, 'network') : state;
}
