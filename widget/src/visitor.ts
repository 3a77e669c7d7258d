import type { Conversation, Pending } from '../../gateway/client/src/conversation.ts';
import { newId } from '../../gateway/client/src/id.ts';
import { Outbox } from '../../gateway/client/src/outbox.ts';
import type { Bye, Face, Id, ServerFrame, Team, VisitorRow } from '../../gateway/client/src/protocol.ts';
import { CLOSE_CODES, VERSION } from '../../gateway/client/src/protocol.ts';
import { Signal } from '../../gateway/client/src/signal.ts';
import { Socket } from '../../gateway/client/src/socket.ts';
import { localStore } from '../../gateway/client/src/storage.ts';
import type { Config } from './shell.ts';

export type Talk = typeof import('./talk.ts');

/** A connection may be away this long before the reader is told: most breaks are over sooner, ms. */
const TROUBLE_MS = 1_500;

/** A page address above this is left out of `start` rather than refused (protocol: MAX_PAGE_BYTES), bytes. */
const MAX_PAGE = 2_048;

interface Identity {
  visitor: Id;
  token: string;
}

/**
 * What this browser's visitor has of Bellhop: identity, current conversation, draft, other conversations. Kept per
 * workspace in localStorage (keys `token`, `conversation`, `live`, `draft`, `out.*`), where all tabs of the site meet.
 */
export class Visitor {
  readonly config: Config;
  readonly changed = new Signal();
  readonly socket: Socket;
  /** The current conversation; null before the first words, and until the part that follows one is loaded. */
  conversation: Conversation | null = null;
  /** The part that follows and shows conversations; null until there is one. */
  talk: Talk | null = null;
  /** All conversations, newest first; null until they were asked for and came. */
  rows: VisitorRow[] | null = null;
  team: Team;
  /** Longest message, bytes of UTF-8. */
  maxBytes = 16_384;
  /** Whether the connection has been away long enough to say so. */
  trouble = false;
  /** Whether somebody looks at the window: what is at the log's end then counts as read. */
  watching = false;

