// What the test of README's installation trusts: how it reads the text, and what it takes for alike.
import { expect } from 'chai';
import { difference, stepsOf } from '../support/transcript.js';

const markdown = `
## Before

\`\`\`console
a$ not this one
\`\`\`

## Install

### First

Words.

\`\`\`console
a$ one \\
    --more
each$ two
printed $ 2
printed
\`\`\`

\`\`\`json
{}
\`\`\`

\`\`\`console
b$ three
\`\`\`

### Second

## After
`;

describe('a transcript', () => {
  it('is read as steps by heading, with continued lines and what is shown below a command', () => {
    expect([...stepsOf(markdown, 'Install')]).to.deep.equal([
      [
        'First',
        [
          { prompt: 'a', command: 'one \\\n    --more', shown: [] },
          { prompt: 'each', command: 'two', shown: ['printed $ 2', 'printed'] },
          { prompt: 'b', command: 'three', shown: [] },
        ],
      ],
      ['Second', []],
    ]);
  });

  it('is refused where a block begins without a prompt', () => {
    const text = '## Install\n### First\n```console\nplain\n```\n';
    expect(() => stepsOf(text, 'Install')).to.throw('no prompt before: plain');
  });

  for (const [printed, shown, expected] of [
    ['\nkey/010.066\n\nkey/7\n', ['key/1.2', 'key/3'], undefined],
    ['/web.12.h2x6dq4s8vof0u1ray7t3bkwp 10.66.0.8', ['/web.3.u0lcq7b1kp2v9i5fezn8t4xyd 10.66.0.5'], undefined],
    ['a/8d0c6f0e51b7a3c4', ['a/f24a97d3306be815'], undefined],
    ['key/1\nkey/2\nkey/3', ['key/1', '…', 'key/9'], undefined],
    ['token SWM-1', ['token …'], undefined],
    ['key/1\nkey/2\nkey/3', ['key/1', 'key/2'], '3 lines'],
    ['key/1', ['key/1', 'key/2'], '1 lines'],
    ['key/1\nerror', ['key/1', '…'], 'not shown: error'],
    ['key/1', ['key/1', 'end'], 'nothing like: end'],
    ['10.66.0.8x', ['10.66.0.8'], 'nothing like: 10.66.0.8'],
    ['10a66', ['10.66'], 'nothing like: 10.66'],
  ] as const)
    it(`shows ${JSON.stringify(shown)}, which ${JSON.stringify(printed)} ${expected ? 'is not like' : 'is like'}`, () => {
      expect(difference(printed, shown)).to.equal(expected);
    });
});
