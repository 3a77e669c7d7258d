import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Outbox } from '../src/outbox.ts';
import type { ClientFrame, RefusalCode, ServerFrame } from '../src/protocol.ts';
import { Signal } from '../src/signal.ts';
import { memoryStore, type Store } from '../src/storage.ts';

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
afterEach(() => mock.timers.reset());

const id = (digit: number): string => String(digit).repeat(32);
const start = (digit: number, text = 'hello') => ({ t: 'start', id: id(digit), text }) as const;
const send = (digit: number, conversation: string, text = 'words') =>
  ({ t: 'send', id: id(digit), conversation, seen: 7, text }) as const;

class Wire {
  readonly frames = new Signal<[ServerFrame]>();
  readonly sent: ClientFrame[] = [];
  up = true;
  send(frame: ClientFrame): boolean {
    if (this.up) this.sent.push(structuredClone(frame));
    return this.up;
  }
  ack(digit: number, conversation: string): void {
    this.frames.tell({ t: 'ack', id: id(digit), conversation, seq: 1, prev: 0, at: 1 });
  }
  refuse(digit: number, code: RefusalCode, retry_after_ms?: number): void {
    this.frames.tell({ t: 'refused', id: id(digit), code, message: code, ...(retry_after_ms && { retry_after_ms }) });
  }
  get ids(): string[] {
    return this.sent.map((frame) => ('id' in frame ? (frame.id[0] ?? '') : ''));
  }
}

/** Two tabs of one origin: each hears of the other's changes. */
function tabs(): [Store, Store] {
  const kept = memoryStore();
  const listeners: [Signal<[string, string | null]>, Signal<[string, string | null]>] = [new Signal(), new Signal()];
  const tab = (mine: 0 | 1): Store => {
    const other = listeners[mine ? 0 : 1];
    return {
      ...kept,
      set: (key, value) => {
        kept.set(key, value);
        other.tell(key, value);
      },
      remove: (key) => {
        kept.remove(key);
        other.tell(key, null);
      },
      watch: (listener) => listeners[mine].on(listener),
    };
  };
  return [tab(0), tab(1)];
}

test('what follows a start waits for its conversation', () => {
  const wire = new Wire();
  const outbox = new Outbox(memoryStore(), wire);
  outbox.add(start(1));
  outbox.add(send(2, ''), id(1));
  assert.deepEqual(wire.ids, ['1']);
  wire.ack(1, id(9));
  assert.deepEqual(wire.sent[1], send(2, id(9)));
  wire.ack(2, id(9));
  assert.deepEqual(outbox.entries(), []);
});

test('a repeat after a reload keeps id and seen', () => {
  const store = memoryStore();
  const away = new Wire();
  away.up = false;
  new Outbox(store, away).add(send(1, id(9)));
  const wire = new Wire();
  new Outbox(store, wire).resend();
  assert.deepEqual(wire.sent, [send(1, id(9))]);
});

test('a passing refusal is repeated with the same id after its time, and nothing overtakes it', () => {
  for (const code of ['unknown', 'unavailable', 'overloaded', 'rate_limited'] as const) {
    const wire = new Wire();
    const outbox = new Outbox(memoryStore(), wire);
    outbox.add(send(1, id(9)));
    outbox.add(send(2, id(9)));
    wire.refuse(1, code, 500);
    assert.deepEqual(wire.ids, ['1']);
    mock.timers.tick(499);
    assert.deepEqual(wire.ids, ['1']);
    mock.timers.tick(1_001);
    assert.deepEqual(wire.ids, ['1', '1']);
    wire.ack(1, id(9));
    assert.deepEqual(wire.ids, ['1', '1', '2']);
    outbox.close();
  }
});

test('a lasting refusal waits for a person; the next goes on', () => {
  const wire = new Wire();
  const outbox = new Outbox(memoryStore(), wire);
  outbox.add(send(1, id(9)));
  outbox.add(send(2, id(9)));
  wire.refuse(1, 'forbidden');
  assert.equal(outbox.get(id(1))?.refused?.code, 'forbidden');
  assert.deepEqual(wire.ids, ['1', '2']);
  outbox.retry(id(1));
  wire.ack(2, id(9));
  assert.deepEqual(wire.ids, ['1', '2', '1']);
  wire.refuse(1, 'id_reused');
  outbox.retry(id(1), () => id(5));
  assert.deepEqual(wire.ids, ['1', '2', '1', '5']);
});

test('a closed conversation makes one new one, with the same texts and ids', () => {
  const wire = new Wire();
  const restart = (entry: { id: string }) => start(Number(entry.id[0]), 'words');
  const outbox = new Outbox(memoryStore(), wire, restart);
  for (const digit of [1, 2, 3]) outbox.add(send(digit, id(9)));
  wire.refuse(1, 'closed');
  assert.deepEqual(wire.sent.at(-1), start(1, 'words'));
  wire.ack(1, id(8));
  wire.ack(2, id(8));
  wire.ack(3, id(8));
  assert.deepEqual(
    wire.sent.slice(2).map((frame) => 'conversation' in frame && frame.conversation),
    [id(8), id(8)],
  );
  assert.deepEqual(outbox.entries(), []);
});

test('an answer that never comes is asked for again', () => {
  const wire = new Wire();
  const outbox = new Outbox(memoryStore(), wire);
  outbox.add(send(1, id(9)));
  mock.timers.tick(20_000);
  assert.deepEqual(wire.ids, ['1', '1']);
  outbox.close();
});

test('another tab shows it, and sends it only when the first one does not get it through', () => {
  const [one, other] = tabs();
  const wires = [new Wire(), new Wire()] as const;
  const first = new Outbox(one, wires[0]);
  const second = new Outbox(other, wires[1]);
  const gone: string[] = [];
  second.gone.on((entry) => gone.push(entry.id));
  first.add(send(1, id(9)));
  assert.equal(second.entries().length, 1);
  assert.deepEqual(wires[1].sent, []);
  wires[0].ack(1, id(9));
  assert.deepEqual(gone, [id(1)]);
  first.add(send(2, id(9)));
  first.close();
  mock.timers.tick(20_000);
  assert.deepEqual(wires[1].sent, [send(2, id(9))]);
  second.close();
});

test('a tab whose start another tab had answered learns the conversation by repeating it', () => {
  const [one, other] = tabs();
  const wires = [new Wire(), new Wire()] as const;
  const first = new Outbox(one, wires[0]);
  const second = new Outbox(other, wires[1]);
  first.add(start(1));
  wires[1].up = false;
  second.add(send(2, ''), id(1));
  first.close();
  // The first tab's answer, as its storage tells of it, came before it knew of the second's message.
  one.remove(`out.${id(1)}`);
  wires[1].up = true;
  second.resend();
  assert.deepEqual(wires[1].sent[0], start(1));
  wires[1].ack(1, id(9));
  assert.deepEqual(wires[1].sent[1], send(2, id(9)));
  second.close();
});

test('what is not one of its entries in storage is left alone', () => {
  const store = memoryStore();
  store.set('out.x', '{');
  store.set('out.y', '{"id":"z"}');
  assert.deepEqual(new Outbox(store, new Wire()).entries(), []);
  assert.equal(store.get('out.x'), '{');
});
