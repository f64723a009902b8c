// What the licences of the packages in a bundle ask for: their texts, beside it. Plain Node, since it runs before
// anything is built.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Each text once, under the names of the packages of whose files esbuild made the bundle, as its metafile tells. */
export function noticesOf({ inputs }) {
  const places = Object.keys(inputs).flatMap((file) => file.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/) ?? []);
  const named = new Map();
  for (const place of new Set(places.sort())) {
    const { name, version, license } = JSON.parse(readFileSync(join(place, 'package.json'), 'utf8'));
    const text = textsIn(place) || '\nNo text of it is in the package.\n';
    named.set(text, `${named.get(text) ?? ''}${name} ${version} (${license})\n`);
  }
  return [...named].map(([text, names]) => `\n${'='.repeat(80)}\n${names}${text}`).join('');
}

function textsIn(place) {
  const files = readdirSync(place).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
  return files.map((file) => `\n${readFileSync(join(place, file), 'utf8').replaceAll('\r', '').trim()}\n`).join('');
}
