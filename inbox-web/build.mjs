// Builds dist/: index.html, and assets/<name>.<hash>.{js,css}, each with a .br and a .gz beside it, so that the
// gateway can embed and serve them without compressing anything itself.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const dist = `${here}dist`;

/** Writes a file and its two compressed forms. */
function write(path, bytes) {
  writeFileSync(path, bytes);
  writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(`${dist}/assets`, { recursive: true });

const result = await build({
  absWorkingDir: here,
  entryPoints: { inbox: 'src/main.tsx' },
  outdir: 'dist/assets',
  publicPath: '/assets',
  entryNames: '[name].[hash]',
  chunkNames: '[name].[hash]',
  assetNames: '[name].[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  target: ['chrome123', 'firefox128', 'safari17.5'],
  jsx: 'automatic',
  minify: true,
  legalComments: 'none',
  charset: 'utf8',
  define: { 'process.env.NODE_ENV': '"production"' },
  metafile: true,
  write: false,
});

for (const file of result.outputFiles) write(`${dist}/assets/${basename(file.path)}`, Buffer.from(file.contents));

const outputs = Object.entries(result.metafile.outputs);
const [script, entry] = outputs.find(([, output]) => output.entryPoint === 'src/main.tsx');
const style = entry.cssBundle;
// What the browser needs before anything can be shown is announced in the document's head, so that it is fetched
// in one round trip and not chunk by chunk.
const eager = entry.imports.filter((it) => it.kind === 'import-statement').map((it) => basename(it.path));

const html = readFileSync(`${here}src/index.html`, 'utf8')
  .replace('<!-- style -->', `<link rel="stylesheet" href="/assets/${basename(style)}">`)
  .replace('<!-- preload -->', eager.map((it) => `<link rel="modulepreload" href="/assets/${it}">`).join(''))
  .replace('<!-- script -->', `<script type="module" src="/assets/${basename(script)}"></script>`);
write(`${dist}/index.html`, Buffer.from(html));

const gz = (name) => gzipSync(readFileSync(`${dist}/assets/${name}`), { level: 9 }).length;
const first = [basename(script), ...eager].reduce((sum, it) => sum + gz(it), 0);
console.log(
  `inbox: first load ${(first / 1024).toFixed(1)} KB of JS, ${(gz(basename(style)) / 1024).toFixed(1)} KB of CSS, gzipped`,
);
