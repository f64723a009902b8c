// Where etcd comes from: PATH, an earlier fetch, Debian's packages. apt and dpkg are played, nothing is fetched.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { fetchEtcd, installedEtcd, type Machine } from '../../../src/quickstart/etcd-program.js';
import { type Run, run } from '../../../src/quickstart/programs.js';

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);
const program = (file: string) => {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, '#!/bin/sh\n');
  chmodSync(file, 0o755);
};

describe('the etcd programs', () => {
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'etcd-ipam-program-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  describe('an installed etcd', () => {
    it('on PATH comes first, with etcdctl by its name', () => {
      for (const name of ['etcd', 'etcdctl']) {
        program(at('path', name));
        program(at('state/bin', name));
      }
      expect(installedEtcd(at('state'), at('path'))).to.deep.equal({ etcd: at('path/etcd'), etcdctl: 'etcdctl' });
    });

    it('of an earlier fetch is found again, with etcdctl by its path', () => {
      for (const name of ['etcd', 'etcdctl']) program(at('state/bin', name));
      const found = { etcd: at('state/bin/etcd'), etcdctl: at('state/bin/etcdctl') };
      expect(installedEtcd(at('state'), `${at('path')}:relative`)).to.deep.equal(found);
    });

    it('counts without etcdctl, and not when it is no program', () => {
      program(at('path/etcd'));
      expect(installedEtcd(at('state'), at('path'))).to.deep.equal({ etcd: at('path/etcd'), etcdctl: undefined });
      chmodSync(at('path/etcd'), 0o644);
      expect(installedEtcd(at('state'), at('path'))).to.equal(undefined);
      expect(installedEtcd(at('state'), undefined)).to.equal(undefined);
    });
  });

  describe('a fetched etcd', () => {
    /** apt-get knows the packages only after an update if `stale`. */
    function debian({ uid = 0, stale = false, broken = false } = {}) {
      for (const name of ['apt-get', 'dpkg-deb']) program(at('path', name));
      const asked: string[] = [];
      let known = !stale;
      const played: Run = async (command, args, options) => {
        asked.push([command, ...args].join(' ').replaceAll(folder, ''));
        if (command === 'apt-get' && args[0] === 'update') known = true;
        else if (command === 'apt-get') {
          if (!known) return { ok: false, output: 'Reading package lists...\nE: Unable to locate package etcd-server' };
          for (const name of args.slice(1)) writeFileSync(join(options!.cwd!, `${name}_3.4.deb`), '');
        } else if (command === 'dpkg-deb') {
          if (broken) return { ok: false, output: 'no room' };
          program(join(args[2]!, 'usr/bin', args[1]!.includes('client') ? 'etcdctl' : 'etcd'));
        } else return run(command, args, options);
        return { ok: true, output: '' };
      };
      const machine: Machine = { path: at('path'), uid, run: played };
      const said: string[] = [];
      return { asked, said, fetch: () => fetchEtcd(at('state'), (line) => said.push(line), machine) };
    }

    it('is unpacked below the state, and nothing is installed', async () => {
      const { asked, fetch } = debian();
      expect(await fetch()).to.deep.equal({ etcd: at('state/bin/etcd'), etcdctl: at('state/bin/etcdctl') });
      expect(asked.filter((line) => line.startsWith('apt-get'))).to.deep.equal([
        'apt-get download etcd-server etcd-client',
      ]);
      expect(existsSync(at('state/packages'))).to.equal(false);
    });

    it('is found after one apt-get update by root, where apt knew nothing', async () => {
      const { asked, fetch } = debian({ stale: true });
      expect((await fetch())?.etcd).to.equal(at('state/bin/etcd'));
      expect(asked.slice(0, 3)).to.deep.equal([
        'apt-get download etcd-server etcd-client',
        'apt-get update',
        'apt-get download etcd-server etcd-client',
      ]);
    });

    it('is not had by others where apt knows nothing, who read why', async () => {
      const { asked, said, fetch } = debian({ stale: true, uid: 1000 });
      expect(await fetch()).to.equal(undefined);
      expect(asked).to.have.length(1);
      expect(said.at(-1)).to.equal('That did not work: E: Unable to locate package etcd-server');
    });

    it('is not sought where there is no apt', async () => {
      const { asked, said, fetch } = debian();
      rmSync(at('path/apt-get'));
      expect(await fetch()).to.equal(undefined);
      expect({ asked, said }).to.deep.equal({ asked: [], said: [] });
    });

    it('that cannot be unpacked is an error, and leaves nothing', async () => {
      const { fetch } = debian({ broken: true });
      const error = await fetch().catch((thrown: Error) => thrown);
      expect((error as Error).message).to.equal('etcd-client_3.4.deb cannot be unpacked: no room');
      expect(existsSync(at('state/packages'))).to.equal(false);
    });
  });
});
