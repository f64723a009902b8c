// etcd's room, the connection to one endpoint with the certificates of the moment. Refuses to know calls, tokens and files.

import { noop } from 'cockatiel';
import { Etcd3, type IOptions } from 'etcd3';
import type { Tls } from './tls.js';

const GRPC = {
  'grpc.max_receive_message_length': 64 << 20,
  'grpc.max_send_message_length': 4 << 20,
  'grpc.keepalive_time_ms': 5000, // etcd's minimum, see its --grpc-keepalive-min-time
  'grpc.keepalive_timeout_ms': 2000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0, // the http_proxy of an environment is for the web, and would be asked even for loopback
};

interface Opened {
  readonly etcd: Etcd3;
  readonly tls: Tls | undefined;
  inHand: number;
}

export class Channel {
  readonly #host: string;
  readonly #tls: () => Tls | undefined;
  #opened: Opened;
  #closed = false;

  /** `tls` returns another object exactly when there are other certificates. */
  constructor(host: string, tls: () => Tls | undefined) {
    this.#host = host;
    this.#tls = tls;
    this.#opened = this.#open(tls());
  }

  /** The certificates that are in use. */
  get tls(): Tls | undefined {
    return this.#opened.tls;
  }

  /** With other certificates there is a new connection; calls under way end on the one on which they began. */
  async use<T>(send: (etcd: Etcd3) => Promise<T>): Promise<T> {
    const tls = this.#tls();
    if (tls !== this.#opened.tls && !this.#closed) {
      const former = this.#opened;
      this.#opened = this.#open(tls);
      if (former.inHand === 0) former.etcd.close();
    }
    const opened = this.#opened;
    opened.inHand++;
    try {
      return await send(opened.etcd);
    } finally {
      opened.inHand--;
      if (opened !== this.#opened && opened.inHand === 0) opened.etcd.close();
    }
  }

  close(): void {
    this.#closed = true;
    this.#opened.etcd.close();
  }

  #open(tls: Tls | undefined): Opened {
    const options: IOptions = {
      hosts: [this.#host],
      grpcOptions: GRPC,
      faultHandling: { host: () => noop, global: noop },
    };
    if (tls) {
      options.credentials = {
        rootCertificate: tls.ca as Buffer, // undefined stands for the system's roots, which its type forgot
        ...(tls.key && { privateKey: tls.key }),
        ...(tls.cert && { certChain: tls.cert }),
      };
    }
    return { etcd: new Etcd3(options), tls, inHand: 0 };
  }
}
