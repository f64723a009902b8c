// Who may import whom. The rules are here and nowhere else, so that a change of them is a decision.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const src = resolve(dirname(fileURLToPath(import.meta.url)), '../../src');

/** Rooms a room may import besides itself; whatever is not listed here may import all. */
const MAY: Readonly<Record<string, readonly string[]>> = {
  net: [],
  process: [],
  ipam: ['net'],
  etcd: ['ipam', 'net'],
  docker: ['net'],
  engine: ['ipam', 'net'],
  ops: ['ipam', 'net'],
  telemetry: ['ipam'],
  web: ['ipam', 'net', 'ops'],
  page: [],
};

/** Files that may import more than their room. */
const ALSO: Readonly<Record<string, readonly string[]>> = {
  'docker/driver.ts': ['ipam'],
  'docker/asks.ts': ['ipam'],
};

/** Single files of other rooms that a room may import. */
const FILES: Readonly<Record<string, readonly string[]>> = {
  docker: ['process/socket.ts'],
  page: ['web/shapes.ts'],
};

/** Packages that only these files may import. */
const PACKAGES: readonly (readonly [RegExp, RegExp])[] = [
  [/^(etcd3|@grpc\/.*)$/, /^etcd\/(client|endpoint|channel)\.ts$/],
  [/^(koa|@koa\/.*)$/, /^(docker|telemetry|web)\//],
  [/^prom-client$/, /^telemetry\//],
  [/^preact(\/.*)?$/, /^page\//],
];

const ENVIRONMENT = /^(config(\.ts|\/)|main\.ts|quickstart(\.ts|\/))/;

interface Source {
  readonly file: string;
  readonly text: string;
  readonly imports: readonly string[];
}

const sources: readonly Source[] = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.tsx?$/.test(file) && !file.endsWith('.d.ts'))
  .sort()
  .map((file) => {
    const text = readFileSync(join(src, file), 'utf8');
    return { file, text, imports: importsOf(text) };
  });

function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\1/g)].map((match) => match[2]!);
}

function roomOf(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : file;
}

/** What breaks a rule, one line each. */
function offences(all: readonly Source[]): string[] {
  const found: string[] = [];
  for (const { file, text, imports } of all) {
    const room = roomOf(file);
    for (const name of imports) {
      if (name.startsWith('.')) {
        const target = relative(src, resolve(src, dirname(file), name)).replace(/\.js$/, '.ts');
        const may = MAY[room];
        const allowed =
          !may ||
          [room, ...may, ...(ALSO[file] ?? [])].includes(roomOf(target)) ||
          (FILES[room] ?? []).includes(target);
        if (!allowed) found.push(`${file} imports ${target}`);
      } else {
        const rule = PACKAGES.find(([packages]) => packages.test(name));
        if (rule && !rule[1].test(file)) found.push(`${file} imports ${name}`);
      }
    }
    if (/\bprocess\.env\b/.test(text) && !ENVIRONMENT.test(file)) found.push(`${file} reads process.env`);
  }
  return found;
}

describe('rooms', () => {
  it('import only what they may', () => {
    expect(sources.length).to.be.greaterThan(25);
    expect(offences(sources)).to.deep.equal([]);
  });

  it('hold everything but main, serve and the like', () => {
    const rooms = new Set(sources.map(({ file }) => roomOf(file)));
    for (const room of ['net', 'ipam', 'etcd', 'docker', 'engine', 'process']) expect([...rooms]).to.include(room);
  });

  it('never read a clock or draw lots where decisions are made', () => {
    const clocks = /\bDate\.now\b|\bnew Date\b|\bMath\.random\b|\bperformance\.now\b|\bsetTimeout\b|\bsetInterval\b/;
    const offenders = sources.filter(
      ({ file, text }) => /^(ipam|net)\//.test(file) && clocks.test(withoutComments(text)),
    );
    expect(offenders.map(({ file }) => file)).to.deep.equal([]);
  });

  it('are told from one another by this test: what breaks a rule is named', () => {
    const file = (name: string, text: string): Source => ({ file: name, text, imports: importsOf(text) });
    expect(
      offences([
        file('net/a.ts', "import { x } from '../ipam/errors.js';"),
        file('ipam/a.ts', "import type { x } from '../etcd/store.js';\nimport { y } from './b.js';"),
        file('ipam/b.ts', "import { Etcd3 } from 'etcd3';\nexport * from '../net/address.js';"),
        file('etcd/store.ts', "import {\n  x,\n} from '@grpc/grpc-js';\nconst y = await import('../docker/app.js');"),
        file('etcd/client.ts', "import { Etcd3 } from 'etcd3';"),
        file('docker/app.ts', "import { IpamError } from '../ipam/errors.js';\nimport Koa from 'koa';"),
        file('docker/driver.ts', "import { IpamError } from '../ipam/errors.js';"),
        file('docker/server.ts', "import '../process/socket.js';\nimport '../process/signals.js';"),
        file('log.ts', 'const level = process.env.LOG_LEVEL;'),
        file('config/env-file.ts', 'const level = process.env.LOG_LEVEL;'),
        file('main.ts', "import Koa from 'koa';\nimport { serve } from './docker/index.js';"),
      ]),
    ).to.deep.equal([
      'net/a.ts imports ipam/errors.ts',
      'ipam/a.ts imports etcd/store.ts',
      'ipam/b.ts imports etcd3',
      'etcd/store.ts imports @grpc/grpc-js',
      'etcd/store.ts imports docker/app.ts',
      'docker/app.ts imports ipam/errors.ts',
      'docker/server.ts imports process/signals.ts',
      'log.ts reads process.env',
      'main.ts imports koa',
    ]);
  });
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
}