  readonly #store;
  readonly #outbox: Outbox;
  readonly #load: () => Promise<Talk>;
  /** The current conversation's id; null while it has none. */
  #id: Id | null;
  /** Where its commands queue in the outbox: its id, or the id of the `start`; null before the first words. */
  #lane: string | null;
  /** First words that took effect, until the conversation's log shows them. */
  #begun: Pending[] = [];
  #said: string | undefined;
  #wasOpen = false;
  #troubleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(base: string, workspace: Id, config: Config, load: () => Promise<Talk>) {
    this.#load = load;
    this.config = config;
    this.team = config.team;
    this.#store = localStore(`bellhop.${workspace}.`);
    this.socket = new Socket({
      url: new URL(base).origin,
      hello: async () => {
        this.#said = this.#identity()?.token;
        const token = this.#said ? { token: this.#said } : {};
        return { v: VERSION, as: 'visitor', workspace, client: 'widget/1', ...token };
      },
      onBye: (bye) => this.#bye(bye),
    });
    this.#outbox = new Outbox(this.#store, this.socket, (entry) => {
      if (entry.command.t !== 'send') return null;
      if (entry.lane === this.#lane) this.#show(null, entry.id);
      return { t: 'start', id: entry.id, text: entry.command.text, ...this.#page() };
    });
    this.#id = this.#store.get('conversation');
    this.#lane = this.#id ?? this.#outbox.entries().find(({ command }) => command.t === 'start')?.id ?? null;
    this.#outbox.settled.on((entry, ack) => {
      if (entry.command.t !== 'start' || entry.id !== this.#lane || !ack.conversation) return;
      // It has begun: its words stay in view until its log is there to show them.
      this.#begun.push({ id: entry.id, kind: 'message', text: entry.command.text, at: entry.order, state: 'sending' });
      this.#id = this.#lane = ack.conversation;
      this.#store.set('conversation', ack.conversation);
      void this.#follow();
    });
    this.#outbox.changed.on(() => this.changed.tell());
    this.socket.frames.on((frame) => this.#take(frame));
    this.socket.changed.on(() => this.#connection());
    this.#store.watch((key, value) => this.#heard(key, value));
  }

  /** Whether anything here needs a connection without anybody looking. */
  get waitsForAnswer(): boolean {
    return this.#store.get('live') !== null;
  }

  get draft(): string {
    return this.#store.get('draft') ?? '';
  }

  /** Kept at every key, so that no reload or crash takes it. */
  set draft(text: string) {
    if (text) this.#store.set('draft', text);
    else this.#store.remove('draft');
    if (text) this.conversation?.type();
    else this.conversation?.stopTyping();
    this.changed.tell();
  }

  /** Own words that stand in no log yet. While a log is shown, it shows them. */
  get pending(): Pending[] {
    if (this.#lane === null) return [];
    const waiting = this.#outbox.entries(this.#lane).flatMap(({ id, command, order, refused }): Pending[] => {
      if (!('text' in command)) return [];
      return [{ id, kind: 'message', text: command.text, at: order, state: refused ? 'failed' : 'sending' }];
    });
    return [...this.#begun, ...waiting];
  }

  /** Whether these words took effect (their conversation's log is on its way). */
  took(id: Id): boolean {
    return this.#begun.some((one) => one.id === id);
  }

  /** Whether a conversation is known whose log is not here yet. */
  get loading(): boolean {
    return this.#id !== null && !this.#begun.length;
  }

  /** Whether first words are shown that the log does not have yet. */
  get beginning(): boolean {
    return this.#begun.length > 0;
  }

  /** Messages that nobody has looked at, over all conversations. */
  get unread(): number {
    const others = (this.rows ?? []).filter(({ id }) => id !== this.conversation?.id);
    return others.reduce((sum, row) => sum + row.unread, this.conversation?.unread ?? 0);
  }

  /** Whether conversations exist besides the current one. */
  get others(): boolean {
    return (this.rows ?? []).some(({ id }) => id !== this.#id);
  }

  get current(): Id | null {
    return this.#id;
  }

  /** False where writing begins a new conversation. */
  get writable(): boolean {
    return this.rows?.find(({ id }) => id === this.#id)?.writable !== false;
  }

  say(text: string): void {
    if (!this.writable) this.#show(null);
    this.#store.set('live', '1');
    this.socket.start();
    const id = newId();
    if (this.conversation) this.conversation.say(text);
    else if (this.#lane === null) {
      this.#lane = id;
      this.#outbox.add({ t: 'start', id, text, ...this.#page() });
    } else {
      // Its conversation has no id yet (the outbox fills it in), or its log is not here yet.
      this.#outbox.add({ t: 'send', id, conversation: this.#id ?? '', seen: 0, text }, this.#lane);
    }
    this.draft = '';
  }

  retry(id: Id): void {
    this.#outbox.retry(id);
  }

  /** Looks at another conversation, or (null) at the beginning of a new one. */
  show(id: Id | null): void {
    this.#show(id);
    this.changed.tell();
  }

  /** The window is open and the log stands at its end: everything here is read. */
  readNow(): void {
    if (this.watching && document.visibilityState === 'visible') this.conversation?.markRead();
  }

  #page(): { page?: string } {
    const page = location.href;
    // An address is ASCII: its length is its bytes.
    return /^http/.test(page) && page.length <= MAX_PAGE ? { page } : {};
  }

  #identity(): Identity | null {
    try {
      return JSON.parse(this.#store.get('token') ?? 'null');
    } catch {
      return null;
    }
  }

  /** Follows the current conversation, once the part for it is loaded. */
  async #follow(): Promise<void> {
    const id = this.#id;
    if (!id || this.conversation?.id === id) return;
    try {
      this.talk ??= await this.#load();
    } catch {
      setTimeout(() => this.#follow(), 5_000);
      return;
    }
    if (this.#id !== id || this.conversation) return;
    const { socket } = this;
    const me = (): Face | null => socket.welcome?.me ?? null;
    this.conversation = new this.talk.Conversation(id, { link: socket, outbox: this.#outbox, side: 'visitor', me });
    this.conversation.changed.on(() => this.#conversationChanged());
    this.conversation.follow();
    this.changed.tell();
  }

  /** Makes another conversation the current one: an existing one, one that its `start` begins, or none yet. */
  #show(id: Id | null, start: Id | null = null): void {
    if (id && id === this.#id) return;
    this.conversation?.close();
    this.conversation = null;
    this.#begun = [];
    this.#id = id;
    this.#lane = id ?? start;
    if (id) this.#store.set('conversation', id);
    else this.#store.remove('conversation');
    void this.#follow();
    this.changed.tell();
  }

  #conversationChanged(): void {
    const { conversation } = this;
    if (!conversation) return;
    if (conversation.refused) {
      // Not this visitor's (any more): begin anew rather than show an empty room.
      this.#show(null);
    } else if (conversation.live) {
      this.#begun = [];
      const over = conversation.profile?.status === 'resolved' && !conversation.unread && !conversation.pending.length;
      if (over) this.#store.remove('live');
      else this.#store.set('live', '1');
    }
    this.changed.tell();
  }

  #connection(): void {
    const { state } = this.socket;
    const open = state === 'open';
    if (open && !this.#wasOpen) {
      // The conversation has said `open` already (it hears the welcome): what it missed comes before what it sends.
      void this.#follow();
      this.#outbox.resend();
      this.socket.send({ t: 'conversations' });
    }
    this.#wasOpen = open;
    if (open || state === 'stopped') {
      clearTimeout(this.#troubleTimer);
      this.#troubleTimer = undefined;
      this.trouble = state === 'stopped' && this.socket.farewell !== null;
    } else if (!this.trouble) {
      this.#troubleTimer ??= setTimeout(() => {
        this.trouble = true;
        this.changed.tell();
      }, TROUBLE_MS);
    }
    this.changed.tell();
  }

  #take(frame: ServerFrame): void {
    switch (frame.t) {
      case 'welcome': {
        const known = this.#identity();
        if (known && known.token !== this.#said && known.visitor !== frame.me.id) {
          // Another tab became somebody in the meantime: be the same person.
          this.socket.retry();
          return;
        }
        if (known && known.visitor !== frame.me.id) this.#becameAnother();
        if (frame.token) this.#store.set('token', JSON.stringify({ visitor: frame.me.id, token: frame.token }));
        this.maxBytes = frame.max_text_bytes;
        if (frame.team) this.team = frame.team;
        break;
      }
      case 'team':
        this.team = frame.team;
        break;
      case 'conversations':
        this.rows = frame.rows;
        this.#choose();
        break;
      case 'conversation':
        this.#row(frame.row);
        break;
      default:
        return;
    }
    this.changed.tell();
  }

  /** With nothing chosen yet: the newest conversation that can still be written to. */
  #choose(): void {
    const newest = this.rows?.[0];
    if (newest?.writable && this.#lane === null) this.#show(newest.id);
  }

  #row(row: VisitorRow): void {
    const others = (this.rows ?? []).filter(({ id }) => id !== row.id);
    this.rows = [row, ...others].sort((one, other) => other.last_at - one.last_at);
  }

  #bye({ code }: Bye): void {
    if (code !== CLOSE_CODES.TokenInvalid.code && code !== CLOSE_CODES.TokenExpired.code) return;
    // Forget the token that was refused, not one that another tab got since.
    if (this.#identity()?.token === this.#said) this.#store.remove('token');
    this.#becameAnother();
  }

  /** The old conversations are another's now. What was not yet sent begins a new one; the draft stays. */
  #becameAnother(): void {
    this.rows = null;
    this.#show(null);
    this.#outbox.restartAll();
    const start = this.#outbox.entries().find(({ command }) => command.t === 'start');
    if (start) this.#show(null, start.id);
  }

  /** Another tab changed something. */
  #heard(key: string, value: string | null): void {
    if (key === 'token' && value) {
      const mine = this.socket.welcome?.me.id;
      if (mine && this.#identity()?.visitor !== mine) this.socket.retry();
    } else if (key === 'conversation' && value) {
      // Follow it, unless somebody here reads another, or has begun one that is still on its way.
      if (this.#id ? !this.watching : !this.pending.length) this.#show(value);
    }
    if (key === 'live' && value) this.socket.start();
    this.changed.tell();
  }
}
