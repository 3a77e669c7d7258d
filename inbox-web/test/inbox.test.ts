// The keyboard map, times, the log's lines, paths, words and settings' small rules.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Event } from '../../gateway/client/src/protocol.ts';
import { COMMANDS, commandOf, keycap, keysOf, type Pressed } from '../src/inbox/commands.ts';
import { GROUP_MS, itemsOf, type Told } from '../src/inbox/items.ts';
import { placeOf } from '../src/inbox/place.ts';
import { goodOrigin, inkOn } from '../src/pages/rules.ts';
import { brief, clock, day, urgency, waited } from '../src/time.ts';
import { ar } from '../src/words/ar.ts';
import { de } from '../src/words/de.ts';
import { en } from '../src/words/en.ts';
import { setCatalogue, t } from '../src/words.ts';

const press = (key: string, more: Partial<Pressed> = {}): Pressed => ({
  key,
  code: '',
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  isComposing: false,
  place: 'page',
  ...more,
});

test('no key means two commands, and every command can be reached', () => {
  const keys = COMMANDS.flatMap((command) => command.keys);
  assert.equal(new Set(keys).size, keys.length);
  for (const command of COMMANDS) {
    for (const key of command.keys) {
      const pressed = key.startsWith('Mod+') ? press(key.slice(4), { ctrlKey: true }) : press(key);
      assert.equal(commandOf(pressed), command.id);
    }
  }
});

test('plain keys belong to the field they are typed into; the palette opens from anywhere but a dialog', () => {
  for (const key of ['j', 'e', 'z', '?', 'ArrowDown']) {
    assert.equal(commandOf(press(key, { place: 'field' })), undefined);
    assert.equal(commandOf(press(key, { place: 'dialog' })), undefined);
  }
  assert.equal(commandOf(press('k', { ctrlKey: true, place: 'field' })), 'palette');
  assert.equal(commandOf(press('k', { metaKey: true })), 'palette');
});

test('arrows scroll what scrolls, letters still act there', () => {
  assert.equal(commandOf(press('ArrowDown', { place: 'scroller' })), undefined);
  assert.equal(commandOf(press('j', { place: 'scroller' })), 'next');
});

test('an input method, Alt and the browser’s own shortcuts are left alone', () => {
  assert.equal(commandOf(press('e', { isComposing: true })), undefined);
  assert.equal(commandOf(press('e', { altKey: true })), undefined);
  assert.equal(commandOf(press('r', { ctrlKey: true })), undefined);
  assert.equal(commandOf(press('a', { metaKey: true })), undefined);
});

test('without single-key shortcuts no letter, digit or mark acts; arrows and the palette do', () => {
  for (const key of ['j', 'K', 'e', 'z', '1', '?']) assert.equal(commandOf(press(key), false), undefined);
  assert.equal(commandOf(press('ت', { code: 'KeyJ' }), false), undefined);
  assert.equal(commandOf(press('ArrowDown'), false), 'next');
  assert.equal(commandOf(press('k', { ctrlKey: true }), false), 'palette');
  const left = COMMANDS.flatMap((command) => keysOf(command, false));
  assert.deepEqual(left, ['ArrowDown', 'ArrowUp', 'Mod+k']);
});

test('a layout with other letters uses the place of the key; capitals mean the same', () => {
  assert.equal(commandOf(press('ت', { code: 'KeyJ' })), 'next');
  assert.equal(commandOf(press('у', { code: 'KeyE' })), 'resolve');
  assert.equal(commandOf(press('E')), 'resolve');
  // On a German keyboard "z" is where others have "y": what is printed on the key counts.
  assert.equal(commandOf(press('z', { code: 'KeyY' })), 'undo');
});

test('keycaps are written as on the keyboard at hand', () => {
  assert.equal(keycap('Mod+k', true), '⌘K');
  assert.equal(keycap('Mod+k', false), 'Ctrl K');
  assert.equal(keycap('ArrowDown', false), '↓');
});

test('a wait is told by the second, then by hours and days, and never below zero', () => {
  setCatalogue('en', en);
  assert.equal(waited(-5_000), '0:00');
  assert.equal(waited(21_400), '0:21');
  assert.equal(waited(252_000), '4:12');
  assert.equal(waited(65 * 60_000), '1 h 05');
  assert.equal(waited(50 * 3_600_000), '2 d');
});

test('a wait is soon late after two minutes and late after five', () => {
  assert.equal(urgency(119_999), 'fresh');
  assert.equal(urgency(120_000), 'soon');
  assert.equal(urgency(300_000), 'late');
});

test('dates are relative while recent', () => {
  setCatalogue('en', en);
  const now = new Date(2026, 10, 22, 0, 5).getTime();
  assert.equal(day(now, now), 'Today');
  assert.equal(day(now - 10 * 60_000, now), 'Yesterday');
  assert.match(brief(now - 3 * 86_400_000, now), /^[A-Z][a-z]{2}/);
  assert.match(day(now - 400 * 86_400_000, now), /2025/);
  // A server clock slightly ahead is not tomorrow.
  assert.equal(day(now + 60_000, now), 'Today');
});

test('the clock is written as the language writes it', () => {
  const evening = new Date(2026, 10, 22, 20, 30).getTime();
  setCatalogue('de', de);
  assert.equal(clock(evening), '20:30');
  setCatalogue('ar', ar);
  assert.match(clock(evening), /^(8:30|20:30)/);
  // English follows the reader's own conventions; where those count to 12, no zero stands before the 8.
  setCatalogue('en', en);
  assert.match(clock(evening), /^(8:30\sPM|8:30\spm|20:30)$/);
});

