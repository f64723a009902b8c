// What is known of one cell: shortly where the pointer is, and in full for the one that was chosen.
import { useEffect, useState } from 'preact/hooks';
import type { Claim, Pool, Who } from '../web/shapes.js';
import { type Block, isUnusable, parseAddress, parseBlock } from './addresses.js';
import { get } from './ask.js';
import { AddressCells, type Cells } from './cells.js';
import type { Live } from './live.js';
import { counted, dated, KINDS, roughly } from './words.js';

interface TipProps {
  readonly cells: Cells;
  readonly pool: Pool;
  readonly hover: { readonly at: number; readonly x: number; readonly y: number };
  readonly width: number;
}

const WIDE = 250;
const ASK_MS = 120;

/** Name and MAC come a moment later, for whoever stays. */
export function Tip({ cells, pool, hover: { at, x, y }, width }: TipProps) {
  const name = cells.nameOf(at);
  const taken = cells instanceof AddressCells && !cells.isEmpty(at);
  const claim = useClaim(taken ? name : undefined, pool, ASK_MS);
  const left = Math.max(0, Math.min(x + 14, width - WIDE));
  return (
    <div class="tip" style={{ left: `${left}px`, top: `${y + 18}px` }} aria-hidden="true">
      <b class="address">{name}</b>
      {cells instanceof AddressCells ? (
        <>
          <span>{taken ? KINDS[cells.kindAt(at) as Claim['kind']] : freeWords(pool, name)}</span>
          {claim?.name && <span>{claim.name}</span>}
          {taken && cells.nodeAt(at) && <span>on {cells.nodeAt(at)}</span>}
          {claim?.mac && <span class="address">{claim.mac}</span>}
        </>
      ) : (
        <span>{counted(cells.used[at]!, 'claim')}</span>
      )}
    </div>
  );
}

interface DetailProps {
  readonly cells: Cells;
  readonly pool: Pool;
  readonly live: Live;
  readonly cursor: number | undefined;
  readonly onNode: (node: string | undefined) => void;
}

/** Of those that had the address before. */
const PAST = 3;

export function Detail({ cells, pool, live, cursor, onNode }: DetailProps) {
  const [changed, setChanged] = useState(0);
  const name = cursor === undefined ? undefined : cells.nameOf(cursor);
  const addressed = cells instanceof AddressCells;
  const answer = useWho(addressed ? name : undefined, pool, 0, changed);
  useEffect(() => {
    const hear = (changes: readonly { address?: string | undefined }[]) => {
      if (changes.some(({ address }) => address === name)) setChanged((count) => count + 1);
    };
    live.changes.add(hear);
    return () => void live.changes.delete(hear);
  }, [live, name]);
  if (cursor === undefined || name === undefined)
    return (
      <p id="detail" class="detail hint">
        {addressed
          ? 'Point at a cell, or choose it to keep it here.'
          : 'Point at a block, or choose it to look into it.'}
      </p>
    );
  if (!addressed)
    return (
      <p id="detail" class="detail" role="status">
        <b class="address">{name}</b> {counted(cells.used[cursor]!, 'claim')}
      </p>
    );
  const { claim, holders = [], state, past = [] } = answer ?? {};
  const node = claim?.node ?? cells.nodeAt(cursor);
  const facts: [string, string | undefined][] = [
    ['Name', claim?.name],
    ['MAC', claim?.mac],
    ['Since', claim && `${dated(claim.since)}${ago(claim.since)}`],
    ['Before', claim?.from && `${claim.from}, which was gone`],
    ...holders.map((one): [string, string] => [one.role, `of ${one.node ?? 'the swarm'} since ${dated(one.since)}`]),
    ...past
      .slice(0, PAST)
      .map((one): [string, string] => [
        'Earlier',
        `${[one.name, one.node].filter(Boolean).join(' on ') || one.kind}, until ${dated(one.until ?? '')}`,
      ]),
  ];
  return (
    <div id="detail" class="detail" role="status">
      <p>
        <b class="address">{name}</b>{' '}
        {cells.isEmpty(cursor) ? freeWords(pool, name) : KINDS[cells.kindAt(cursor) as Claim['kind']]}
        {node !== undefined && (
          <>
            {' on '}
            <button type="button" class="plain" onClick={() => onNode(node)}>
              {node}
            </button>
            {state !== undefined && state !== 'alive' && `, which is ${state}`}
          </>
        )}
      </p>
      <dl>
        {facts.map(([title, text], i) =>
          text === undefined ? null : (
            <div key={`${title} ${i}`}>
              <dt>{title}</dt>
              <dd>{text}</dd>
            </div>
          ),
        )}
      </dl>
    </div>
  );
}

function ago(iso: string): string {
  const seconds = (Date.now() - Date.parse(iso)) / 1_000;
  return Number.isFinite(seconds) && seconds > 1 ? `, ${roughly(seconds)} ago` : '';
}

/** Why nobody has it, and whether somebody could. */
function freeWords({ pool, rules }: Pool, name: string): string {
  const block: Block = parseBlock(pool);
  const value = parseAddress(name);
  if (isUnusable(block, value)) return 'is never given: it is the network’s own';
  const reserved = rules?.reserved?.find(({ address }) => address === name);
  if (reserved) return `is reserved for ${reserved.name ?? reserved.mac}${comment(reserved.comment)}`;
  const excluded = rules?.excluded?.find(({ from, to }) => value >= parseAddress(from) && value <= parseAddress(to));
  return excluded ? `is excluded${comment(excluded.comment)}` : 'free';
}

function comment(text: string | undefined): string {
  return text === undefined || text === '' ? '' : `: ${text}`;
}

function useClaim(address: string | undefined, pool: Pool, afterMs: number): Claim | undefined {
  return useWho(address, pool, afterMs, 0)?.claim;
}

function useWho(address: string | undefined, { space, pool }: Pool, afterMs: number, anew: number) {
  const [who, setWho] = useState<Who>();
  useEffect(() => {
    if (address === undefined) return;
    const gone = new AbortController();
    const timer = setTimeout(() => {
      get<Who>(`/who/${address}`, gone.signal).then(setWho, () => undefined);
    }, afterMs);
    return () => {
      clearTimeout(timer);
      gone.abort();
    };
  }, [address, space, pool, anew]);
  return who?.address === address ? who?.in.find((one) => one.space === space && one.pool === pool) : undefined;
}
