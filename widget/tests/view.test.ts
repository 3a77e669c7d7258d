import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pending } from '../../gateway/client/src/conversation.ts';
import type { Author, Body, Event } from '../../gateway/client/src/protocol.ts';
import { itemsOf } from '../src/groups.ts';
import { linked } from '../src/links.tsx';
import { words as ar } from '../src/words/ar.ts';

const maya: Author = { kind: 'agent', id: 'a', name: 'Maya' };
const visitor: Author = { kind: 'visitor', id: 'v', name: 'Amber Heron' };
const message = (text: string): Body => ({ kind: 'message', parts: [{ kind: 'text', text }] });
const minute = 60_000;

function log(...events: [Author, number, Body][]): Event[] {
  return events.map(([author, at, body], index) => ({
    seq: index + 1,
    prev: index,
    at: at * minute,
    author,
    audience: 'all',
    body,
  }));
}

/** Items in short: own groups by >, others by <, with their texts. */
function shape(events: Event[], pending: Pending[] = []): string[] {
  return itemsOf({ events, pending }).map((item) =>
    item.kind === 'group' ? `${item.own ? '>' : '<'}${item.messages.map(({ text }) => text)}` : item.kind,
  );
}

test('messages of one sender within three minutes form a group', () => {
  const events = log(
    [visitor, 0, message('a')],
    [visitor, 2, message('b')],
    [visitor, 6, message('c')],
    [maya, 7, message('d')],
    [maya, 8, message('e')],
    [visitor, 8, message('f')],
  );
  assert.deepEqual(shape(events), ['>a,b', '>c', '<d,e', '>f']);
});

test('who joined is told once, and names the group below it', () => {
  const to = { id: 'a', name: 'Maya' };
  const events = log(
    [visitor, 0, message('a')],
    [maya, 1, { kind: 'assigned', to, reason: 'routed' }],
    [maya, 1, message('b')],
    [maya, 2, { kind: 'assigned', to, reason: 'taken' }],
  );
  const items = itemsOf({ events, pending: [] });
  assert.deepEqual(shape(events), ['>a', 'joined', '<b']);
  assert.equal(items[2]?.kind === 'group' && items[2].named, false);
});

test('what is pending stands after the log and keeps its key when it enters it', () => {
  const pending: Pending = { id: 'cmd', kind: 'message', text: 'p', at: minute, state: 'sending' };
  const before = itemsOf({ events: log([visitor, 0, message('a')]), pending: [pending] });
  const events = log([visitor, 0, message('a')], [visitor, 1, message('p')]);
  Object.assign(events[1] as Event, { cmd: 'cmd' });
  const afterwards = itemsOf({ events, pending: [] });
  const keys = (items: typeof before) =>
    items.map((item) => (item.kind === 'group' ? item.messages.map(({ key }) => key) : []));
  assert.deepEqual(keys(before), keys(afterwards));
});

/** Text nodes as they are, links as [address]. */
function seen(text: string): string {
  return linked(text)
    .map((piece) => (typeof piece === 'string' ? piece : `[${(piece.props as { href?: string }).href}]`))
    .join('');
}

test('only http and https become links, without the punctuation after them', () => {
  assert.equal(
    seen('see https://a.example/b?c=d, or (http://e.example).'),
    'see [https://a.example/b?c=d], or ([http://e.example]).',
  );
  for (const harmless of [
    'javascript:alert(1)',
    'data:text/html,<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    'vbscript:x ftp://a.example file:///etc/passwd',
  ]) {
    assert.equal(seen(harmless), harmless);
  }
  assert.equal(seen('https://a.example/"onmouseover="x'), '[https://a.example/]"onmouseover="x');
});

test('Arabic counts messages in its own ways', () => {
  assert.equal(ar.newMessages(1), 'رسالة جديدة');
  assert.equal(ar.newMessages(2), 'رسالتان جديدتان');
  assert.equal(ar.newMessages(5), '5 رسائل جديدة');
  assert.equal(ar.newMessages(11), '11 رسالة جديدة');
});
