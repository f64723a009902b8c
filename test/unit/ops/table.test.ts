// Tables as they are printed: widths, terminals, colours, and rows that come page by page.
import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { claimLines, listClaims } from '../../../src/ops/claims.js';
import { poolLines } from '../../../src/ops/pools.js';
import { print } from '../../../src/ops/printing.js';
import { Lines, PIPE } from '../../../src/ops/table.js';
import { MemoryStore } from '../../support/memory-store.js';

const POOL = {
  space: 'local',
  pool: '10.66.0.0/24',
  size: 254,
  used: 250,
  cooling: 3,
  excluded: 0,
  reserved: 0,
  free: 4,
  nodes: ['a', 'b'],
  gateway: '10.66.0.1',
};

describe('tables', () => {
  it('are as wide as the longest cell of their first rows, which later rows push', () => {
    const lines = new Lines([{ title: 'A' }, { title: 'N', right: true }], PIPE);
    expect(
      lines.of([
        ['x', '10'],
        ['long', '7'],
      ]),
    ).to.deep.equal(['A      N', 'x     10', 'long   7']);
    expect(lines.of([['longer', '8']])).to.deep.equal(['longer   8']);
    expect(lines.of([])).to.deep.equal([]);
  });

  it('have each row on one line, whatever a name has in it', () => {
    const lines = new Lines([{ title: 'NAME' }, { title: 'N' }], PIPE);
    expect(lines.of([['web\n10.66.0.1  a\u001b[2K', '1']])).to.deep.equal([
      'NAME                  N',
      'web\ufffd10.66.0.1  a\ufffd[2K  1',
    ]);
  });

  it('leave columns out on a narrow terminal, the least important first, and cut what is still too wide', () => {
    const at = (width?: number) => poolLines({ width, colour: false })([POOL]);
    expect(at()[1]).to.equal('local  10.66.0.0/24   254   250     3     4   99%  [#########.]  10.66.0.1      2');
    expect(at(81)).to.deep.equal(at());
    expect(at(80)[1]).to.equal('local  10.66.0.0/24   254   250     3     4   99%  [#########.]      2');

    expect(poolLines(PIPE)([{ ...POOL, cooling: null }])[1]).to.contain('   250     ?     4 ');

    for (const width of [70, 60, 50, 40, 34, 20])
      for (const line of at(width)) expect(line.length, `${width}: ${line}`).to.be.at.most(width);
    expect(at(65)[0]).to.not.contain('COOL');
    expect(at(34)[0]!.split(/ +/)).to.deep.equal(['SPACE', 'POOL', 'FREE', 'USE%']);
    expect(at(20)[1]).to.equal('local  10.66.0.0/24…');
  });

  it('are coloured on a terminal where that is wanted, and never otherwise', () => {
    const rows = [POOL, { ...POOL, used: 210, free: 44 }, { ...POOL, used: 20, free: 234 }];
    const coloured = poolLines({ width: 120, colour: true })(rows);
    const red = '\u001b[31m 99%\u001b[0m';
    const yellow = '\u001b[33m 83%\u001b[0m';
    expect([coloured[1]!.includes(red), coloured[2]!.includes(yellow), coloured[3]!.includes('\u001b')]).to.deep.equal([
      ...[true, true, false],
    ]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
    const codes = /\u001b\[\d+m/g;
    expect(coloured.map((line) => line.replace(codes, ''))).to.deep.equal(poolLines({ colour: false })(rows));
  });

  it('show their titles where there are no rows', async () => {
    const out = new PassThrough();
    await print((async function* () {})(), out, { lines: claimLines(PIPE) });
    expect(String(out.read())).to.equal('SPACE  ADDRESS  KIND  NODE  NAME  SINCE\n');
    await print((async function* () {})(), out, { json: 'array' });
    expect(String(out.read())).to.equal('[]\n');
  });

  it('begin when the first of 6 pages has been read, and read no faster than they are taken', async () => {
    const store = new MemoryStore();
    const wide = (n: number) => String(n).padStart(3, '0');
    for (let i = 0; i < 24_000; i++)
      store.plant(`claims/local/v4/010.064.000.000-16/010.064.${wide(i >> 8)}.${wide(i & 255)}`, {
        ...{ kind: 'endpoint', node: 'a', name: `c${i}`, since: 'then', token: 't' },
      });
    const out = new PassThrough({ highWaterMark: 1 });
    const done = print(listClaims(store, undefined, {}, performance.now() + 60_000), out, { lines: claimLines(PIPE) });
    let text = '';
    let readsAtFirst = 0;
    for await (const chunk of out) {
      if (text === '') {
        // Time to run ahead, were it to.
        await new Promise((resolve) => setTimeout(resolve, 50));
        readsAtFirst = store.reads;
      }
      text += chunk;
      if (text.split('\n').length === 24_002) break;
    }
    await done;
    expect(store.reads).to.equal(6);
    expect(readsAtFirst).to.be.lessThan(5);
    expect(text.split('\n')[1]).to.match(/^local {2}10\.64\.0\.0 +endpoint {2}a +c0 /);
  });
});
