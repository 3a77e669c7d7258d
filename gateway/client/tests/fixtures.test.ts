// The golden frames that the Rust side writes and reads (gateway/protocol/fixtures): this side reads them too.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Conversation } from '../src/conversation.ts';
import { Outbox } from '../src/outbox.ts';
import type { ClientFrame, ServerFrame } from '../src/protocol.ts';
import { Signal } from '../src/signal.ts';
import { memoryStore } from '../src/storage.ts';

/** The widget's folder, where the tests are run. */
declare const HERE: string;

interface Golden<Frame> {
  frames: { name: string; frame: Frame }[];
  unknown?: { name: string; frame: unknown }[];
}

function golden<Frame>(name: string): Golden<Frame> {
  return JSON.parse(readFileSync(join(HERE, '../gateway/protocol/fixtures', `${name}.json`), 'utf8'));
}

// A kind that is added in Rust and not known here does not compile.
const SERVER_KINDS: Record<ServerFrame['t'], true> = {
  welcome: true,
  ack: true,
  refused: true,
  opened: true,
  page: true,
  event: true,
  read: true,
  typing: true,
  online: true,
  position: true,
  team: true,
  members: true,
  conversations: true,
  conversation: true,
  list: true,
  changes: true,
  list_page: true,
  resync: true,
  bye: true,
  pong: true,
};
const CLIENT_KINDS: Record<ClientFrame['t'], true> = {
  hello: true,
  start: true,
  send: true,
  note: true,
  assign: true,
  resolve: true,
  reopen: true,
  status: true,
  open: true,
  close: true,
  page: true,
  read: true,
  typing: true,
  conversations: true,
  list: true,
  unlist: true,
  more: true,
  ping: true,
};

test('every kind of frame has a golden one, and no golden one is of a kind not known here', () => {
  const kinds = (frames: { frame: { t: string } }[]) => [...new Set(frames.map(({ frame }) => frame.t))].sort();
  assert.deepEqual(kinds(golden<ServerFrame>('server').frames), Object.keys(SERVER_KINDS).sort());
  assert.deepEqual(kinds(golden<ClientFrame>('client').frames), Object.keys(CLIENT_KINDS).sort());
});

test('a conversation takes every golden frame of a server, known and unknown, and stays whole', () => {
  const { frames, unknown = [] } = golden<ServerFrame>('server');
  assert.ok(unknown.length > 0);
  const opened = frames.flatMap(({ frame }) => (frame.t === 'opened' ? [frame] : []))[0];
  assert.ok(opened !== undefined);
  const heard = new Signal<[ServerFrame]>();
  const link = { frames: heard, send: () => true };
  const outbox = new Outbox(memoryStore(), link);
  const me = opened.conversation.visitor;
  const conversation = new Conversation(opened.conversation.id, { link, outbox, side: 'agent', me: () => me });
  for (const { name, frame } of [...frames, ...(unknown as { name: string; frame: ServerFrame }[])]) {
    // An error in a listener surfaces as an uncaught one, which fails the test.
    heard.tell(frame);
    const seqs = conversation.events.map(({ seq }) => seq);
    assert.deepEqual(
      seqs,
      [...new Set(seqs)].sort((a, b) => a - b),
      `${name}: in order, none twice`,
    );
  }
  outbox.close();
});
