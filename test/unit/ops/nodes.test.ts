import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { formatNodes, type NodeRow } from '../../../src/ops/nodes.js';

const ROUND_MS = 30_000;
const row = (node: string, state: NodeRow['state'], rest: Partial<NodeRow> = {}): NodeRow => ({
  ...{ node, state, silence: 0, joins: 1, machine: 'm' },
  ...rest,
});

describe('the table of nodes', () => {
  it('is the one that README shows', () => {
    const table = formatNodes(
      {
        nodes: [
          row('host-a', 'alive', {
            since: '2026-11-23T19:06:57.431Z',
            joins: 3,
            machine: '3d1219c7a0b24c0e9f6f0d2b8a5c1e77',
          }),
          row('host-b', 'silent', { silence: 14, joins: 2, machine: '90fe2a7714f94d3c8f0b1de26d4f6a05' }),
          row('host-c', 'gone', { silence: 3_120, machine: 'c1b7e5d2f8a34b6e9d0c7a1f2e3b4d56' }),
        ],
      },
      ROUND_MS,
    );
    expect(readFileSync('README.md', 'utf8')).to.contain(`$ etcd-ipam nodes\n${table}\n`);
  });

  it('says of 0, 1, 3, 119, 120, 2879 and 2880 rounds how long they were, in two units at most', () => {
    const rounds = [0, 1, 3, 119, 120, 2879, 2880];
    const lines = formatNodes({ nodes: rounds.map((silence) => row('a', 'silent', { silence })) }, ROUND_MS).split(
      '\n',
    );
    expect(lines.slice(1).map((line) => line.slice(21, 32).trim())).to.deep.equal([
      ...['', '30 s', '1 min', '59 min', '1 h 0 min', '23 h 59 min', '1 d 0 h'],
    ]);
  });

  it('is a line of titles where there is no node', () => {
    expect(formatNodes({ nodes: [] }, ROUND_MS)).to.equal('NODE  STATE  SINCE  SILENT FOR  JOINS  MACHINE');
  });
});
