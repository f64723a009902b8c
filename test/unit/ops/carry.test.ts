// What an export has of records that are damaged, and what an import makes of those that are there.
import { expect } from 'chai';
import { planImport } from '../../../src/ipam/carrying.js';
import { exportOf, readExport } from '../../../src/ops/carry.js';

const CLAIM = 'claims/local/v4/010.066.000.000-24/010.066.000';
const web = { kind: 'endpoint', node: 'a', join: '00000000000000aa', since: 'then', token: 't' };

const snapshotOf = (values: Readonly<Record<string, string>>) => ({
  revision: '7',
  entries: Object.entries(values).map(([key, text]) => ({ key, text, version: '5', leased: false })),
});

describe('an export', () => {
  it('has all records but what no import would take, and tells the keys of that', () => {
    const damaged = {
      [`${CLAIM}.003`]: '{"kind":',
      [`${CLAIM}.004`]: 'null',
      [`${CLAIM}.005`]: '"text"',
      'nodes/a': '',
      'nodes/b': '{"machine":7}',
      'claims/note': '{}',
      [`${CLAIM}.6`]: JSON.stringify(web),
    };
    const { lines, left } = exportOf(snapshotOf({ [`${CLAIM}.002`]: JSON.stringify(web), ...damaged }), '/x/');
    expect(readExport([...lines].join('\n'))).to.deep.equal([{ key: `${CLAIM}.002`, record: web }]);
    expect(left).to.deep.equal([
      { key: `${CLAIM}.003`, why: 'it is no JSON' },
      { key: `${CLAIM}.004`, why: 'it says nothing that this version knows' },
      { key: `${CLAIM}.005`, why: 'it says nothing that this version knows' },
      { key: 'nodes/a', why: 'it is no JSON' },
      { key: 'nodes/b', why: 'it says nothing that this version knows' },
      { key: 'claims/note', why: 'no record has such a name' },
      { key: `${CLAIM}.6`, why: `it should be ${CLAIM}.006` },
    ]);
    expect(left.map(({ key }) => key)).to.deep.equal(Object.keys(damaged));
  });
});

describe('an import', () => {
  it('takes what is no JSON there for something else than it has, but for a node', () => {
    const file = ['.002', '.003'].map((last) => ({ key: `${CLAIM}${last}`, record: web }));
    const node = { key: 'nodes/a', record: { machine: 'm', boot: 'b', since: 'then' } };
    const there = snapshotOf({
      [`${CLAIM}.002`]: '{"kind":',
      [`${CLAIM}.003`]: JSON.stringify(web),
      'nodes/a': 'no JSON',
    });
    const { differing, missing } = planImport([...file, node], there);
    expect([differing, missing]).to.deep.equal([[`${CLAIM}.002`], []]);
  });
});
