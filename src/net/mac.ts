// MAC addresses as Docker writes them. Knows text alone.
import { NetError } from './address.js';

const MAC_ADDRESS = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** In lower case, as engines send it. Throws a NetError. */
export function parseMac(text: string): string {
  const mac = text.toLowerCase();
  if (!MAC_ADDRESS.test(mac)) throw new NetError(mac, 'is not a MAC address such as 02:42:0a:42:00:02');
  return mac;
}
