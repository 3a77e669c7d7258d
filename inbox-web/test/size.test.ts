// What an agent's browser must load before it can show the inbox.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

declare const __INBOX__: string;
const dist = `${__INBOX__}dist`;
const built = existsSync(`${dist}/index.html`);

/** Bytes gzipped; from the brief. */
const MAX_INITIAL_JS = 120 * 1024;

test('the first load is at most 120 KB of script, gzipped', {
  skip: built ? false : 'run `npm run build` first',
}, () => {
  const html = readFileSync(`${dist}/index.html`, 'utf8');
  const scripts = [...html.matchAll(/\/assets\/([\w.-]+\.js)/g)].map((match) => match[1] ?? '');
  assert.ok(scripts.length > 0);
  const total = scripts.reduce((sum, name) => sum + gzipSync(readFileSync(`${dist}/assets/${name}`)).length, 0);
  assert.ok(total <= MAX_INITIAL_JS, `${total} bytes`);
});

test('the page holds no inline script or style, and each file is there compressed', {
  skip: built ? false : 'run `npm run build` first',
}, () => {
  const html = readFileSync(`${dist}/index.html`, 'utf8');
  assert.doesNotMatch(html, /<style|style=|<script(?![^>]*\bsrc=)|\son\w+=/);
  const files = readdirSync(`${dist}/assets`).filter((name) => /\.(js|css)$/.test(name));
  for (const name of files) {
    assert.match(name, /^[\w-]+\.[A-Z0-9]{8}\.(js|css)$/);
    assert.ok(existsSync(`${dist}/assets/${name}.br`) && existsSync(`${dist}/assets/${name}.gz`), name);
  }
});
