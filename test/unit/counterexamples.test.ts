// The table of counterexamples names tests and sentences that exist, and leaves no number out.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const TESTS = dirname(dirname(fileURLToPath(import.meta.url)));
const NUMBERS = [
  ...Array.from({ length: 28 }, (_, i) => `#${i + 1}`),
  ...Array.from({ length: 22 }, (_, i) => `N${i + 1}`),
];

const table = readFileSync(join(TESTS, 'counterexamples.md'), 'utf8');
const readme = readFileSync(join(TESTS, '..', 'README.md'), 'utf8');

describe('the table of counterexamples', () => {
  it('has each of the 50 once, in order, and for each a test or what README leaves open', () => {
    const rows = rowsOf(table);
    expect(rows.map(({ number }) => number)).to.deep.equal(NUMBERS);
    for (const { number, claims } of rows) expect(claims.length, number).to.be.at.least(1);
  });

  it('names titles of tests and sentences of README that exist', () => {
    expect(
      rowsOf(table).flatMap(({ number, claims }) =>
        claims.filter((claim) => !holds(claim)).map((claim) => `${number}: ${claim}`),
      ),
    ).to.deep.equal([]);
  });

  it('is told from one with a title or a sentence that does not exist by this test', () => {
    const wrong = [
      '`unit/model.test.ts` "without "nothing" something goes wrong: a full pool"',
      '`unit/model.test.ts` "a test of that name"',
      '`unit/nowhere.test.ts` "a full pool"',
      '*left open:* "a sentence that README does not have"',
    ];
    expect(wrong.filter(holds)).to.deep.equal([]);
  });
});

interface Row {
  readonly number: string;
  /** Each a file with a title, or what is left open. */
  readonly claims: readonly string[];
}

function rowsOf(text: string): Row[] {
  return [...text.matchAll(/^\| ([#N]\d+) \| [^|]+ \| (.+) \|$/gm)].map(([, number = '', held = '']) => ({
    number,
    claims: held.split('<br>'),
  }));
}

function holds(claim: string): boolean {
  const [, open] = /^\*left open:\* "(.+)"$/.exec(claim) ?? [];
  if (open !== undefined) return plain(readme).includes(plain(open));
  const [, file = '', title = ''] = /`([\w./-]+\.ts)` "(.+)"$/.exec(claim) ?? [];
  const path = join(TESTS, file);
  return existsSync(path) && isTitle(title, readFileSync(path, 'utf8'));
}

/** A title as it stands in the file, or one that a template there makes of words that the file has too. */
function isTitle(title: string, source: string): boolean {
  return [...source.matchAll(/(?:\b(?:it|describe)\(|\btitle: )\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`([^`]*)`)/g)].some(
    ([, single, double, template]) => {
      if (template === undefined) return (single ?? double) === title;
      const parts = template.split(/\$\{[^}]*\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
      const made = new RegExp(`^${parts.join('(.+)')}$`).exec(title);
      return made?.slice(1).every((word) => source.includes(`'${word}'`) || source.includes(`  ${word}: `)) ?? false;
    },
  );
}

/** Without line ends, which a README may have anywhere. */
function plain(text: string): string {
  return text.replace(/\s+/g, ' ');
}
