import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { bootId, instanceId, machineId } from '../../../src/etcd/identity.js';
import { type Identity, refusalOf, type Seen } from '../../../src/etcd/membership.js';

describe('identity', () => {
  let dir: string;
  const file = (name: string, text?: string) => {
    if (text !== undefined) writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'etcd-ipam-'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('takes the machine id from the first file that has one', () => {
    const files = [file('missing'), file('empty', '\n'), file('first-boot', 'uninitialized\n'), file('good', 'abc\n')];
    expect(machineId(undefined, files)).to.equal('abc');
    expect(machineId('', files)).to.equal('abc');
    expect(machineId('configured', files)).to.equal('configured');
  });

  it('says which files were tried and what to set', () => {
    const files = [file('missing'), file('empty', '')];
    expect(() => machineId(undefined, files)).to.throw(
      `no machine id in ${files[0]} or ${files[1]}: set IPAM_MACHINE_ID`,
    );
    expect(() => bootId(file('missing'))).to.throw(`no boot id in ${files[0]}`);
  });

  it('reads this kernel’s boot id, and makes a new instance id each time', () => {
    expect(bootId()).to.match(/^[0-9a-f-]{36}$/);
    expect(instanceId()).to.match(/^[0-9a-f]{16}$/);
    expect(instanceId()).to.not.equal(instanceId());
  });
});

describe('node name', () => {
  const self: Identity = { node: 'web', instance: 'i1', machine: 'm1', boot: 'b1' };
  const seen = (machine: string, boot: string, silence = 0, host?: string): Seen => ({
    key: '/etcd-ipam/nodes/web',
    version: '7',
    record: { machine, boot, silence, since: '2024-01-01T00:00:00Z', token: 't', ...(host && { host }) },
  });

  const reasonOf = (...asked: Parameters<typeof refusalOf>) => refusalOf(...asked)?.reason;

  it('is ours when free, ours already, or ours from an earlier boot without a session', () => {
    expect(reasonOf(self, undefined, [])).to.equal(undefined);
    expect(reasonOf(self, seen('m1', 'b1'), [seen('m1', 'b1')])).to.equal(undefined);
    expect(reasonOf(self, seen('m1', 'b0', 9), [])).to.equal(undefined);
  });

  it('is refused while another machine has the record, or a session without one', () => {
    const text = 'node name web belongs to machine m2 since 2024-01-01T00:00:00Z';
    expect(reasonOf(self, seen('m2', 'b1'), [])).to.contain(text);
    expect(reasonOf(self, undefined, [seen('m2', 'b1')])).to.contain(text);
    expect(reasonOf(self, seen('m1', 'b1'), [seen('m2', 'b2')])).to.contain(text);
  });

  it('passes on after enough silence, but never past a living session', () => {
    expect(reasonOf(self, seen('m2', 'b2', 9), [], [], 10)).to.contain('belongs to machine m2');
    expect(reasonOf(self, seen('m2', 'b2', 10), [], [], 10)).to.equal(undefined);
    expect(reasonOf(self, seen('m2', 'b2', 10), [seen('m2', 'b2')], [], 10)).to.contain('belongs to machine m2');
  });

  it('is refused while a session of another boot lives, which a reboot and a clone both explain', () => {
    expect(reasonOf(self, seen('m1', 'b1'), [seen('m1', 'b1'), seen('m1', 'b0', 0, 'db')])).to.equal(
      'node name web is in use by a session of another boot (b0) since 2024-01-01T00:00:00Z (host db): after a reboot it ' +
        'ends by itself within IPAM_SESSION_TTL; if it stays, another machine has the machine id of this one, and one of ' +
        'the two needs an IPAM_NODE and an IPAM_MACHINE_ID of its own',
    );
  });

  it('is refused in words that name the machine, its host if that lives, and both ways out', () => {
    const id = '0123456789abcdef0123456789abcdef';
    const words = (host = '') =>
      `node name web belongs to machine 01234567… since 2024-01-01T00:00:00Z${host}: set IPAM_NODE to a name no other ` +
      'host has, or, if that machine is gone for good, etcd-ipam evict web';
    expect(reasonOf(self, seen(id, 'b'), [])).to.equal(words());
    expect(reasonOf(self, seen(id, 'b'), [seen(id, 'b', 0, 'db')])).to.equal(words(' (host db)'));
    expect(reasonOf(self, undefined, [seen(id, 'b', 0, 'db')])).to.equal(
      'node name web belongs to machine 01234567… since 2024-01-01T00:00:00Z (host db): set IPAM_NODE to a name no other host has',
    );
  });

  it('belongs to a clone whose session was seen to be renewed, also without one, until it is gone', () => {
    const words =
      'node name web belongs to a machine with the machine id of this one (m1, in boot b0) since 2024-01-01T00:00:00Z: set ' +
      'IPAM_NODE and IPAM_MACHINE_ID to what no other host has, or, if that machine is gone for good, etcd-ipam evict web';
    expect(reasonOf(self, seen('m1', 'b0'), [seen('m1', 'b0')], ['b0'])).to.equal(words);
    expect(reasonOf(self, seen('m1', 'b0', 9), [], ['b0'], 10)).to.equal(words);
    expect(reasonOf(self, seen('m1', 'b0', 10), [], ['b0'], 10)).to.equal(undefined);
    expect(reasonOf(self, seen('m1', 'b1'), [], ['b0'])).to.equal(undefined);
    expect(reasonOf(self, undefined, [], ['b0'])).to.equal(undefined);
  });

  it('is worth waiting for only where a session of the same machine is in the way', () => {
    expect(refusalOf(self, seen('m1', 'b0'), [seen('m1', 'b0')])?.endsByItself).to.equal(true);
    expect(refusalOf(self, seen('m1', 'b0'), [seen('m1', 'b0')], ['b0'])?.endsByItself).to.equal(false);
    expect(refusalOf(self, seen('m2', 'b0'), [seen('m1', 'b0')])?.endsByItself).to.equal(false);
    expect(refusalOf(self, seen('m1', 'b0'), [seen('m1', 'b0'), seen('m2', 'b0')])?.endsByItself).to.equal(false);
  });
});
