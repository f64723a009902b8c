// Loopback ports: which is free, and whether an etcd answers on one. Knows nothing of processes.
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** The preferred one, or another that is free, with a sentence about why. */
export async function choosePort(preferred: number, say: (line: string) => void): Promise<number> {
  const port = await bindable(preferred);
  if (port !== undefined) return port;
  const other = (await bindable(0))!;
  const url = `http://127.0.0.1:${preferred}`;
  const who = (await answersHealthy(url))
    ? `an etcd answers there: set ETCD_ENDPOINTS=${url} to use it`
    : 'by something else';
  say(`Port ${preferred} is taken (${who}), so this etcd listens on port ${other}`);
  return other;
}

async function bindable(port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined;
    throw error;
  } finally {
    server.close();
  }
}

/**
 * The timer keeps the process alive, which AbortSignal.timeout does not: where the port resets connections, as Docker's
 * does until etcd listens behind it, fetch may stay undecided with nothing open, and Node then exits with 13.
 */
export async function answersHealthy(url: string): Promise<boolean> {
  const given = new AbortController();
  const timer = setTimeout(() => given.abort(), 1_000);
  try {
    const reply = await fetch(`${url}/health`, { signal: given.signal });
    return ((await reply.json()) as { health?: unknown }).health === 'true';
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
