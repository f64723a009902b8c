// Bundles the page into the folder that is named: one script, one style sheet, the document and its icon. Plain Node, since
// it runs before anything is built.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
await build({
  entryPoints: ['index.html', 'icon.svg', 'page.css', 'page.tsx'].map((file) => join(here, file)),
  outdir: process.argv[2],
  bundle: true,
  minify: true,
  format: 'esm',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  target: ['es2022', 'chrome123', 'firefox120', 'safari17.5'],
  loader: { '.html': 'copy', '.svg': 'copy' },
  logLevel: 'warning',
});
