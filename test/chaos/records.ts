// All that is in etcd now, by key relative to the prefix. Refuses to know what it says.
import type { EtcdMembers } from '../support/etcd-members.js';

export type Records = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export async function records(etcd: EtcdMembers): Promise<Records> {
  const prefix = '/etcd-ipam/';
  const { kvs = [] } = JSON.parse(await etcd.ctl('get', prefix, '--prefix', '-w', 'json')) as {
    kvs?: { key: string; value: string }[];
  };
  const text = (encoded: string) => Buffer.from(encoded, 'base64').toString();
  return Object.fromEntries(kvs.map(({ key, value }) => [text(key).slice(prefix.length), JSON.parse(text(value))]));
}
