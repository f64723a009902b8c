// All that is in etcd now, by key relative to the prefix, but for the past where a lease ends it. Refuses to know what it says.
import type { EtcdMembers } from '../support/etcd-members.js';

export type Records = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export async function records(etcd: EtcdMembers): Promise<Records> {
  const prefix = '/etcd-ipam/';
  const { kvs = [] } = JSON.parse(await etcd.ctl('get', prefix, '--prefix', '-w', 'json')) as {
    kvs?: { key: string; value: string; lease?: number }[];
  };
  const text = (encoded: string) => Buffer.from(encoded, 'base64').toString();
  return Object.fromEntries(
    kvs
      .map(({ key, value, lease = 0 }) => ({ name: text(key).slice(prefix.length), value, lease }))
      .filter(({ name, lease }) => !(name.startsWith('history/') && lease > 0))
      .map(({ name, value }) => [name, JSON.parse(text(value))]),
  );
}
