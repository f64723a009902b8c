// One GET over the engine's Unix socket, in bounded time and size. Knows HTTP, not what is asked for.
import { request } from 'node:http';

/** More than the largest answer: a network of a full /16 has some 13 MB of endpoints. */
const MOST_BYTES = 64 * 1024 * 1024;

export class EngineApi {
  readonly #socketPath: string;
  readonly #timeoutMs: number;

  /** `timeoutMs` is for a whole answer: an engine that starts accepts connections and says nothing. */
  constructor(socketPath: string, timeoutMs: number) {
    this.#socketPath = socketPath;
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects on anything but 200 and JSON. */
  async get(path: string): Promise<unknown> {
    const { status, text } = await this.#fetch(path);
    if (status !== 200) throw new Error(`GET ${path} of the engine answered ${status}: ${text.slice(0, 200).trim()}`);
    try {
      return JSON.parse(text) as unknown;
    } catch (cause) {
      throw new Error(`GET ${path} of the engine answered what is no JSON: ${text.slice(0, 60)}`, { cause });
    }
  }

  #fetch(path: string): Promise<{ status: number | undefined; text: string }> {
    const signal = AbortSignal.timeout(this.#timeoutMs);
    return new Promise((resolve, reject) => {
      const failed = (error: Error) =>
        reject(
          signal.aborted
            ? new Error(`GET ${path} of the engine was not answered within ${this.#timeoutMs} ms`)
            : new Error(`GET ${path} of the engine failed: ${error.message}`),
        );
      // A connection of its own each time, so that none is left open that would keep an engine from stopping.
      const options = { socketPath: this.#socketPath, path, signal, agent: false, headers: { host: 'docker' } };
      const call = request(options, (reply) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        reply.on('error', failed);
        reply.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          bytes += chunk.length;
          if (bytes > MOST_BYTES) reply.destroy(new Error(`more than ${MOST_BYTES} bytes`));
        });
        reply.on('end', () => resolve({ status: reply.statusCode, text: Buffer.concat(chunks).toString('utf8') }));
      });
      call.on('error', failed);
      call.end();
    });
  }
}
