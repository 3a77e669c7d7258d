import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';

/** The widget's folder (test.mjs). */
declare const HERE: string;

interface Manifest {
  loader: string;
  widget: string;
  files: Record<string, { raw: number; gz: number; br: number; sha256: string }>;
}

const KB = 1024;
const { buildInto } = (await import(`${HERE}/build.mjs`)) as { buildInto(dist: string): Promise<Manifest> };
const one = mkdtempSync(join(tmpdir(), 'bellhop-build-'));
const other = mkdtempSync(join(tmpdir(), 'bellhop-build-'));
const manifest = await buildInto(one);
await buildInto(other);
after(() => {
  rmSync(one, { recursive: true });
  rmSync(other, { recursive: true });
});

const gz = (name: string): number => gzipSync(readFileSync(join(one, name)), { level: 9 }).length;
const part = (name: string): string => manifest.widget.replace('/widget.', `/${name}.`);

test('two builds are byte-identical', () => {
  const names = (dist: string) =>
    readdirSync(dist, { recursive: true, withFileTypes: true }).filter((it) => it.isFile());
  assert.deepEqual(
    names(one).map(({ name }) => name),
    names(other).map(({ name }) => name),
  );
  for (const name of [...Object.keys(manifest.files), 'manifest.json']) {
    assert.ok(readFileSync(join(one, name)).equals(readFileSync(join(other, name))), name);
  }
});

test('the loader has at most 2 KB gz', () => {
  assert.ok(gz(manifest.loader) <= 2 * KB, `${gz(manifest.loader)} B`);
});

test('at most 15 KB gz are loaded until the first message is sent, in every language', () => {
  for (const language of ['en', 'de', 'ar']) {
    const sum = [manifest.loader, manifest.widget, part(language)].reduce((total, name) => total + gz(name), 0);
    assert.ok(sum <= 15 * KB, `${language}: ${sum} B`);
  }
});

test('each part that is loaded when used has at most 5 KB gz', () => {
  for (const name of Object.keys(manifest.files)) {
    if (name !== manifest.widget) assert.ok(gz(name) <= 5 * KB, `${name}: ${gz(name)} B`);
  }
});

test('every file lies there precompressed', () => {
  for (const [name, { raw }] of Object.entries(manifest.files)) {
    assert.equal(gunzipSync(readFileSync(join(one, `${name}.gz`))).length, raw);
    assert.ok(readFileSync(join(one, `${name}.br`)).length < raw);
  }
});

test('nothing in it is refused by a strict policy or Trusted Types', () => {
  for (const name of Object.keys(manifest.files)) {
    const text = readFileSync(join(one, name), 'utf8');
    for (const forbidden of [
      'innerHTML=',
      'outerHTML',
      'insertAdjacentHTML',
      'document.write',
      'eval(',
      'new Function',
      'createElement("style")',
      'cookie',
    ]) {
      // Preact carries a branch for dangerouslySetInnerHTML, which nothing here uses.
      if (forbidden === 'innerHTML=' && name === manifest.widget) continue;
      assert.ok(!text.includes(forbidden), `${name}: ${forbidden}`);
    }
  }
});

test('no source uses dangerouslySetInnerHTML', () => {
  for (const name of readdirSync(join(HERE, 'src'))) {
    if (/\.tsx?$/.test(name))
      assert.ok(!readFileSync(join(HERE, 'src', name), 'utf8').includes('dangerouslySet'), name);
  }
});
