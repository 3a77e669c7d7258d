// Builds dist/: the loader bellhop.js, hashed chunks in widget/assets, each precompressed, and manifest.json.
// The output depends on the sources and the locked packages only: two builds are byte-identical (tests/build.test.ts).
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build, transform } from 'esbuild';
import { minify as squeeze } from 'terser';

const here = dirname(fileURLToPath(import.meta.url));
const tokens = readFileSync(join(here, '../gateway/client/tokens.css'), 'utf8');
const values = new Map([...tokens.matchAll(/(--bh-[\w-]+):\s*([^;]+);/g)].map(([, name, value]) => [name, value]));

/** Colours that change with the workspace's accent stay variables; every other token is written out where it is used. */
const VARIABLE = /^--bh-(accent|own|on-own)$/;

/** `variables`: leave those as they are. `define`: begin with their values (the widget's first sheet does). */
function resolveTokens(css, file, variables, define) {
  const out = css.replace(/var\((--bh-[\w-]+)\)/g, (whole, name) => {
    const value = values.get(name);
    if (value === undefined) throw new Error(`${file}: ${name} is not a token`);
    return variables && VARIABLE.test(name) ? whole : value;
  });
  if (!define) return out;
  const defined = [...values].filter(([name]) => VARIABLE.test(name)).map(([name, value]) => `${name}:${value};`);
  return `:host{${defined.join('')}}${out}`;
}

/** A sheet becomes text for a constructed stylesheet: inline styles are not allowed under a strict CSP. */
const sheets = {
  name: 'sheets',
  setup(builder) {
    builder.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const css = resolveTokens(
        readFileSync(path, 'utf8'),
        path,
        !path.endsWith('bubble.css'),
        path.endsWith('widget.css'),
      );
      const { code } = await transform(css, { loader: 'css', minify: true, target: 'chrome123' });
      return { contents: code.trim(), loader: 'text', watchFiles: [path] };
    });
  },
};

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  target: 'es2022',
  legalComments: 'none',
  jsxFactory: 'h',
  jsxFragment: 'Fragment',
  format: 'esm',
  charset: 'utf8',
  write: false,
  logLevel: 'warning',
};

/** Stands for the build's hash until all contents are known. Eight characters, as the hash will have. */
const HASH = '%%HASH%%';

/** Modules that the widget exports to its lazy parts (src/widget.tsx), so that nothing is loaded twice. */
const SHARED = /^preact$|\/(avatar|opening)\.tsx$|\/(signal|id)\.ts$/;

/** A lazy part takes what the widget has from the widget itself instead of a chunk of its own: one request less. */
const fromWidget = {
  name: 'from-widget',
  setup(builder) {
    builder.onResolve({ filter: SHARED }, () => ({ path: `./widget.${HASH}.js`, external: true }));
  },
};

async function bundle(entry, options = {}) {
  const { outputFiles } = await build({ ...common, entryPoints: [join(here, 'src', entry)], ...options });
  const { code } = await squeeze(outputFiles[0].text, {
    ecma: 2020,
    module: options.format !== 'iife',
    compress: { passes: 3, unsafe_arrows: true, pure_getters: true, keep_fargs: false },
    format: { ascii_only: options.charset === 'ascii' },
  });
  return code;
}

/** The lazy parts: name in widget/assets, source. The widget finds them beside itself, under the same hash. */
const PARTS = {
  talk: 'talk.ts',
  past: 'past.tsx',
  custom: 'custom.ts',
  en: 'words/en.ts',
  de: 'words/de.ts',
  ar: 'words/ar.ts',
};

export async function buildInto(dist) {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(join(dist, 'widget/assets'), { recursive: true });

  const texts = { widget: await bundle('widget.tsx', { plugins: [sheets] }) };
  for (const [name, entry] of Object.entries(PARTS))
    texts[name] = await bundle(entry, { plugins: [fromWidget, sheets] });
  // One hash for all: parts name each other, so each one's name must follow from everyone's contents.
  const hash = createHash('sha256').update(JSON.stringify(texts)).digest('hex').slice(0, HASH.length);
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(dist, `widget/assets/${name}.${hash}.js`), text.replaceAll(HASH, hash));
  }
  // A classic script is read in its page's character set: ASCII is the same in all of them.
  const loader = await bundle('loader.ts', {
    format: 'iife',
    charset: 'ascii',
    define: { ASSETS: JSON.stringify('widget/assets/'), HASH: JSON.stringify(hash) },
    plugins: [sheets],
  });
  writeFileSync(join(dist, 'bellhop.js'), loader);

  const files = {};
  for (const name of readdirSync(dist, { recursive: true })
    .map(String)
    .filter((one) => one.endsWith('.js'))
    .sort()) {
    const raw = readFileSync(join(dist, name));
    const gz = gzipSync(raw, { level: 9 });
    const br = brotliCompressSync(raw, {
      params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: raw.length },
    });
    writeFileSync(join(dist, `${name}.gz`), gz);
    writeFileSync(join(dist, `${name}.br`), br);
    files[name] = {
      raw: raw.length,
      gz: gz.length,
      br: br.length,
      sha256: createHash('sha256').update(raw).digest('hex'),
    };
  }
  const manifest = { loader: 'bellhop.js', widget: `widget/assets/widget.${hash}.js`, files };
  writeFileSync(join(dist, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { files } = await buildInto(join(here, 'dist'));
  for (const [name, { raw, gz, br }] of Object.entries(files)) console.log(`${name}  ${raw} B, ${gz} B gz, ${br} B br`);
}