const ANA = { kind: 'visitor' as const, id: 'ana', name: 'Ana' };
const MAYA = { kind: 'agent' as const, id: 'me', name: 'Maya' };
const said = (seq: number, at: number, author: Event['author'], text = 'x', more: Partial<Event> = {}): Event => ({
  seq,
  prev: seq - 1,
  at,
  author,
  audience: 'all',
  body: { kind: 'message', parts: [{ kind: 'text', text }] },
  ...more,
});
const told = (events: Event[], more: Partial<Told> = {}) =>
  itemsOf({ events, pending: [], older: false, me: 'me', visitor: 'Ana', read: 0, day: () => 1, ...more });

test('messages of one sender within three minutes form a group', () => {
  const items = told([
    said(1, 0, ANA),
    said(2, GROUP_MS, ANA),
    said(3, 2 * GROUP_MS + 1, ANA),
    said(4, 2 * GROUP_MS + 2, MAYA),
  ]);
  assert.deepEqual(
    items.filter((item) => item.type === 'message').map((item) => item.head),
    [true, false, true, true],
  );
});

test('a note never joins a group of replies', () => {
  const note = said(2, 1, MAYA, 'y', {
    audience: 'staff',
    body: { kind: 'note', parts: [{ kind: 'text', text: 'y' }] },
  });
  const items = told([said(1, 0, MAYA), note, said(3, 2, MAYA)]).filter((item) => item.type === 'message');
  assert.deepEqual(
    items.map((item) => [item.head, item.note]),
    [
      [true, false],
      [true, true],
      [true, false],
    ],
  );
});

test('sent and read stand under the last own message only', () => {
  const events = [said(1, 0, MAYA), said(2, 1, MAYA), said(3, 2, ANA)];
  const states = (read: number) => told(events, { read }).map((item) => (item.type === 'message' ? item.state : null));
  assert.deepEqual(states(0).slice(1), [undefined, 'sent', undefined]);
  assert.deepEqual(states(2).slice(1), [undefined, 'read', undefined]);
});

test('words keep their key from the outbox into the log, and are never shown twice', () => {
  const pending = [{ id: 'cmd', kind: 'message' as const, text: 'x', at: 5, state: 'sending' as const }];
  const before = told([said(1, 0, ANA)], { pending });
  const after = told([said(1, 0, ANA), said(2, 6, MAYA, 'x', { cmd: 'cmd' })], { pending });
  assert.equal(before.at(-1)?.key, 'ccmd');
  assert.equal(after.at(-1)?.key, 'ccmd');
  assert.equal(after.filter((item) => item.type === 'message').length, 2);
});

test('a kind of a later version is skipped', () => {
  const later = said(2, 1, ANA, '', { body: { kind: 'rating', stars: 5 } as unknown as Event['body'] });
  assert.equal(told([said(1, 0, ANA), later]).length, 2);
});

test('a path says list and conversation', () => {
  const id = 'a'.repeat(32);
  assert.deepEqual(placeOf('/inbox', undefined), { view: 'mine', id: undefined });
  assert.deepEqual(placeOf('/inbox', 'resolved'), { view: 'resolved', id: undefined });
  assert.deepEqual(placeOf(`/inbox/unassigned/${id}`, undefined), { view: 'unassigned', id });
  assert.deepEqual(placeOf(`/inbox/${id}`, 'mine'), { view: 'open', id });
  assert.deepEqual(placeOf('/inbox/mine/../../etc', undefined), { view: 'mine', id: undefined });
});

test('every language fills every placeholder of the English words, and no other', () => {
  const places = (entry: unknown): string[] =>
    [...new Set(JSON.stringify(entry).match(/\{\w+\}/g) ?? [])].filter((place) => place !== '{n}').sort();
  for (const [name, words] of Object.entries({ de, ar })) {
    assert.deepEqual(Object.keys(words).sort(), Object.keys(en).sort(), name);
    for (const key of Object.keys(en) as (keyof typeof en)[]) {
      assert.deepEqual(places(words[key]), places(en[key]), `${name} ${key}`);
      if (typeof en[key] === 'string') assert.equal(typeof words[key], 'string', `${name} ${key}`);
    }
  }
});

test('plural forms follow the language, and names are isolated where they could turn the sentence', () => {
  setCatalogue('en', en);
  assert.equal(t('conv.new', { n: 1 }), '1 new message');
  assert.equal(t('conv.new', { n: 2 }), '2 new messages');
  assert.equal(t('conv.typing', { name: 'Ana' }), 'Ana is writing');
  assert.equal(t('conv.typing', { name: 'أمل' }), '\u2068أمل\u2069 is writing');
  setCatalogue('ar', ar);
  assert.equal(t('conv.new', { n: 2 }), 'رسالتان جديدتان');
  assert.equal(t('conv.new', { n: 7 }), '7 رسائل جديدة');
  assert.ok(t('conv.typing', { name: 'Ana' }).includes('\u2068Ana\u2069'));
  setCatalogue('en', en);
});

test('a name with the look of a placeholder is shown as it is', () => {
  assert.equal(t('toast.assigned', { name: '{to}', to: 'Jonas' }), '{to} is now with Jonas');
});

test('the ink on an accent is the one that can be read', () => {
  assert.equal(inkOn('#0f5c63'), '#ffffff');
  assert.equal(inkOn('#ffe066'), '#000000');
});

test('an origin is a scheme and a host, nothing else', () => {
  for (const good of ['https://shop.example', 'http://127.0.0.1:8080']) assert.ok(goodOrigin(good), good);
  for (const bad of ['shop.example', 'https://shop.example/', 'https://shop.example/a', 'javascript:1', '*', ''])
    assert.ok(!goodOrigin(bad), bad);
});
