// etcd's room, the token of one endpoint: fetched once for all calls, kept until it is refused. Refuses to know what it is
// for, and never shows the password.

import type { Deadline } from '../ipam/store.js';
import { EtcdFault } from './fault.js';

export interface User {
  readonly name: string;
  /** Asked at each log-in, since it may have been changed. */
  readonly password: () => string;
}

/**
 * bcrypt makes a log-in dear to etcd; one that outlasts the attempt it began in goes on for those that come. Long, since one
 * that is given up costs etcd the same; a connection that is dead is noticed sooner.
 */
const LOG_IN_MS = 15_000;
/** Between two log-ins with one password that was refused. */
const REFUSED_PAUSE = 5_000;

export class LogIn {
  readonly #user: User;
  readonly #ask: (user: { name: string; password: string }, until: Deadline) => Promise<string>;
  /** Single flight: whoever needs a token while one is fetched waits for that one. Empty: etcd wants none. */
  #token: Promise<string> | undefined;
  /** What the log-in gave, until it is refused. */
  #known: string | undefined;
  #refused: { readonly password: string; readonly fault: EtcdFault; readonly until: Deadline } | undefined;

  constructor(user: User, ask: (user: { name: string; password: string }, until: Deadline) => Promise<string>) {
    this.#user = user;
    this.#ask = ask;
  }

  /** Rejects with a fault of the kind `refused` or `not_sent`: whatever became of the log-in, no request was sent. */
  token(): Promise<string> {
    if (this.#token === undefined) {
      const fetched = this.#logIn();
      this.#token = fetched;
      fetched.catch(() => {
        if (this.#token === fetched) this.#token = undefined;
      });
    }
    return this.#token;
  }

  /** etcd did not take that token: the first call to be told so forgets it, for all. */
  refuse(token: string): void {
    if (this.#known === token) this.#token = this.#known = undefined;
  }

  async #logIn(): Promise<string> {
    const now = performance.now();
    const password = this.#user.password();
    try {
      const before = this.#refused;
      if (before && before.password === password && now < before.until) throw before.fault;
      this.#refused = undefined;
      this.#known = await this.#ask({ name: this.#user.name, password }, now + LOG_IN_MS);
    } catch (error) {
      if (!(error instanceof EtcdFault)) throw error;
      if (error.reason !== 'authentication is not enabled') {
        if (error.traits.denied) this.#refused ??= { password, fault: error, until: now + REFUSED_PAUSE };
        const { kind, reason, endpoint, traits } = error;
        throw kind === 'unknown' ? new EtcdFault('not_sent', reason, endpoint, { ...traits, final: true }) : error;
      }
      this.#known = '';
    }
    return this.#known;
  }
}
