// What the operators' port has beside health and metrics: the page, its JSON API and the events. Puts its own room together;
// refuses to know where it is served.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import Router from '@koa/router';
import type { Middleware } from 'koa';
import { type Asked, apiOf, openApiOf } from './api.js';
import { type Heard, Listeners } from './events.js';
import { guarded } from './guard.js';

export type Shown = Asked & Heard;

export interface Web {
  /** In the order in which a request meets them. `host`: where the port is. */
  middleware(host: string): Middleware[];
  close(): void;
}

/** In dist also while the sources run: the page is bundled by the build. */
const PAGE = new URL('../../dist/page/', import.meta.url);

export function webOf(shown: Shown, page: URL = PAGE): Web {
  const listeners = new Listeners(shown);
  const events = new Router().get('/api/v1/events', (context) => {
    const last = context.get('Last-Event-ID');
    context.respond = false;
    if (listeners.add(context.res, /^-?\d{1,40}$/.test(last) ? last : undefined)) return;
    context.respond = true;
    context.status = 503;
    context.set('Retry-After', '10');
    context.body = { problem: 'too many listen' };
  });
  const routers = [events, apiOf(shown), openApiOf(shown.version), pageOf(page)];
  return {
    middleware: (host) => [guarded(host), ...routers.flatMap(middlewareOf)],
    close: () => listeners.close(),
  };
}

/** Koa's own type knows no router. */
function middlewareOf(router: Router): Middleware[] {
  return [router.routes() as unknown as Middleware, router.allowedMethods() as unknown as Middleware];
}

/** Files as they were when the process started; `/` is index.html. */
function pageOf(folder: URL): Router {
  const router = new Router();
  for (const name of filesOf(folder)) {
    const body = readFileSync(new URL(name, folder));
    const tag = createHash('sha256').update(body).digest('base64url').slice(0, 16);
    router.get(name === 'index.html' ? '/' : `/${name}`, (context) => {
      context.type = extname(name);
      context.set('Cache-Control', 'no-cache');
      context.etag = tag;
      context.status = 200;
      if (context.fresh) context.status = 304;
      else context.body = body;
    });
  }
  return router;
}

function filesOf(folder: URL): string[] {
  try {
    return readdirSync(folder).filter((name) => !name.endsWith('.map'));
  } catch {
    // Run from sources that were never built: the API is there all the same.
    return [];
  }
}
