// What an engine accepts as a reply to each call, from Docker's side of the wire only; knows nothing of src.
import { isIP } from 'node:net';
import { z } from 'zod';

const cidr = z.string().refine((text) => {
  const [address = '', bits = '', ...rest] = text.split('/');
  const family = isIP(address);
  return family !== 0 && rest.length === 0 && /^(0|[1-9]\d*)$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}, 'an address, a slash and a prefix length');

/** The host bits of an IPv4 network are zero. */
const network = cidr.refine((text) => {
  const [address = '', bits = ''] = text.split('/');
  if (isIP(address) !== 4) return true;
  const value = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  return value % 2 ** (32 - Number(bits)) === 0;
}, 'a masked network');

const strings = z.record(z.string(), z.string());

/** By path. Go's decoder would skip unknown members; a driver that sends some has misspelt one. */
export const REPLIES = {
  '/Plugin.Activate': z.strictObject({ Implements: z.tuple([z.literal('IpamDriver')]) }),
  '/IpamDriver.GetCapabilities': z.strictObject({
    RequiresMACAddress: z.boolean(),
    RequiresRequestReplay: z.boolean(),
  }),
  '/IpamDriver.GetDefaultAddressSpaces': z
    .strictObject({ LocalDefaultAddressSpace: z.string().min(1), GlobalDefaultAddressSpace: z.string().min(1) })
    .refine((spaces) => spaces.LocalDefaultAddressSpace !== spaces.GlobalDefaultAddressSpace, 'two different spaces'),
  '/IpamDriver.RequestPool': z.strictObject({ PoolID: z.string().min(1), Pool: network, Data: strings }),
  '/IpamDriver.ReleasePool': z.strictObject({}),
  '/IpamDriver.RequestAddress': z.strictObject({ Address: cidr, Data: strings }),
  '/IpamDriver.ReleaseAddress': z.strictObject({}),
} as const;

export type Path = keyof typeof REPLIES;

/** Every reply but 200: one line in `Err` and nothing else. */
export const FAILURE = z.strictObject({ Err: z.string().regex(/^[^\n]+$/) });
