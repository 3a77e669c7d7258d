// The list feed: order, gaps, paging and coming back, at every cut point.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareRows, ListFeed, newer } from '../../gateway/client/src/list.ts';
import type { ClientFrame, Row, ServerFrame, View } from '../../gateway/client/src/protocol.ts';

const COUNTS = { mine: 1, unassigned: 2, open: 3 };
const FEED = 'f'.repeat(32);

export function row(id: string, more: Partial<Row> = {}): Row {
  return {
    id,
    visitor: { id: `v${id}`, name: `Visitor ${id}` },
    status: 'assigned',
    preview: '',
    last_author: 'visitor',
    last_at: 0,
    answered: false,
    seq: 1,
    read: 0,
    last_visitor_seq: 1,
    channel: 'chat',
    created_at: 0,
    ...more,
  };
}

type Frame<T extends ServerFrame['t']> = Extract<ServerFrame, { t: T }>;
const list = (rows: Row[], at = 10, next?: string, feed = FEED, view: View = 'mine'): Frame<'list'> => ({
  t: 'list',
  view,
  feed,
  at,
  rows,
  counts: COUNTS,
  ...(next === undefined ? {} : { next }),
});
const changes = (from: number, at: number, upserts: Row[], removed: string[] = [], feed = FEED): Frame<'changes'> => ({
  t: 'changes',
  view: 'mine',
  feed,
  from,
  at,
  upserts,
  removed,
  counts: COUNTS,
});

function feed(view: View = 'mine') {
  const sent: ClientFrame[] = [];
  const made = new ListFeed(view, (frame) => sent.push(frame));
  return { feed: made, sent, ids: () => made.snapshot().rows.map((one) => one.id) };
}

test('those who wait come first, longest first, then the others, newest first', () => {
  const rows = [
    row('d', { last_at: 5 }),
    row('a', { waiting_since: 9 }),
    row('c', { last_at: 7 }),
    row('b', { waiting_since: 3 }),
    row('f', { waiting_since: 3 }),
    row('e', { last_at: 7 }),
  ];
  assert.deepEqual(
    rows.sort(compareRows('open')).map((one) => one.id),
    ['b', 'f', 'a', 'c', 'e', 'd'],
  );
});

test('a row is never replaced by one with a lower seq, and a read mark never goes back', () => {
  const have = row('a', { seq: 5, read: 4, preview: 'new' });
  assert.equal(newer(have, row('a', { seq: 4, preview: 'old' })).preview, 'new');
  assert.equal(newer(have, row('a', { seq: 5, read: 2 })).read, 4);
  assert.equal(newer(have, row('a', { seq: 6, read: 0, preview: 'newest' })).preview, 'newest');
  assert.equal(newer(have, row('a', { seq: 6, read: 0 })).read, 4);
  assert.equal(newer(have, row('a', { seq: 4, read: 5 })).read, 5);
});

test('following asks anew the first time, and from where it was afterwards', () => {
  const { feed: it, sent } = feed();
  it.follow();
  assert.deepEqual(sent.pop(), { t: 'list', view: 'mine' });
  it.receive(list([row('a')]));
  it.follow();
  assert.deepEqual(sent.pop(), { t: 'list', view: 'mine', feed: FEED, at: 10 });
});

test('a gap is noticed, asked for once, and what rests on it is not taken', () => {
  const { feed: it, sent, ids } = feed();
  it.follow();
  it.receive(list([row('a')]));
  sent.length = 0;
  it.receive(changes(11, 12, [row('c')]));
  it.receive(changes(12, 13, [row('d')]));
  assert.deepEqual(sent, [{ t: 'list', view: 'mine', feed: FEED, at: 10 }]);
  assert.deepEqual(ids(), ['a']);
  it.receive(changes(10, 13, [row('b'), row('c'), row('d')]));
  assert.deepEqual(ids(), ['a', 'b', 'c', 'd']);
  it.receive(changes(13, 14, [], ['a']));
  assert.deepEqual(ids(), ['b', 'c', 'd']);
});

test('a list of another feed is asked for, and its reset drops everything', () => {
  const { feed: it, sent, ids } = feed();
  it.follow();
  it.receive(list([row('a', { seq: 9 })]));
  const other = 'e'.repeat(32);
  sent.length = 0;
  it.receive(changes(10, 11, [row('x')], [], other));
  assert.deepEqual(ids(), ['a']);
  assert.equal(sent.length, 1);
  it.receive(list([row('z', { seq: 1 })], 3, undefined, other));
  assert.deepEqual(ids(), ['z']);
});

