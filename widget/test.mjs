// Bundles the tests (the sources are TypeScript) and runs them with Node's own runner.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'bellhop-widget-test-'));
const entryPoints = [join(here, '../gateway/client/tests'), join(here, 'tests')].flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(folder, name)),
);
await build({
  entryPoints,
  outdir: out,
  outbase: join(here, '..'),
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  jsxFactory: 'h',
  jsxFragment: 'Fragment',
  external: ['*/build.mjs'],
  nodePaths: [join(here, 'node_modules')],
  define: { HERE: JSON.stringify(here) },
});
const files = readdirSync(out, { recursive: true }).map((name) => join(out, String(name)));
const { status } = spawnSync(process.execPath, ['--test', ...files.filter((name) => name.endsWith('.test.mjs'))], {
  stdio: 'inherit',
});
rmSync(out, { recursive: true });
process.exit(status ?? 1);
