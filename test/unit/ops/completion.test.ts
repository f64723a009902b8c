// What bash completes, by bash itself; the other shells' text.
import { expect } from 'chai';
import { run } from '../../support/process.js';
import { PROGRAM } from '../../support/program.js';

const printed = (shell: string) => run(process.execPath, [...PROGRAM, 'completion', shell]);

describe('completion', function () {
  this.timeout(60_000);

  it('in bash: commands, their options, and the values of one', async () => {
    const { stdout: script } = await printed('bash');
    const completed = async (...words: string[]) => {
      const ask = `COMP_WORDS=(etcd-ipam ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _etcd_ipam; echo "\${COMPREPLY[@]}"`;
      return (await run('bash', ['-c', `${script}\n${ask}`])).stdout.trim().split(' ');
    };
    expect(await completed('re')).to.include.members(['release', 'resume']);
    expect(await completed('wat')).to.deep.equal(['watch']);
    expect(await completed('release', '--y')).to.deep.equal(['--yes']);
    expect(await completed('claims', '--kind', 'en')).to.deep.equal(['endpoint']);
    expect(await completed('completion', '')).to.deep.equal(['bash', 'zsh', 'fish']);
    expect(await completed('release', '--space', '')).to.deep.equal(['']);
  });

  it('in zsh and fish names every command with what it is for', async () => {
    const [zsh, fish] = [(await printed('zsh')).stdout, (await printed('fish')).stdout];
    expect(zsh).to.match(/^#compdef etcd-ipam\n/);
    expect(zsh).to.match(/^ {4}'watch:what changes, as it happens, until Ctrl-C'$/m);
    expect(zsh).to.match(/^ {4}claims\) _arguments .*'--kind\[of that kind\]:value:\(endpoint unsure /m);
    expect(fish).to.match(
      /^complete -c etcd-ipam -n __fish_use_subcommand -f -a watch -d 'what changes, as it happens/m,
    );
    expect(fish).to.match(/^complete -c etcd-ipam -n '__fish_seen_subcommand_from release' -l yes -d /m);
    for (const shell of ['zsh', 'fish']) {
      const found = await run('sh', ['-c', `command -v ${shell}`]);
      if (found.code !== 0) continue;
      const input = shell === 'zsh' ? zsh : fish;
      expect((await run(shell, ['-n', '/dev/stdin'], { input })).code, shell).to.equal(0);
    }
  });
});
