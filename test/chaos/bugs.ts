// Flaws that the driver could have, each one patch of its sources, and what has to notice it. Refuses to know how it is noticed.
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { run, runOrFail } from '../support/process.js';
import type { Kind } from './faults.js';

export interface Bug {
  readonly name: string;
  readonly file: string;
  /** Occurs exactly once. */
  readonly from: string;
  readonly to: string;
  /**
   * `lives`: lives of swarms and bridges on the double, by the replies; `rounds`: rounds on the double, by what they write;
   * `doubts`: containers on a double that loses answers, by both; `chaos`: runs of this harness, by all that it checks.
   */
  readonly by: 'lives' | 'rounds' | 'doubts' | 'chaos';
  /** For chaos: whether engines can be asked. What reconciliation heals must be looked for without. */
  readonly reconciled?: boolean;
  /** For chaos: the fault without which it does no harm. */
  readonly needs?: Kind;
}

export const BUGS: readonly Bug[] = [
  {
    name: 'a release that does not compare what it frees',
    file: 'ipam/holding.ts',
    from: 'const when = [{ key: claim, version: claim.version }, ...change.when];',
    to: 'const when = [...change.when];',
    by: 'lives',
  },
  {
    name: 'a grant that does not compare its address',
    file: 'ipam/claiming.ts',
    from: '{ key, version: plan.prior?.version ?? null }, ',
    to: '',
    by: 'lives',
  },
  {
    name: 'members of a pool as a set of nodes instead of joins',
    file: 'ipam/pools.ts',
    from: 'const join = this.#around.token();',
    to: "const join = Buffer.from(this.#self.node.padEnd(8)).toString('hex').slice(0, 16);",
    by: 'lives',
  },
  {
    name: "a deposed leader's late release that frees",
    file: 'ipam/releases.ts',
    from: 'const own = mine ?? (claim.record.join === pool.join ? claim : undefined);',
    to:
      'if (isGlobal(pool.space) && !mine) return { when: [], write: [{ remove: claimKey(pool, address) }] };\n' +
      'const own = mine ?? (claim.record.join === pool.join ? claim : undefined);',
    by: 'lives',
  },
  {
    name: 'an address that is claimed again twice in one epoch',
    file: 'ipam/decide.ts',
    from: "isOfFormerEpoch(claim, join)) return { kind: 'take', claim };",
    to: "claim.record.kind === 'swarm') return { kind: 'take', claim };",
    by: 'lives',
  },
  {
    name: 'a release that counts whichever node it comes from',
    file: 'ipam/releases.ts',
    from: 'return own.record.node === this.#self.node ? ',
    to: 'return own.record.node !== undefined ? ',
    by: 'lives',
  },
  {
    name: 'silence that is counted without regard to the pace that etcd sets',
    file: 'ipam/rounds.ts',
    from: 'when: [...stillSilent(node), pace],',
    to: 'when: [...stillSilent(node)],',
    by: 'rounds',
  },
  {
    name: 'silence of a node that has come back',
    file: 'ipam/silence.ts',
    from: 'return [{ key: nodeKey(name), version: found.version }, { none: sessionsOf(name) }];',
    to: 'return [{ key: nodeKey(name), version: found.version }];',
    by: 'rounds',
  },
  {
    name: 'a grant that does not compare its session',
    file: 'etcd/store.ts',
    from: "compare.push({ key, target: 'Mod', result: 'Equal', mod_revision: version });",
    to: '',
    by: 'chaos',
  },
  {
    name: 'a grant whose token nobody looks for when its answer was lost',
    file: 'etcd/store.ts',
    from: 'return change.witness ? ',
    to: 'return change.when.length < 0 ? ',
    by: 'chaos',
    reconciled: false,
  },
  {
    name: 'an undo that does not look for its token',
    file: 'ipam/undos.ts',
    from: 'if (mine?.record.token !== token) return undefined;',
    to: 'if (!mine) return undefined;',
    by: 'chaos',
  },
  {
    name: 'a release that frees what was given again meanwhile',
    file: 'ipam/releases.ts',
    from: 'if (!own || isNewer(own.version, known() ?? met)) return undefined;',
    to: 'if (!own) return undefined;',
    by: 'doubts',
  },
  {
    name: 'a doubt that is settled before its transaction can land no more',
    file: 'etcd/store.ts',
    from: 'if (!fault.traits.final) await this.#session.fence(by);',
    to: '',
    by: 'chaos',
    reconciled: false,
  },
  {
    name: 'a grant that does not compare the mark of a restored backup',
    file: 'etcd/store.ts',
    from: 'return witness !== undefined && !puttingBack;',
    to: 'return witness !== undefined && !puttingBack && false;',
    by: 'chaos',
    reconciled: true,
    needs: 'etcd restored from a backup',
  },
];

/** A copy of the sources with the flaw in it. */
export class Planted implements AsyncDisposable {
  private constructor(private readonly directory: string) {}

  static async plant({ file, from, to, name }: Bug): Promise<Planted> {
    const [root, directory] = [resolve(import.meta.dirname, '../..'), await mkdtemp(join(tmpdir(), 'planted-'))];
    for (const one of ['src', 'package.json', 'tsconfig.json'])
      await cp(join(root, one), join(directory, one), { recursive: true });
    await symlink(join(root, 'node_modules'), join(directory, 'node_modules'));
    const path = join(directory, 'src', file);
    const parts = (await readFile(path, 'utf8')).split(from);
    if (parts.length !== 2) throw new Error(`${file} holds ${parts.length - 1} times what "${name}" changes`);
    await writeFile(path, parts.join(to));
    return new Planted(directory);
  }

  /** A module of the copy, into this process. */
  load(file: string): Promise<unknown> {
    return import(pathToFileURL(join(this.directory, 'src', file)).href);
  }

  /** The program, for processes. */
  async build(): Promise<string> {
    const tsc = join(this.directory, 'node_modules/typescript/bin/tsc');
    const checks = ['--noUnusedLocals', 'false', '--noUnusedParameters', 'false'];
    const { code, stdout } = await run(process.execPath, [tsc, '-p', 'tsconfig.json', ...checks], {
      cwd: this.directory,
    });
    if (code !== 0) throw new Error(`the flawed sources do not compile: ${stdout}`);
    await runOrFail(process.execPath, ['src/bundle.mjs', 'dist'], { cwd: this.directory });
    return join(this.directory, 'dist/main.js');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}
