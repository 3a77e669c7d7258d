import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import type { Bye } from '../src/protocol.ts';
import { Socket, type SocketOptions } from '../src/socket.ts';

class Wire {
  static all: Wire[] = [];
  readonly url: string;
  readyState = 0;
  sent: string[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  constructor(url: string) {
    this.url = url;
    Wire.all.push(this);
  }
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.readyState = 3;
  }
  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  say(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  welcome(): void {
    this.open();
    this.say({ t: 'welcome', as: 'visitor', me: {}, workspace: {}, now: 5, heartbeat_ms: 45_000, max_text_bytes: 9 });
  }
}

const page = new EventTarget();
const look = { visibilityState: 'visible' };
Object.assign(globalThis, {
  addEventListener: page.addEventListener.bind(page),
  removeEventListener: page.removeEventListener.bind(page),
  document: look,
});
const network = { onLine: true };
Object.defineProperty(globalThis, 'navigator', { value: network, configurable: true });

const turn = () => new Promise<void>((done) => setImmediate(done));

function make(more: Partial<SocketOptions> = {}): Socket {
  const socket = new Socket({
    url: 'https://chat.example',
    hello: async () => ({ v: 1, as: 'visitor' }),
    random: () => 0.999,
    WebSocket: Wire as never,
    ...more,
  });
  socket.start();
  return socket;
}
const last = (): Wire => Wire.all.at(-1) as Wire;
const living = (): number => Wire.all.filter((wire) => wire.readyState < 2).length;

beforeEach(() => {
  Wire.all = [];
  network.onLine = true;
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
});
afterEach(() => mock.timers.reset());

test('hello is the first frame, on /ws of the origin, and nothing goes out before welcome', async () => {
  const socket = make();
  await turn();
  assert.equal(last().url, 'wss://chat.example/ws');
  last().open();
  assert.equal(last().sent[0], '{"t":"hello","v":1,"as":"visitor"}');
  assert.equal(socket.send({ t: 'ping' }), false);
  last().say({ t: 'welcome', heartbeat_ms: 1000, now: 5 });
  assert.equal(socket.state, 'open');
  assert.equal(socket.send({ t: 'ping' }), true);
  socket.stop();
});

test('it comes back after bye, not before the time said, and never twice at once', async () => {
  const socket = make();
  await turn();
  last().welcome();
  last().say({ t: 'bye', code: 4000, message: '', reconnect: true, retry_after_ms: 5_000 });
  assert.equal(socket.state, 'waiting');
  page.dispatchEvent(new Event('online'));
  mock.timers.tick(5_000);
  await turn();
  assert.equal(Wire.all.length, 1);
  mock.timers.tick(500);
  await turn();
  assert.equal(Wire.all.length, 2);
  socket.retry();
  await turn();
  assert.equal(living(), 1);
  socket.stop();
  assert.equal(living(), 0);
});

test('a code that says so ends it, with or without bye', async () => {
  for (const announced of [true, false]) {
    const socket = make();
    await turn();
    last().welcome();
    if (announced) last().say({ t: 'bye', code: 4015, message: 'ended', reconnect: false });
    else last().onclose?.({ code: 4015, reason: 'ended' });
    assert.equal(socket.state, 'stopped');
    assert.equal(socket.farewell?.code, 4015);
    mock.timers.tick(600_000);
    await turn();
    assert.equal(living(), 0);
  }
});

test('a dead token is told of before the next hello', async () => {
  const told: Bye[] = [];
  let token: string | undefined = 'old';
  const socket = make({
    hello: async () => ({ v: 1, as: 'visitor', ...(token && { token }) }),
    onBye: (bye) => {
      told.push(bye);
      token = undefined;
    },
  });
  await turn();
  last().open();
  last().onclose?.({ code: 4013, reason: '' });
  mock.timers.tick(500);
  await turn();
  last().open();
  assert.equal(told.length, 1);
  assert.equal(last().sent[0], '{"t":"hello","v":1,"as":"visitor"}');
  socket.stop();
});

test('a heartbeat goes out, and a missing pong means a dead link', async () => {
  const socket = make();
  await turn();
  last().welcome();
  mock.timers.tick(45_000);
  assert.equal(last().sent.at(-1), '{"t":"ping"}');
  last().say({ t: 'pong' });
  mock.timers.tick(45_000);
  mock.timers.tick(10_000);
  assert.equal(socket.state, 'waiting');
  assert.equal(living(), 0);
  socket.stop();
});

test('going offline is noticed within seconds, and coming back at once', async () => {
  const socket = make();
  await turn();
  last().welcome();
  mock.timers.tick(3_000);
  network.onLine = false;
  page.dispatchEvent(new Event('offline'));
  mock.timers.tick(3_000);
  assert.equal(socket.state, 'offline');
  network.onLine = true;
  page.dispatchEvent(new Event('online'));
  await turn();
  assert.equal(socket.state, 'connecting');
  socket.stop();
});

test('showing and hiding the page a hundred times is not a hundred pings', async () => {
  const socket = make();
  await turn();
  last().welcome();
  mock.timers.tick(3_000);
  for (let index = 0; index < 100; index++) page.dispatchEvent(new Event('visibilitychange'));
  assert.equal(last().sent.filter((text) => text.includes('ping')).length, 1);
  socket.stop();
});

test('a hello that fails is tried again with growing bounds; null stops', async () => {
  let fail = true;
  const socket = make({ hello: () => (fail ? Promise.reject(new Error('401')) : Promise.resolve(null)) });
  await turn();
  assert.equal(socket.state, 'waiting');
  const first = (socket.retryAt ?? 0) - Date.now();
  mock.timers.tick(first);
  await turn();
  assert.ok((socket.retryAt ?? 0) - Date.now() > first);
  fail = false;
  socket.retry();
  await turn();
  assert.equal(socket.state, 'stopped');
});
