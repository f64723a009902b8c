// Text that others have written, where it is printed: one line, and nothing that a terminal obeys.
import { expect } from 'chai';
import { describe as saidOf } from '../../../src/ipam/decide.js';
import { IpamError } from '../../../src/ipam/errors.js';
import { plain, plainly } from '../../../src/ipam/plain.js';

describe('text from etcd', () => {
  it('has no control character and no line break any more, and is otherwise as it was', () => {
    expect(plain('a\u001b[31mb\u0000c\nd\u007fe\u0085f\u009bg\u2028h\u2029i')).to.equal(
      'a\ufffd[31mb\ufffdc\ufffdd\ufffde\ufffdf\ufffdg\ufffdh\ufffdi',
    );
    expect(plain('Grüße, 1 – ok')).to.equal('Grüße, 1 – ok');
  });

  it('is made so wherever it is in what a command shows', () => {
    const act = () => 1;
    const at = new Date(0);
    const shown = { rows: [{ name: 'a\nb', past: ['\u001b'], none: null, n: 1, act, at }], value: 7n };
    const plainRows = [{ name: 'a\ufffdb', past: ['\ufffd'], none: null, n: 1, act, at }];
    expect(plainly(shown)).to.deep.equal({ rows: plainRows, value: 7n });
  });

  it('is so in every refusal', () => {
    const claim = { kind: 'endpoint', name: 'web\u001b[2J\n', node: 'a', since: 'then', token: 't' } as const;
    expect(new IpamError('taken', saidOf(claim)).message).to.equal('is held by web\ufffd[2J\ufffd on a since then');
  });
});