test('coming back at every cut point ends with the same list', () => {
  // What happens at the server, one step a counter value.
  const steps: { upserts: Row[]; removed: string[] }[] = [
    { upserts: [row('a', { waiting_since: 4 })], removed: [] },
    { upserts: [row('b', { waiting_since: 2 }), row('c', { last_at: 9 })], removed: [] },
    { upserts: [row('a', { seq: 3, last_at: 20 })], removed: [] },
    { upserts: [], removed: ['c'] },
    { upserts: [row('c', { seq: 4, waiting_since: 1 })], removed: [] },
    { upserts: [row('d', { last_at: 30 })], removed: ['b'] },
  ];
  const merged = (from: number, to: number) => {
    const rows = new Map<string, Row>();
    const gone = new Set<string>();
    for (const step of steps.slice(from, to)) {
      for (const one of step.upserts) {
        rows.set(one.id, one);
        gone.delete(one.id);
      }
      for (const id of step.removed) {
        rows.delete(id);
        gone.add(id);
      }
    }
    return changes(from, to, [...rows.values()], [...gone]);
  };
  const whole = feed();
  whole.feed.receive(list([], 0));
  for (let at = 0; at < steps.length; at += 1) whole.feed.receive(merged(at, at + 1));

  for (let cut = 0; cut <= steps.length; cut += 1) {
    for (let back = cut; back <= steps.length; back += 1) {
      const { feed: it, sent, ids } = feed();
      it.receive(list([], 0));
      for (let at = 0; at < cut; at += 1) it.receive(merged(at, at + 1));
      // The connection is gone from `cut` to `back`; frames on their way are lost, or come twice.
      it.follow();
      assert.deepEqual(sent.at(-1), { t: 'list', view: 'mine', feed: FEED, at: cut });
      it.receive(merged(cut, back));
      if (back > cut) it.receive(merged(cut, back));
      for (let at = back; at < steps.length; at += 1) it.receive(merged(at, at + 1));
      assert.deepEqual(ids(), whole.ids(), `cut at ${cut}, back at ${back}`);
      assert.deepEqual(it.snapshot().rows, whole.feed.snapshot().rows);
    }
  }
});

test('pages append, and are asked for one at a time', () => {
  const { feed: it, sent, ids } = feed();
  it.follow();
  it.receive(list([row('a', { waiting_since: 1 })], 10, 'after a'));
  sent.length = 0;
  it.page();
  it.page();
  assert.deepEqual(sent, [{ t: 'more', view: 'mine', after: 'after a' }]);
  it.receive({ t: 'list_page', view: 'mine', rows: [row('b', { waiting_since: 2 })] });
  assert.deepEqual(ids(), ['a', 'b']);
  assert.equal(it.snapshot().more, false);
  it.page();
  assert.equal(sent.length, 1);
});

test('a row that left while its page was on the way does not come back with it', () => {
  const { feed: it, ids } = feed();
  it.follow();
  it.receive(list([row('a')], 10, 'more'));
  it.page();
  it.receive(changes(10, 11, [], ['b']));
  it.receive({ t: 'list_page', view: 'mine', rows: [row('b'), row('c')] });
  assert.deepEqual(ids(), ['a', 'c']);
});

test('a page older than a change does not take the change back', () => {
  const { feed: it } = feed();
  it.follow();
  it.receive(list([row('a')], 10, 'more'));
  it.page();
  it.receive(changes(10, 11, [row('b', { seq: 7 })]));
  it.receive({ t: 'list_page', view: 'mine', rows: [row('b', { seq: 6 })] });
  assert.equal(it.row('b')?.seq, 7);
});

test('a page from before a reset is left alone', () => {
  const { feed: it, ids } = feed();
  it.follow();
  it.receive(list([row('a')], 10, 'more'));
  it.page();
  it.receive(list([row('x')], 1, 'again', 'e'.repeat(32)));
  it.receive({ t: 'list_page', view: 'mine', rows: [row('b')] });
  assert.deepEqual(ids(), ['x']);
  assert.equal(it.snapshot().more, true);
});

test('a refused cursor follows the list anew', () => {
  const { feed: it, sent } = feed();
  it.follow();
  it.receive(list([row('a')], 10, 'bad'));
  it.page();
  it.receive({ t: 'refused', code: 'cursor_bad', message: '' });
  assert.deepEqual(sent.at(-1), { t: 'list', view: 'mine' });
});

