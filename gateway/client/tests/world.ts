import { Conversation } from '../src/conversation.ts';
import { Outbox } from '../src/outbox.ts';
import type { Author, Body, ClientFrame, Event, Face, Id, ServerFrame } from '../src/protocol.ts';
import { Signal } from '../src/signal.ts';
import { memoryStore, type Store } from '../src/storage.ts';

export const CONVERSATION: Id = 'c'.repeat(32);
export const VISITOR: Face = { id: '1'.repeat(32), name: 'Amber Heron' };
export const AGENT: Face = { id: '2'.repeat(32), name: 'Maya Okafor' };

/** Small bounds, so that short scripts reach every branch of resuming. */
const CHUNK = 3;
const TOO_FAR = 9;

/** Random numbers that a printed seed repeats (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What the protocol promises of a gateway, as far as one conversation sees it. Staff notes make its seqs skip. */
export class Server {
  log: Event[] = [];
  /** How the next command is refused, once each. */
  refusals: ServerFrame[] = [];

  get visible(): Event[] {
    return this.log.filter(({ audience }) => audience === 'all');
  }

  add(author: Author, body: Body, cmd?: Id): Event {
    const prev = this.visible.at(-1)?.seq ?? 0;
    const audience = body.kind === 'note' ? 'staff' : 'all';
    const event: Event = { seq: this.log.length + 1, prev, at: 1, author, audience, body, ...(cmd && { cmd }) };
    this.log.push(event);
    return event;
  }

  /** Its answers to one frame of the visitor, in order. */
  answer(frame: ClientFrame): ServerFrame[] {
    if (frame.t === 'open') return [this.#opened(frame.after)];
    if (frame.t === 'page') {
      const before = this.visible.filter(({ seq }) => seq < frame.before);
      const events = before.slice(-CHUNK);
      return [{ t: 'page', conversation: CONVERSATION, events, older: before.length > events.length }];
    }
    if (frame.t !== 'send' && frame.t !== 'start') return [];
    const refusal = this.refusals.shift();
    if (refusal?.t === 'refused') return [{ ...refusal, id: frame.id }];
    const before = this.log.find(({ cmd }) => cmd === frame.id);
    const { id, text } = frame;
    const body: Body = { kind: 'message', parts: [{ kind: 'text', text }] };
    const event = before ?? this.add({ kind: 'visitor', ...VISITOR }, body, id);
    const { seq, prev, at } = event;
    const ack: ServerFrame = {
      t: 'ack',
      id,
      conversation: CONVERSATION,
      seq,
      prev,
      at,
      ...(before && { again: true }),
    };
    return frame.t === 'start' ? [this.#opened(undefined), ack] : [ack];
  }

  #opened(after: number | undefined): ServerFrame {
    const all = this.visible;
    const head = all.at(-1)?.seq ?? 0;
    const conversation = {
      id: CONVERSATION,
      status: 'queued' as const,
      visitor: VISITOR,
      created_at: 1,
      head,
      first_seq: 1,
      reads: [],
    };
    const missed = after === undefined ? [] : all.filter(({ seq }) => seq > after);
    const ahead = after !== undefined && after > head;
    if (after === undefined || ahead || missed.length > TOO_FAR) {
      const events = all.slice(-CHUNK);
      const reset = after === undefined ? 'first' : ahead ? 'cursor_ahead' : 'too_far';
      return { t: 'opened', conversation, reset, events, older: all.length > events.length, more: false };
    }
    const events = missed.slice(0, CHUNK);
    return { t: 'opened', conversation, events, older: false, more: missed.length > events.length };
  }
}

/** One page of the visitor over a wire that delivers a frame when told to, and loses what is on it when it is cut. */
export class Page {
  readonly frames = new Signal<[ServerFrame]>();
  readonly outbox: Outbox;
  readonly conversation: Conversation;
  up = false;
  #live = false;
  #toServer: ClientFrame[] = [];
  #toClient: ServerFrame[] = [];
  readonly #server: Server;

  constructor(server: Server, store: Store = memoryStore()) {
    this.#server = server;
    this.outbox = new Outbox(store, this);
    const { outbox } = this;
    this.conversation = new Conversation(CONVERSATION, { link: this, outbox, side: 'visitor', me: () => VISITOR });
    this.conversation.follow();
  }

  send(frame: ClientFrame): boolean {
    if (this.up) this.#toServer.push(frame);
    return this.up;
  }

  connect(): void {
    this.up = true;
    this.#live = false;
    this.frames.tell({
      t: 'welcome',
      as: 'visitor',
      me: VISITOR,
      workspace: AGENT,
      now: 1,
      heartbeat_ms: 45_000,
      max_text_bytes: 16_384,
    });
    this.outbox.resend();
  }

  cut(): void {
    this.up = false;
    this.#live = false;
    this.#toServer = [];
    this.#toClient = [];
  }

  /** The gateway follows a conversation live once an `opened` of it had no `more`. */
  hear(event: Event): void {
    if (this.up && this.#live && event.audience === 'all') {
      this.#toClient.push({ t: 'event', conversation: CONVERSATION, event });
    }
  }

  /** Loses one live frame, as no gateway should: the gap must be seen. */
  loseOne(): void {
    const index = this.#toClient.findIndex(({ t }) => t === 'event');
    if (index >= 0) this.#toClient.splice(index, 1);
  }

  /** Delivers one frame; which way first is for `coin` to say. False when nothing is on the wire. */
  step(coin = 0): boolean {
    const upward = this.#toServer.length > 0 && (coin < 0.5 || !this.#toClient.length);
    if (upward) {
      const frame = this.#toServer.shift() as ClientFrame;
      for (const answer of this.#server.answer(frame)) {
        if (answer.t === 'opened' && !answer.more) this.#live = true;
        this.#toClient.push(answer);
      }
      return true;
    }
    const frame = this.#toClient.shift();
    if (frame) this.frames.tell(frame);
    return frame !== undefined;
  }

  drain(): void {
    for (let left = 10_000; left && this.step(); left--);
  }

  close(): void {
    this.cut();
    this.conversation.close();
    this.outbox.close();
  }
}

export const said = (events: readonly Event[]): string[] =>
  events.flatMap(({ body }) => (body.kind === 'message' ? body.parts.map(({ text }) => text) : []));
