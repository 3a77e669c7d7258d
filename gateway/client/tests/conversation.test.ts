import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import type { Body } from '../src/protocol.ts';
import { memoryStore } from '../src/storage.ts';
import { AGENT, CONVERSATION, Page, Server, said, seeded } from './world.ts';

const agent = { kind: 'agent', ...AGENT } as const;
const message = (text: string): Body => ({ kind: 'message', parts: [{ kind: 'text', text }] });

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
afterEach(() => mock.timers.reset());

function agentSays(server: Server, page: Page, text: string, kind: 'message' | 'note' = 'message'): void {
  page.hear(server.add(agent, { kind, parts: [{ kind: 'text', text }] } as Body));
}

/** The reader has exactly the newest part of the log, in order and without a gap. */
function assertInStep(server: Server, page: Page): void {
  const { conversation } = page;
  const log = server.visible;
  assert.deepEqual(conversation.events, log.slice(log.length - conversation.events.length));
  assert.equal(conversation.cursor, log.at(-1)?.seq ?? 0);
  assert.deepEqual(conversation.pending, []);
  assert.deepEqual(page.outbox.entries(), []);
}

test('a message is sent once and in order wherever the connection is cut', () => {
  for (let cut = 0; ; cut++) {
    const server = new Server();
    server.add(agent, message('hello'));
    const page = new Page(server);
    page.connect();
    for (const text of ['one', 'two', 'three']) page.conversation.say(text);
    let steps = 0;
    while (steps < cut && page.step()) steps++;
    const reachedEnd = steps < cut;
    page.cut();
    agentSays(server, page, 'meanwhile');
    page.connect();
    page.drain();
    assertInStep(server, page);
    const own = said(server.visible.filter(({ author }) => author.kind === 'visitor'));
    assert.deepEqual(own, ['one', 'two', 'three'], `cut after ${cut} frames`);
    page.close();
    if (reachedEnd) return;
  }
});

test('a reload at any point loses nothing and repeats nothing', () => {
  for (let cut = 0; cut < 14; cut++) {
    const server = new Server();
    const store = memoryStore();
    const first = new Page(server, store);
    first.connect();
    for (const text of ['one', 'two', 'three']) first.conversation.say(text);
    for (let steps = 0; steps < cut; steps++) first.step();
    first.close();
    const second = new Page(server, store);
    second.connect();
    second.drain();
    assertInStep(server, second);
    assert.deepEqual(said(server.visible), ['one', 'two', 'three'], `reload after ${cut} frames`);
    second.close();
  }
});

test('any script of words, losses, cuts and reloads ends in step with the log', () => {
  for (let seed = 1; seed <= 400; seed++) {
    const random = seeded(seed);
    const server = new Server();
    const store = memoryStore();
    let page = new Page(server, store);
    const words: string[] = [];
    for (let turn = 0; turn < 60; turn++) {
      const dice = random();
      if (dice < 0.15) {
        words.push(`v${turn}`);
        page.conversation.say(`v${turn}`);
      } else if (dice < 0.3) agentSays(server, page, `a${turn}`);
      else if (dice < 0.35) agentSays(server, page, `n${turn}`, 'note');
      else if (dice < 0.4) page.cut();
      else if (dice < 0.48 && !page.up) page.connect();
      else if (dice < 0.5) page.loseOne();
      else if (dice < 0.53) {
        page.close();
        page = new Page(server, store);
      } else if (dice < 0.55) {
        const code = random() < 0.5 ? 'unknown' : 'overloaded';
        server.refusals.push({ t: 'refused', code, message: '', retry_after_ms: 10 });
      } else page.step(random());
    }
    page.cut();
    for (let left = server.refusals.length; left >= 0; left--) {
      server.refusals = [];
      page.cut();
      page.connect();
      page.drain();
    }
    // One last live event shows a gap that a lost frame may have left at the end.
    agentSays(server, page, 'end');
    page.drain();
    try {
      assertInStep(server, page);
      const own = server.visible.filter(({ author }) => author.kind === 'visitor');
      assert.deepEqual(said(own), words);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    page.close();
  }
});

test('a note between two messages is no gap', () => {
  const server = new Server();
  const page = new Page(server);
  page.connect();
  page.drain();
  agentSays(server, page, 'one');
  agentSays(server, page, 'hidden', 'note');
  agentSays(server, page, 'two');
  page.drain();
  assert.deepEqual(said(page.conversation.events), ['one', 'two']);
});

test('a long absence is resumed in chunks, or by a reset with the newest page', () => {
  for (const missed of [2, 3, 4, 8, 9, 10, 40]) {
    const server = new Server();
    server.add(agent, message('first'));
    const page = new Page(server);
    page.connect();
    page.drain();
    page.cut();
    for (let index = 0; index < missed; index++) agentSays(server, page, `m${index}`);
    page.connect();
    page.drain();
    assertInStep(server, page);
    assert.equal(page.conversation.live, true);
    assert.equal(page.conversation.older, missed > 9);
  }
});

test('a cursor ahead of the log starts afresh', () => {
  const server = new Server();
  for (const text of ['a', 'b', 'c']) server.add(agent, message(text));
  const page = new Page(server);
  page.connect();
  page.drain();
  page.cut();
  server.log.length = 1;
  page.connect();
  page.drain();
  assertInStep(server, page);
});

test('history loads upward until its beginning', () => {
  const server = new Server();
  for (let index = 0; index < 8; index++) server.add(agent, message(`m${index}`));
  const page = new Page(server);
  page.connect();
  page.drain();
  for (let pages = 0; page.conversation.older && pages < 9; pages++) {
    page.conversation.loadOlder();
    assert.equal(page.conversation.loadingOlder, true);
    page.drain();
  }
  assert.deepEqual(said(page.conversation.events), said(server.visible));
});

test('typing goes by itself after six seconds, and with the words', () => {
  const server = new Server();
  const page = new Page(server);
  page.connect();
  page.drain();
  const types = () => page.frames.tell({ t: 'typing', conversation: CONVERSATION, author: agent, on: true });
  types();
  mock.timers.tick(5_999);
  assert.equal(page.conversation.typing.length, 1);
  mock.timers.tick(1);
  assert.equal(page.conversation.typing.length, 0);
  types();
  agentSays(server, page, 'here it is');
  page.drain();
  assert.equal(page.conversation.typing.length, 0);
});

test('unread counts the other side only, until it is read; read marks move forward only', () => {
  const server = new Server();
  server.add(agent, message('one'));
  const page = new Page(server);
  page.connect();
  page.conversation.say('mine');
  page.drain();
  assert.equal(page.conversation.unread, 1);
  page.conversation.markRead();
  assert.equal(page.conversation.unread, 0);
  const mark = (seq: number) =>
    page.frames.tell({ t: 'read', conversation: CONVERSATION, mark: { kind: 'agent', id: AGENT.id, seq } });
  mark(2);
  mark(1);
  assert.equal(page.conversation.readBy('agent'), 2);
});
