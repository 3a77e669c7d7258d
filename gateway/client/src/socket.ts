import { Backoff } from './backoff.ts';
import type { Bye, ClientFrame, Hello, ServerFrame, Welcome } from './protocol.ts';
import { CLOSE_CODES, HEARTBEAT_MS, HELLO_TIMEOUT_SECS } from './protocol.ts';
import { Signal } from './signal.ts';

/**
 * - `connecting`: until `welcome`.
 * - `open`: frames flow.
 * - `waiting`: it failed; the next attempt is at `retryAt`.
 * - `offline`: as waiting, and the browser says that there is no network.
 * - `stopped`: not started, stopped by the user of this class, or closed with a code that says not to come back
 *   (`farewell` tells which).
 */
export type SocketState = 'connecting' | 'open' | 'waiting' | 'offline' | 'stopped';

/** No frame of any kind within this time after a ping: the link is dead, ms. A server answers in a fraction of it. */
const PONG_MS = 10_000;
/** The same when there is a reason to doubt the link (the lid was opened, the network changed), ms. */
const PROBE_MS = 3_000;
/** A connection that held this long was a good one: the backoff begins small again, ms. */
const GOOD_MS = 10_000;
/** At most one ping in this time, however often the page is shown and hidden (the server allows 10 in 10 s), ms. */
const PING_GAP_MS = 2_000;

/** Closes after which coming back cannot help, for one that was not announced by `bye`. */
const FINAL: readonly number[] = [
  CLOSE_CODES.HelloExpected.code,
  CLOSE_CODES.UnsupportedVersion.code,
  CLOSE_CODES.Revoked.code,
  CLOSE_CODES.WorkspaceUnknown.code,
  CLOSE_CODES.OriginRefused.code,
  CLOSE_CODES.FrameTooBig.code,
  CLOSE_CODES.BinaryFrame.code,
  CLOSE_CODES.TooManyBadFrames.code,
  CLOSE_CODES.TooManyControlFrames.code,
];

/** What may have happened to the link meanwhile (`visibilitychange` bubbles up to the window). */
const SIGNS = ['online', 'offline', 'pageshow', 'visibilitychange'];

type Timer = ReturnType<typeof setTimeout>;

export interface SocketOptions {
  /** Origin of the gateway (`https://chat.example`), or a whole ws(s) address. */
  url: string;
  /**
   * Says who connects; asked before every attempt. A rejection counts as a failed attempt; null stops the socket.
   */
  hello: () => Promise<Hello | null>;
  /** Called at each `bye` (or close with a known code) before the next attempt: the place to forget a dead token. */
  onBye?: (bye: Bye) => void;
  /** For tests. */
  random?: () => number;
  WebSocket?: new (url: string) => WebSocket;
}

/** One connection to the gateway that comes back by itself. Never two at once. */
export class Socket {
  state: SocketState = 'stopped';
  /** When the next attempt is made (ms since 1970 by this machine's clock); null while none is planned. */
  retryAt: number | null = null;
  /** The last `welcome`; kept while reconnecting. */
  welcome: Welcome | null = null;
  /** Why the gateway closed it the last time; null after a `welcome`. */
  farewell: Bye | null = null;
  /** Server clock minus this machine's, ms, as of the last `welcome`. */
  skew = 0;

  /** After every change of the fields above. */
  readonly changed = new Signal();
  /** Every frame, `welcome` included, in order. */
  readonly frames = new Signal<[ServerFrame]>();

  readonly #options: SocketOptions;
  readonly #url: string;
  readonly #backoff: Backoff;
  #running = false;
  #attempt = 0;
  #ws: WebSocket | null = null;
  #timer: Timer | undefined;
  #deadline: Timer | undefined;
  #heartbeat = HEARTBEAT_MS;
  #openedAt = 0;
  #pingedAt = 0;
  #notBefore = 0;

  constructor(options: SocketOptions) {
    this.#options = options;
    this.#backoff = new Backoff(500, 30_000, options.random);
    const url = new URL(options.url);
    url.protocol = url.protocol.replace('http', 'ws');
    if (url.pathname === '/') url.pathname = '/ws';
    this.#url = url.href;
  }