test('the line stands by its numbers, whatever the waits and the order of arrival', () => {
  const { feed: it, ids } = feed('unassigned');
  const queued = (id: string, queue_number: number, waiting_since: number) =>
    row(id, { status: 'queued', queue_number, waiting_since });
  it.receive(list([queued('a', 4, 5), queued('b', 7, 3)], 1, undefined, FEED, 'unassigned'));
  it.receive({ ...changes(1, 2, [queued('n', 9, 1), queued('r', 2, 8)]), view: 'unassigned' });
  assert.deepEqual(ids(), ['r', 'a', 'b', 'n']);
});

test('what was resolved last stands first, also when it was resolved before', () => {
  const { feed: it, ids } = feed('resolved');
  const done = (id: string, resolved_at: number, more: Partial<Row> = {}) =>
    row(id, { status: 'resolved', resolved_at, ...more });
  it.receive(list([done('a', 20), done('b', 10, { last_at: 99 })], 1, undefined, FEED, 'resolved'));
  it.receive({ ...changes(1, 2, [done('c', 30)]), view: 'resolved' });
  assert.deepEqual(ids(), ['c', 'a', 'b']);
  it.receive({ ...changes(2, 3, [done('b', 40, { seq: 4 })]), view: 'resolved' });
  assert.deepEqual(ids(), ['b', 'c', 'a']);
  it.receive({ ...changes(3, 4, [done('a', 20, { read: 3 })]), view: 'resolved' });
  assert.deepEqual(ids(), ['b', 'c', 'a']);
});

test('live changes stand exactly where a reset would put them', () => {
  // As the server orders them; ties everywhere.
  const whole: Record<View, Row[]> = {
    mine: [
      row('d', { waiting_since: 1 }),
      row('a', { waiting_since: 5 }),
      row('b', { waiting_since: 5 }),
      row('f', { last_at: 9 }),
      row('c', { last_at: 4 }),
      row('e', { last_at: 4 }),
    ],
    open: [row('b', { waiting_since: 2 }), row('a', { last_at: 3 }), row('c', { last_at: 3 }), row('d')],
    unassigned: [
      row('c', { queue_number: 1, waiting_since: 9 }),
      row('a', { queue_number: 2, waiting_since: 3 }),
      row('b', { queue_number: 2, waiting_since: 1 }),
      row('d', { queue_number: 10, waiting_since: 2 }),
      row('e', { waiting_since: 0 }),
    ],
    resolved: [
      row('c', { resolved_at: 8, last_at: 1 }),
      row('a', { resolved_at: 7, last_at: 6 }),
      row('b', { resolved_at: 7, last_at: 9 }),
      row('d', { last_at: 10 }),
    ],
  };
  // A small generator with a fixed seed: the same shuffles at every run.
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  for (const view of ['mine', 'open', 'unassigned', 'resolved'] as const) {
    const wanted = whole[view].map((one) => one.id);
    for (let round = 0; round < 50; round += 1) {
      const rows = whole[view]
        .map((one) => ({ one, by: random(1_000_000) }))
        .sort((a, b) => a.by - b.by)
        .map(({ one }) => one);
      const { feed: it, ids } = feed(view);
      it.follow();
      // Some come with the first page, some by a change each, the last with a page.
      const [first, last] = [rows.slice(0, 2), rows.slice(-1)];
      it.receive(list(first, 0, 'more', FEED, view));
      it.page();
      const between = rows.slice(2, -1);
      for (const [at, one] of between.entries()) it.receive({ ...changes(at, at + 1, [one]), view });
      it.receive({ t: 'list_page', view, rows: last });
      assert.deepEqual(ids(), wanted, view);
    }
  }
});

test('the snapshot is the same object until something changes', () => {
  const { feed: it } = feed();
  it.receive(list([row('a')]));
  const before = it.snapshot();
  it.receive({ t: 'pong' });
  assert.equal(it.snapshot(), before);
  it.markRead('a', 1);
  assert.notEqual(it.snapshot(), before);
  assert.equal(it.row('a')?.read, 1);
});

test('ten thousand rows are ordered in well under a frame', () => {
  const { feed: it } = feed();
  it.receive(list(Array.from({ length: 10_000 }, (_, n) => row(String(n), { last_at: (n * 7919) % 10_007 }))));
  it.snapshot();
  it.receive(changes(10, 11, [row('5', { seq: 2, waiting_since: 1 })]));
  const begun = performance.now();
  assert.equal(it.snapshot().rows[0]?.id, '5');
  // A bound for a slow machine; it takes about 5 ms.
  assert.ok(performance.now() - begun < 100);
});
