// The description of the JSON API, made of the schemas that its answers are made by. Knows no store.
import { z } from 'zod';
import {
  Addresses,
  Blocks,
  Changes,
  Claims,
  Nodes,
  Overview,
  PoolAlone,
  Pools,
  Problem,
  Search,
  Who,
} from './shapes.js';

const schemas = { Problem, Overview, Pools, PoolAlone, Claims, Addresses, Blocks, Nodes, Who, Search, Changes };
type Name = keyof typeof schemas;

const POOL = '/api/v1/pools/{space}/{network}/{length}';
const part = (name: string, description: string, schema: object = { type: 'string' }) => ({
  ...{ name, in: 'path', required: true, description, schema },
});
const asked = (name: string, description: string, schema: object = { type: 'string' }, required = false) => ({
  ...{ name, in: 'query', required, description, schema },
});
const poolParts = [
  part('space', '`local`, `global`, `local.blue` …'),
  part('network', 'of the CIDR, before its slash'),
  part('length', 'of the CIDR, behind its slash', { type: 'integer', minimum: 0, maximum: 128 }),
];
const of = asked('of', 'a block (CIDR) of the pool; without, all of it');
const after = asked('after', 'what `next` was in the answer before');

const PATHS: Readonly<Record<string, readonly [summary: string, answer: Name, parameters: readonly object[]]>> = {
  '/api/v1/overview': ['the host that answers, and what is wrong', 'Overview', []],
  '/api/v1/pools': ['all pools, how full they are and where that is heading', 'Pools', []],
  [POOL]: ['one pool', 'PoolAlone', poolParts],
  [`${POOL}/claims`]: [
    'its claims, a page at a time',
    'Claims',
    [
      ...poolParts,
      after,
      asked('limit', 'at most 1,000', { type: 'integer', minimum: 1, maximum: 1_000, default: 200 }),
    ],
  ],
  [`${POOL}/addresses`]: [
    'its claims in columns, up to 17,000 at a time; of a block of up to 65,536 addresses',
    'Addresses',
    [...poolParts, of, after],
  ],
  [`${POOL}/blocks`]: ['how many claims there are in each of up to 1,024 parts', 'Blocks', [...poolParts, of]],
  '/api/v1/nodes': ['all hosts, and which are alive, silent or gone', 'Nodes', []],
  '/api/v1/who/{address}': ['who has an address, in each space that has a pool of it', 'Who', [part('address', '')]],
  '/api/v1/search': [
    'claims, nodes and pools by address, name, MAC or node',
    'Search',
    [
      asked(
        'q',
        'of names and nodes any part, of addresses and MACs the beginning',
        { type: 'string', minLength: 1 },
        true,
      ),
      asked('limit', 'of claims', { type: 'integer', minimum: 1, maximum: 500, default: 50 }),
      asked('space', 'with `pool`: claims of that pool only'),
      asked('pool', 'CIDR'),
    ],
  ],
};

export function openApi(version: string): object {
  const answers = (name: Name) => ({ 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } });
  const failures = Object.fromEntries(
    [
      ['400', 'what was asked cannot be understood'],
      ['404', 'there is no such pool'],
      ['503', 'etcd does not answer, or too many ask at once'],
    ].map(([status, description]) => [status, { description, content: answers('Problem') }]),
  );
  const paths = Object.entries(PATHS).map(([path, [summary, answer, parameters]]) => [
    path,
    {
      get: {
        summary,
        parameters,
        responses: { '200': { description: summary, content: answers(answer) }, ...failures },
      },
    },
  ]);
  return {
    openapi: '3.1.0',
    info: {
      ...{ title: 'etcd-ipam', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      description: 'Read only. What one host of a cluster shows of all of it.',
    },
    paths: { ...Object.fromEntries(paths), '/api/v1/events': { get: EVENTS } },
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, schemaOf(schema)])),
    },
  };
}

const EVENTS = {
  summary: 'what changes, as server-sent events',
  description: [
    'Event `changes`: data as in the schema Changes; its id is the version up to which all was told.',
    'Event `reset`: some of it was missed, so all is to be read anew; data is `{"why": "…"}`.',
    'Event `etcd`: data is `{"away": "…"}` when etcd does not answer, `{"away": null}` when it does again.',
    'A client that was cut off names the last id it had as Last-Event-ID, as browsers do. One that does not read is dropped.',
  ].join(' '),
  parameters: [{ name: 'Last-Event-ID', in: 'header', schema: { type: 'string' } }],
  responses: {
    '200': { description: 'a stream', content: { 'text/event-stream': { schema: { type: 'string' } } } },
    '503': { description: 'too many listen' },
  },
};

function schemaOf(shape: z.ZodType): object {
  const { $schema, ...schema } = z.toJSONSchema(shape, { io: 'output' });
  return schema;
}
