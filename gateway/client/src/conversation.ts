import { newId } from './id.ts';
import type { Command, Entry, Link, Outbox } from './outbox.ts';
import type {
  Ack,
  Author,
  AuthorKind,
  Body,
  Event,
  Face,
  Id,
  Opened,
  Conversation as Profile,
  RefusalCode,
  ServerFrame,
} from './protocol.ts';
import { Signal } from './signal.ts';

/** A word or note of mine that is not in the log yet. */
export interface Pending {
  id: Id;
  kind: 'message' | 'note';
  text: string;
  /** When it was made, ms since 1970 by this machine's clock. */
  at: number;
  /** `sending`: on its way or waiting for a connection. `failed`: refused for good, with the reason. */
  state: 'sending' | 'failed';
  code?: RefusalCode;
  reason?: string;
}

/** Somebody's typing ends by itself after this time, ms (protocol). */
const TYPING_MS = 6_000;
/** One's own typing is said again at most this often, ms (protocol). */
const SAY_TYPING_MS = 3_000;

/** The text of a message's or note's parts; kinds that are not known are skipped. */
export function textOf(body: Body): string {
  if (body.kind !== 'message' && body.kind !== 'note') return '';
  return body.parts
    .filter((part) => part.kind === 'text')
    .map((part) => part.text)
    .join('\n');
}

export interface ConversationOptions {
  link: Link;
  outbox: Outbox;
  /** On whose side this client stands. */
  side: 'visitor' | 'agent';
  /** Who I am, as of the last `welcome`. */
  me: () => Face | null;
  /** Finds a member's name for an assignment of one's own; without it (or null) the event is fetched. */
  face?: (id: Id) => Face | null;
}

/**
 * One conversation as one reader sees it: the log without gaps from its oldest loaded event to `cursor`, what is on
 * its way out, who has read how far, and who types.
 */
export class Conversation {
  readonly id: Id;
  /** Oldest first, without gaps for this reader's audience. */
  events: Event[] = [];
  /** Seq of the last event here; 0 before the first. */
  cursor = 0;
  /** Whether events exist before the oldest one here. */
  older = false;
  /** Whether a page of them was asked for and is not here yet. */
  loadingOlder = false;
  /** Status, holder, position and so on, kept up to date by the events; null before `opened`. */
  profile: Profile | null = null;
  /** How far each reader has read: by kind and id. */
  readonly reads = new Map<string, number>();
  /** Others who type now. */
  typing: Author[] = [];
  /** Whether everything up to now is here and live events follow. */
  live = false;
  /** Why it could not be opened. */
  refused: RefusalCode | null = null;

  /** After every change of the fields above. */
  readonly changed = new Signal();
  /** Live events that others caused, once each: for sounds, announcements, notifications. */
  readonly arrived = new Signal<[Event]>();

  readonly #options: ConversationOptions;
  readonly #ends: (() => void)[];
  readonly #typingTimers = new Map<string, ReturnType<typeof setTimeout>>();
  /** Own commands that took effect, but whose place in the log is not reached yet. */
  readonly #acked = new Map<Id, { entry: Entry; ack: Ack }>();
  /** Own commands that another tab had answered, until the log shows whether they took effect. */
  readonly #elsewhere = new Map<Id, Entry>();
  /** Whether an `open` is on its way; further gaps are closed by its answer. */
  #opening = false;
  #following = false;
  #saidTypingAt = 0;
  #saidRead = 0;

