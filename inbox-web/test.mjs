// Bundles each test file with esbuild (Node 20 does not read TypeScript) and runs them with node's own runner.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'bellhop-inbox-test-'));
const files = readdirSync(join(here, 'test')).filter((it) => it.endsWith('.test.ts'));
try {
  await build({
    absWorkingDir: here,
    entryPoints: files.map((it) => `test/${it}`),
    outdir: out,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    jsx: 'automatic',
    define: { __INBOX__: JSON.stringify(here) },
    logLevel: 'warning',
  });
  const run = spawnSync(process.execPath, ['--test', ...files.map((it) => join(out, it.replace(/\.ts$/, '.mjs')))], {
    stdio: 'inherit',
  });
  process.exitCode = run.status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