  /** Begins, or begins again after `stop` or a final close. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    for (const name of SIGNS) addEventListener(name, this.#doubt);
    void this.#connect();
  }

  /** Closes and stays closed. */
  stop(): void {
    this.#running = false;
    for (const name of SIGNS) removeEventListener(name, this.#doubt);
    this.#drop();
    this.#set('stopped', null);
  }

  /** Connects anew at once: after a new token, or when a person asks not to wait. */
  retry(): void {
    if (!this.#running) {
      this.start();
      return;
    }
    this.#backoff.reset();
    void this.#connect();
  }

  /** Says a frame. False when it could not be handed to an open connection (nothing is queued here). */
  send(frame: ClientFrame): boolean {
    if (this.state !== 'open' || this.#ws?.readyState !== 1) return false;
    this.#ws.send(JSON.stringify(frame));
    return true;
  }

  #set(state: SocketState, retryAt: number | null): void {
    this.state = state;
    this.retryAt = retryAt;
    this.changed.tell();
  }

  async #connect(): Promise<void> {
    this.#drop();
    const attempt = this.#attempt;
    this.#set('connecting', null);
    let hello: Hello | null;
    try {
      hello = await this.#options.hello();
    } catch {
      if (attempt === this.#attempt) this.#wait(0);
      return;
    }
    if (attempt !== this.#attempt) return;
    if (!hello) return this.stop();

    const said = hello;
    const ws = new (this.#options.WebSocket ?? WebSocket)(this.#url);
    this.#ws = ws;
    this.#expect(HELLO_TIMEOUT_SECS * 1000);
    ws.onopen = () => ws.send(JSON.stringify({ t: 'hello', ...said }));
    ws.onmessage = (message) => this.#take(String(message.data));
    ws.onclose = (event) => this.#closed(event.code, event.reason);
  }

  /** Lets go of the connection without waiting for the other end (a dead one would take minutes). */
  #drop(): void {
    this.#attempt += 1;
    clearTimeout(this.#timer);
    clearTimeout(this.#deadline);
    const ws = this.#ws;
    this.#ws = null;
    if (!ws) return;
    ws.onopen = ws.onmessage = ws.onclose = null;
    ws.close(1000);
  }

  #take(text: string): void {
    let frame: ServerFrame;
    try {
      frame = JSON.parse(text) as ServerFrame;
    } catch {
      return; // Not of this protocol; a version that we speak says JSON only.
    }
    clearTimeout(this.#deadline);
    if (frame.t === 'welcome') {
      this.welcome = frame;
      this.farewell = null;
      this.skew = frame.now - Date.now();
      this.#heartbeat = frame.heartbeat_ms;
      this.#openedAt = Date.now();
      this.#beat();
      // Frames before the state: whoever sends at `open` finds the welcome's facts in place.
      this.state = 'open';
      const attempt = this.#attempt;
      this.frames.tell(frame);
      // Unless a listener found that it is connected as somebody else, and connects anew.
      if (attempt === this.#attempt) this.#set('open', null);
      return;
    }
    if (frame.t === 'bye') {
      this.#goodbye(frame);
      return;
    }
    this.frames.tell(frame);
  }

  #closed(code: number, reason: string): void {
    if (code >= 4000 && code < 5000) this.#goodbye({ code, message: reason, reconnect: !FINAL.includes(code) });
    else this.#wait(0);
  }

  #goodbye(bye: Bye): void {
    this.#drop();
    this.farewell = bye;
    this.#options.onBye?.(bye);
    if (bye.reconnect) this.#wait(bye.retry_after_ms ?? 0);
    else this.stop();
  }

  #wait(atLeast: number): void {
    this.#drop();
    if (!this.#running) return;
    if (this.#openedAt && Date.now() - this.#openedAt > GOOD_MS) this.#backoff.reset();
    this.#openedAt = 0;
    this.#notBefore = Date.now() + atLeast;
    const delay = atLeast + this.#backoff.next();
    this.#timer = setTimeout(() => void this.#connect(), delay);
    // Not trusted to say that trying is useless: a server on this very machine answers without a network.
    this.#set(!navigator.onLine ? 'offline' : 'waiting', Date.now() + delay);
  }

  #beat(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#probe(PONG_MS);
      this.#beat();
    }, this.#heartbeat);
  }

  #probe(within: number): void {
    if (Date.now() - this.#pingedAt < PING_GAP_MS || !this.send({ t: 'ping' })) return;
    this.#pingedAt = Date.now();
    this.#expect(within);
  }

  #expect(within: number): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#wait(0), within);
  }

  /** Something happened to the page or its network: look at once instead of at the next heartbeat. */
  #doubt = (event: Event): void => {
    if (document.visibilityState === 'hidden') return;
    if (this.state === 'open') this.#probe(PROBE_MS);
    else if (this.state === 'waiting' || this.state === 'offline') {
      if (event.type === 'offline') this.#set('offline', this.retryAt);
      else if (Date.now() >= this.#notBefore) void this.#connect();
    }
  };
}
