// Bundles the page into the folder that is named: one script, one style sheet, the document and its icon. Plain Node, since
// it runs before anything is built.
import { appendFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { noticesOf } from '../third-party.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const to = process.argv[2];
const { metafile } = await build({
  entryPoints: ['index.html', 'icon.svg', 'page.css', 'page.tsx'].map((file) => join(here, file)),
  outdir: to,
  bundle: true,
  minify: true,
  format: 'esm',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  target: ['es2022', 'chrome123', 'firefox120', 'safari17.5'],
  loader: { '.html': 'copy', '.svg': 'copy' },
  metafile: true,
  logLevel: 'warning',
});
// Behind those of the program's packages.
appendFileSync(join(to, '../THIRD-PARTY.txt'), noticesOf(metafile));
