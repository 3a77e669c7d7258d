// Acting first: what the lists show before the server has answered.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Row } from '../../gateway/client/src/protocol.ts';
import { type Act, neighbour, overlaid } from '../src/live/overlay.ts';

const ME = { id: 'me', name: 'Maya' };
const JONAS = { id: 'jonas', name: 'Jonas' };
const row = (id: string, more: Partial<Row> = {}): Row => ({
  id,
  visitor: { id: `v${id}`, name: id },
  status: 'assigned',
  assignee: ME,
  preview: '',
  last_author: 'visitor',
  last_at: 0,
  answered: false,
  seq: 5,
  read: 0,
  last_visitor_seq: 1,
  channel: 'chat',
  created_at: 0,
  waiting_since: 10,
  ...more,
});
const act = (kind: Act['kind'], of: Row, more: Partial<Act> = {}): Act => ({
  id: kind,
  kind,
  to: null,
  row: of,
  at: 100,
  ...more,
});
const ids = (rows: readonly Row[]) => rows.map((one) => one.id);

test('without acts the very same rows are shown', () => {
  const rows = [row('a')];
  assert.equal(overlaid('mine', rows, [], ME), rows);
});

test('resolving takes the row out of the open lists and into the resolved one at once', () => {
  const a = row('a');
  const acts = [act('resolve', a)];
  assert.deepEqual(ids(overlaid('mine', [a, row('b')], acts, ME)), ['b']);
  assert.deepEqual(ids(overlaid('open', [a, row('b')], acts, ME)), ['b']);
  assert.deepEqual(ids(overlaid('resolved', [row('z', { status: 'resolved', resolved_at: 99 })], acts, ME)), [
    'a',
    'z',
  ]);
});

test('undoing while the list still shows nothing brings the row back', () => {
  const a = row('a');
  const acts = [act('resolve', a), act('reopen', a)];
  assert.deepEqual(ids(overlaid('mine', [], acts, ME)), ['a']);
  assert.equal(overlaid('mine', [], acts, ME)[0]?.waiting_since, undefined);
});

test('giving it away moves it between lists and keeps how long the visitor has waited', () => {
  const a = row('a');
  const given = [act('assign', a, { to: JONAS })];
  assert.deepEqual(ids(overlaid('mine', [a], given, ME)), []);
  assert.deepEqual(overlaid('open', [a], given, ME)[0]?.assignee, JONAS);
  assert.equal(overlaid('open', [a], given, ME)[0]?.waiting_since, 10);
  const back = [act('assign', a)];
  const line = overlaid('unassigned', [row('q', { status: 'queued', waiting_since: 20 })], back, ME);
  assert.deepEqual(ids(line), ['a', 'q']);
  assert.equal(line[0]?.assignee, undefined);
});

test('taking from the line and taking that back puts it where it stood', () => {
  const queued = (id: string, queue_number: number, waiting_since: number) => {
    const { assignee: _, ...rest } = row(id, { status: 'queued', queue_number, waiting_since });
    return rest;
  };
  // Its number says more than its wait: it came back to the line before the others.
  const b = queued('b', 2, 90);
  const line = [queued('a', 1, 40), b, queued('c', 3, 50)];
  const taken = [act('assign', b, { to: ME })];
  assert.deepEqual(ids(overlaid('unassigned', line, taken, ME)), ['a', 'c']);
  const gone = [line[0], line[2]].flatMap((one) => one ?? []);
  assert.deepEqual(ids(overlaid('unassigned', gone, [...taken, act('assign', b)], ME)), ['a', 'b', 'c']);
});

test('a row as new as the act, or newer, tells the truth by itself', () => {
  const a = row('a');
  const acts = [act('resolve', a, { seq: 6 })];
  assert.deepEqual(ids(overlaid('mine', [row('a', { seq: 5 })], acts, ME)), []);
  // The visitor wrote again right after: it is open, whatever was acted before.
  assert.deepEqual(ids(overlaid('mine', [row('a', { seq: 7 })], acts, ME)), ['a']);
});

test('the next conversation is the one below, else the one above', () => {
  const rows = [row('a'), row('b'), row('c')];
  assert.equal(neighbour(rows, 'b'), 'c');
  assert.equal(neighbour(rows, 'c'), 'b');
  assert.equal(neighbour(rows, 'unknown'), 'a');
  assert.equal(neighbour([row('a')], 'a'), undefined);
});