  constructor(id: Id, options: ConversationOptions) {
    this.id = id;
    this.#options = options;
    this.#ends = [
      options.link.frames.on((frame) => this.#take(frame)),
      options.outbox.settled.on((entry, ack) => this.#settled(entry, ack)),
      options.outbox.gone.on((entry) => {
        // Another tab had the answer; whether it took effect, the log tells.
        if (entry.lane !== id) return;
        this.#elsewhere.set(entry.id, entry);
        if (this.live) this.#open();
      }),
      options.outbox.changed.on(() => this.changed.tell()),
    ];
  }

  /** Stops listening, and following if it did. */
  close(): void {
    for (const end of this.#ends) end();
    for (const timer of this.#typingTimers.values()) clearTimeout(timer);
    if (this.#following) this.#options.link.send({ t: 'close', conversation: this.id });
    this.#following = false;
  }

  /** Follows the conversation from what is here; after every `welcome` this happens by itself. */
  follow(): void {
    this.#following = true;
    this.#open();
  }

  /** What is not in the log yet, in the order it will stand there. */
  get pending(): Pending[] {
    const settled = [...this.#acked.values()].map(({ entry }) => entry);
    return [...settled, ...this.#elsewhere.values(), ...this.#options.outbox.entries(this.id)].flatMap(
      ({ id, command, order, refused }) => {
        if (command.t !== 'send' && command.t !== 'note') return [];
        const kind = command.t === 'note' ? 'note' : 'message';
        const pending: Pending = { id, kind, text: command.text, at: order, state: refused ? 'failed' : 'sending' };
        if (refused) Object.assign(pending, { code: refused.code, reason: refused.message });
        return [pending];
      },
    );
  }

  /** Says something to the other side. */
  say(text: string): Id {
    this.stopTyping();
    return this.command({ t: 'send', text });
  }

  /** Gives the outbox a command about this conversation. */
  command(command: CommandWithoutEnvelope): Id {
    const id = newId();
    this.#options.outbox.add({ ...command, id, conversation: this.id, seen: this.cursor } as Command);
    return id;
  }

  /** Asks for older events, if there are any and none are on their way. */
  loadOlder(limit = 50): void {
    const first = this.events[0];
    if (!first || !this.older || this.loadingOlder) return;
    this.loadingOlder = this.#options.link.send({ t: 'page', conversation: this.id, before: first.seq, limit });
    this.changed.tell();
  }

  /** I have read everything here. Said only when it moves forward. */
  markRead(): void {
    const { id, cursor } = this;
    if (cursor <= Math.max(this.#saidRead, this.myRead)) return;
    if (!this.#options.link.send({ t: 'read', conversation: id, seq: cursor })) return;
    this.#saidRead = cursor;
    this.changed.tell();
  }

  /** I type. Call it at every key; it is said at most every 3 s. */
  type(): void {
    const now = Date.now();
    if (now - this.#saidTypingAt < SAY_TYPING_MS) return;
    if (this.#options.link.send({ t: 'typing', conversation: this.id, on: true })) this.#saidTypingAt = now;
  }

  /** I no longer type (the text was sent or cleared). */
  stopTyping(): void {
    if (!this.#saidTypingAt) return;
    this.#saidTypingAt = 0;
    this.#options.link.send({ t: 'typing', conversation: this.id, on: false });
  }

  /** How far anyone of a kind has read; `not` leaves one reader out. */
  readBy(kind: AuthorKind): number {
    let seq = 0;
    for (const [key, value] of this.reads) if (key.startsWith(kind)) seq = Math.max(seq, value);
    return seq;
  }

  /** How far I have read, as the server knows it. */
  get myRead(): number {
    const me = this.#options.me();
    return me ? (this.reads.get(`${this.#options.side} ${me.id}`) ?? 0) : 0;
  }

  /** Messages of the other side among the events here that I have not read. */
  get unread(): number {
    const from = Math.max(this.myRead, this.#saidRead);
    return this.events.filter(
      ({ seq, author, body }) =>
        seq > from && body.kind === 'message' && (author.kind === 'visitor') !== (this.#options.side === 'visitor'),
    ).length;
  }

  #open(): void {
    if (!this.#following || this.#opening) return;
    const after = this.events.length ? { after: this.cursor } : {};
    this.#opening = this.#options.link.send({ t: 'open', conversation: this.id, ...after });
  }

  #take(frame: ServerFrame): void {
    if (frame.t === 'welcome') {
      this.live = this.#opening = this.loadingOlder = false;
      this.#saidRead = this.#saidTypingAt = 0;
      this.#stopAllTyping();
      this.#open();
      this.changed.tell();
      return;
    }
    if (frame.t === 'opened') {
      if (frame.conversation.id === this.id) this.#opened(frame);
      return;
    }
    if (!('conversation' in frame) || frame.conversation !== this.id) return;
    switch (frame.t) {
      case 'event':
        this.#event(frame.event);
        break;
      case 'page':
        this.#page(frame.events, frame.older);
        break;
      case 'read':
        this.#mark(frame.mark.kind, frame.mark.id, frame.mark.seq);
        break;
      case 'typing':
        this.#typing(frame.author, frame.on);
        break;
      case 'online':
        if (this.profile) this.profile = { ...this.profile, visitor_online: frame.online };
        break;
      case 'position':
        this.#position(frame.position);
        break;
      case 'resync':
        this.#opening = false;
        this.#open();
        break;
      case 'refused':
        // Without a command's id it answers an `open` or a `page`.
        if (frame.id) return;
        this.#opening = this.loadingOlder = false;
        if (frame.code === 'not_found' || frame.code === 'forbidden') this.refused = frame.code;
        else setTimeout(() => this.#open(), frame.retry_after_ms ?? 2_000);
        break;
      default:
        return;
    }
    this.changed.tell();
  }

  #opened(frame: Opened): void {
    this.#opening = false;
    this.refused = null;
    const { reads, ...profile } = frame.conversation;
    this.profile = { ...profile, reads };
    for (const mark of reads) this.#mark(mark.kind, mark.id, mark.seq);
    if (frame.reset) {
      this.events = [];
      this.cursor = 0;
      this.older = frame.older;
      this.loadingOlder = false;
    }
    for (const event of frame.events) this.#append(event);
    if (frame.more) this.#open();
    else {
      this.live = true;
      this.#elsewhere.clear();
      this.#settle();
      // An own command that took effect and is still beyond the log: it became durable after this answer was made.
      if (this.#acked.size) this.#open();
    }
    this.changed.tell();
  }

  /** A live event: in its place, or a sign that something was missed. */
  #event(event: Event): void {
    if (event.seq <= this.cursor) return;
    if (event.prev !== this.cursor) {
      this.#open();
      return;
    }
    this.#append(event);
    this.#settle();
    if (event.author.id !== this.#options.me()?.id) this.arrived.tell(event);
  }

  #append(event: Event): void {
    if (event.seq <= this.cursor) return;
    this.events = [...this.events, event];
    this.cursor = event.seq;
    const { cmd, seq, prev, at, author } = event;
    if (cmd) {
      this.#acked.delete(cmd);
      this.#elsewhere.delete(cmd);
      // An answer that was lost with its connection need not be asked for again.
      const own = author.id === this.#options.me()?.id && this.#options.outbox.get(cmd);
      if (own) this.#options.outbox.confirm({ id: cmd, conversation: this.id, seq, prev, at, again: true });
    }
    if (event.body.kind === 'message' || event.body.kind === 'note') this.#typing(event.author, false);
    this.#follow(event);
  }

  /** What an event says about status and holder. */
  #follow({ seq, body }: Event): void {
    const { profile } = this;
    if (!profile || seq <= profile.head) return;
    const { assignee, position: _, ...rest } = { ...profile, head: seq };
    if (body.kind === 'assigned') this.profile = { ...rest, status: 'assigned', assignee: body.to };
    else if (body.kind === 'queued') this.profile = { ...rest, status: 'queued' };
    else if (body.kind === 'resolved') this.profile = { ...rest, status: 'resolved', ...(assignee && { assignee }) };
    else if (body.kind === 'reopened')
      this.profile = { ...rest, status: assignee ? 'assigned' : 'queued', ...(assignee && { assignee }) };
    else this.profile = { ...profile, head: seq };
  }

  #position(position: number | undefined): void {
    if (!this.profile) return;
    const { position: _, ...rest } = this.profile;
    this.profile = position === undefined ? rest : { ...rest, position };
  }

  #page(events: Event[], older: boolean): void {
    this.loadingOlder = false;
    const first = this.events[0];
    if (!first) return;
    const before = events.filter(({ seq }) => seq < first.seq);
    this.events = [...before, ...this.events];
    this.older = older;
  }

  #settled(entry: Entry, ack: Ack): void {
    if (entry.lane !== this.id) return;
    if (ack.seq === undefined || ack.seq <= this.cursor) {
      this.changed.tell();
      return;
    }
    this.#acked.set(entry.id, { entry, ack });
    this.#settle();
    if (this.#acked.size && this.live) this.#open();
    this.changed.tell();
  }

  /** Writes own events into the log as far as it reaches them: the acknowledged connection gets no `event` for them. */
  #settle(): void {
    for (let found = true; found; ) {
      found = false;
      for (const [id, { entry, ack }] of this.#acked) {
        if ((ack.seq ?? 0) <= this.cursor) this.#acked.delete(id);
        else if (ack.prev === this.cursor && !ack.again) {
          const event = this.#ownEvent(entry.command, ack);
          if (!event) continue;
          this.#append(event);
          found = true;
        }
      }
    }
  }

  /** The event that the acknowledged command caused, if it can be known here; others are fetched. */
  #ownEvent(command: Command, { id, seq, prev, at }: Ack): Event | null {
    const body = this.#ownBody(command);
    if (!body || seq === undefined || prev === undefined || at === undefined) return null;
    const author = { kind: this.#options.side, ...this.#options.me() };
    return { seq, prev, at, author, audience: body.kind === 'note' ? 'staff' : 'all', cmd: id, body };
  }

  #ownBody(command: Command): Body | null {
    if ('text' in command) {
      return { kind: command.t === 'note' ? 'note' : 'message', parts: [{ kind: 'text', text: command.text }] };
    }
    if (command.t === 'resolve') return { kind: 'resolved' };
    if (command.t === 'reopen') return { kind: 'reopened' };
    if (command.t !== 'assign') return null;
    if (command.to === null) return { kind: 'queued', reason: 'returned' };
    const { me, face } = this.#options;
    const taken = command.to === me()?.id;
    const to = taken ? me() : face?.(command.to);
    return to ? { kind: 'assigned', to, reason: taken ? 'taken' : 'given' } : null;
  }

  #mark(kind: AuthorKind, id: Id, seq: number): void {
    const key = `${kind} ${id}`;
    if (seq > (this.reads.get(key) ?? 0)) this.reads.set(key, seq);
  }

  #typing(author: Author, on: boolean): void {
    const key = author.id ?? author.kind;
    const others = this.typing.filter((one) => (one.id ?? one.kind) !== key);
    clearTimeout(this.#typingTimers.get(key));
    this.#typingTimers.delete(key);
    if (on) {
      const expire = (): void => {
        this.#typing(author, false);
        this.changed.tell();
      };
      this.#typingTimers.set(key, setTimeout(expire, TYPING_MS));
    }
    if (on || others.length !== this.typing.length) this.typing = on ? [...others, author] : others;
  }

  #stopAllTyping(): void {
    for (const timer of this.#typingTimers.values()) clearTimeout(timer);
    this.#typingTimers.clear();
    this.typing = [];
  }
}

type Omitted<T> = T extends { conversation: Id } ? Omit<T, 'id' | 'conversation' | 'seen'> : never;
/** A command about a conversation before id, conversation and `seen` are filled in. */
export type CommandWithoutEnvelope = Omitted<Command>;
