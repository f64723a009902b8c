// Where the quickstart keeps things, for root and for others.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { socketPlace, stateFolder, writable } from '../../../src/quickstart/places.js';

const root = { uid: 0, home: '/root', folder: '/srv/etcd-ipam' };
const ann = { uid: 1000, home: '/home/ann', folder: '/home/ann/etcd-ipam' };

describe('the state of the quickstart', () => {
  it('is in /var/lib for root and below the home for others', () => {
    expect(stateFolder({}, root)).to.equal('/var/lib/etcd-ipam');
    expect(stateFolder({}, ann)).to.equal('/home/ann/.local/state/etcd-ipam');
  });

  it('is in XDG_STATE_HOME before all else, if that is absolute', () => {
    expect(stateFolder({ XDG_STATE_HOME: '/data' }, root)).to.equal('/data/etcd-ipam');
    expect(stateFolder({ XDG_STATE_HOME: '/data' }, ann)).to.equal('/data/etcd-ipam');
    expect(stateFolder({ XDG_STATE_HOME: 'data' }, ann)).to.equal('/home/ann/.local/state/etcd-ipam');
    expect(stateFolder({ XDG_STATE_HOME: '' }, root)).to.equal('/var/lib/etcd-ipam');
  });
});

describe('the socket of the quickstart', () => {
  const only =
    (...folders: string[]) =>
    (folder: string) =>
      folders.includes(folder);

  it('is where engines look, wherever that can be written', () => {
    expect(socketPlace({}, root, only('/run/docker/plugins'))).to.equal('/run/docker/plugins/etcd-ipam.sock');
  });

  it('is otherwise in XDG_RUNTIME_DIR, in the working directory, or beside the state', () => {
    const environment = { XDG_RUNTIME_DIR: '/run/user/1000' };
    const local = '/home/ann/etcd-ipam/.etcd-ipam';
    expect(socketPlace(environment, ann, only('/run/user/1000', local))).to.equal('/run/user/1000/etcd-ipam.sock');
    expect(socketPlace(environment, ann, only(local))).to.equal(`${local}/etcd-ipam.sock`);
    expect(socketPlace({}, ann, only('/run/user/1000', local))).to.equal(`${local}/etcd-ipam.sock`);
    expect(socketPlace(environment, ann, only())).to.equal('/home/ann/.local/state/etcd-ipam/etcd-ipam.sock');
  });

  it('is in a folder that does not exist yet, if that can be made', () => {
    const folder = mkdtempSync(join(tmpdir(), 'etcd-ipam-places-'));
    try {
      const place = socketPlace(
        {},
        { ...ann, folder: join(folder, 'not/yet') },
        (path) => path !== '/run/docker/plugins' && writable(path),
      );
      expect(place).to.equal(join(folder, 'not/yet/.etcd-ipam/etcd-ipam.sock'));
      expect(writable('/proc/1/not/yet')).to.equal(false);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
