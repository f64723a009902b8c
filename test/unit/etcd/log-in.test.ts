import { expect } from 'chai';
import { EtcdFault } from '../../../src/etcd/fault.js';
import { LogIn } from '../../../src/etcd/log-in.js';

const WRONG = new EtcdFault('refused', 'wrong user name or password', 'a:1', {
  final: true,
  elsewhere: false,
  denied: true,
});
const OFF = new EtcdFault('refused', 'authentication is not enabled', 'a:1', { final: true, elsewhere: false });
const CUT = new EtcdFault('unknown', 'the connection was cut', 'a:1', { final: false, elsewhere: true });

/** What etcd answers to one log-in after the other; the last one over and over. */
function scripted(...answers: (string | EtcdFault)[]) {
  const asked: string[] = [];
  let password = 'first';
  const ask = async (user: { name: string; password: string }) => {
    asked.push(user.password);
    const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
    if (typeof answer === 'string') return answer;
    throw answer;
  };
  const logIn = new LogIn({ name: 'ipam', password: () => password }, ask);
  return {
    logIn,
    asked,
    change: (to: string) => {
      password = to;
    },
  };
}
const end = (promise: Promise<string>) => promise.catch((fault: EtcdFault) => `${fault.kind}: ${fault.reason}`);

describe('log-in to etcd', () => {
  it('is one for all who wait, and one more for all whose token was refused', async () => {
    const { logIn, asked } = scripted('t1', 't2');
    expect(await Promise.all([logIn.token(), logIn.token()])).to.deep.equal(['t1', 't1']);
    for (let call = 0; call < 3; call++) logIn.refuse('t1');
    const again = [logIn.token(), logIn.token()];
    logIn.refuse('t1');
    expect(await Promise.all(again)).to.deep.equal(['t2', 't2']);
    logIn.refuse('t1');
    expect(await logIn.token()).to.equal('t2');
    expect(asked).to.have.length(2);
  });

  it('is not tried again for a while with a password that was refused, and at once with another', async () => {
    const { logIn, asked, change } = scripted(WRONG, 't1');
    for (let call = 0; call < 4; call++)
      expect(await end(logIn.token())).to.equal('refused: wrong user name or password');
    expect(asked).to.deep.equal(['first']);
    change('second');
    expect(await logIn.token()).to.equal('t1');
    expect(asked).to.deep.equal(['first', 'second']);
  });

  it('that got no answer has sent no request, and is tried again', async () => {
    const { logIn } = scripted(CUT, 't1');
    expect(await end(logIn.token())).to.equal('not_sent: the connection was cut');
    expect(await logIn.token()).to.equal('t1');
  });

  it('is not needed where etcd knows no users', async () => {
    const { logIn, asked } = scripted(OFF);
    expect([await logIn.token(), await logIn.token()]).to.deep.equal(['', '']);
    expect(asked).to.have.length(1);
  });
});
