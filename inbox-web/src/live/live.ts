// Everything that is alive while someone is logged in: one connection, the followed lists, the conversations that were
// looked at last, the outbox, the colleagues, and the acts that are shown before they are confirmed.

import { Conversation } from '../../../gateway/client/src/conversation.ts';
import { newId } from '../../../gateway/client/src/id.ts';
import { ListFeed } from '../../../gateway/client/src/list.ts';
import { type Command, type Entry, Outbox } from '../../../gateway/client/src/outbox.ts';
import type {
  Counts,
  Face,
  Hello,
  Id,
  MemberState,
  RefusalCode,
  Row,
  ServerFrame,
  View,
} from '../../../gateway/client/src/protocol.ts';
import { Signal } from '../../../gateway/client/src/signal.ts';
import { Socket } from '../../../gateway/client/src/socket.ts';
import { localStore } from '../../../gateway/client/src/storage.ts';
import { ApiError, type Me, socketToken } from '../api.ts';
import { VIEWS } from '../inbox/place.ts';
import { t, type WordKey } from '../words.ts';
import { Drafts } from './drafts.ts';
import { type Act, acted, overlaid } from './overlay.ts';
import { Toasts } from './toasts.ts';

/** How many conversations are kept followed, so that going back and forth shows them at once. */
const KEPT_CONVERSATIONS = 12;

/** How long an acknowledged act stays laid over the lists: lists are told at most 4 times a second. */
const SETTLE_MS = 4_000;

/** The last resolve or assign of this tab that can be taken back. */
type Undoable = { kind: 'resolve' | 'assign'; id: Id; row: Row };

export class Live {
  readonly socket: Socket;
  readonly outbox: Outbox;
  readonly drafts: Drafts;
  readonly toasts = new Toasts();
  /** Lists, counts, colleagues or acts changed. */
  readonly changed = new Signal();
  /** The log-in has ended; the page goes to log-in. */
  readonly ended = new Signal();
  /** A visitor's new words in a conversation that is mine. */
  readonly knocked = new Signal<[Row]>();

  members: readonly MemberState[] = [];
  /** What I chose; acted first, put back if refused. */
  available: boolean;
  counts: Counts | undefined;

  readonly #me: Me;
  readonly #feeds = new Map<View, ListFeed>();
  readonly #conversations = new Map<Id, Conversation>();
  #acts: readonly Act[] = [];
  #undo: Undoable | undefined;
  #shown: { view: View; rows: readonly Row[]; from: readonly Row[]; acts: readonly Act[] } | undefined;
  #view: View = 'mine';
  #wasOpen = false;
  #seenVisitorSeq: Map<Id, number> | undefined;
  readonly #ends: (() => void)[] = [];

  constructor(me: Me) {
    this.#me = me;
    this.available = me.member.available;
    this.drafts = new Drafts(me.member.id);
    this.socket = new Socket({ url: location.origin, hello: () => this.#hello() });
    this.outbox = new Outbox(localStore(`bellhop.inbox.${me.member.id}.`), {
      send: (frame) => this.socket.send(frame),
      frames: this.socket.frames,
    });
    for (const view of VIEWS) {
      this.#feeds.set(
        view,
        new ListFeed(
          view,
          (frame) => void this.socket.send(frame),
          () => this.changed.tell(),
        ),
      );
    }
    this.#ends.push(
      this.socket.frames.on((frame) => this.#take(frame)),
      this.socket.changed.on(() => this.#connection()),
      this.outbox.changed.on(() => this.#refusals()),
      this.outbox.settled.on((entry, ack) => this.#settled(entry, ack.seq)),
    );
  }

  start(): void {
    this.#refusals();
    this.socket.start();
  }

  /** Ends everything; what was typed and not sent stays in storage. */
  stop(): void {
    for (const end of this.#ends) end();
    for (const conversation of this.#conversations.values()) conversation.close();
    this.#conversations.clear();
    this.outbox.close();
    this.drafts.close();
    this.socket.stop();
  }

  get me(): Face {
    return { id: this.#me.member.id, name: this.#me.member.name };
  }

  /** The server's clock, ms: waiting times are told by it. */
  now(): number {
    return Date.now() + this.socket.skew;
  }

  // Lists.

  /** Goes to a list; `mine` is followed always, for its unread count. */
  show(view: View): void {
    if (view === this.#view) return;
    const before = this.#view;
    this.#view = view;
    if (this.socket.state === 'open') {
      if (before !== 'mine') this.#feed(before).unfollow();
      if (view !== 'mine') this.#feed(view).follow();
    }
    this.changed.tell();
  }

  #feed(view: View): ListFeed {
    const feed = this.#feeds.get(view);
    if (feed === undefined) throw new Error(`no feed for ${view}`);
    return feed;
  }

  /** A list as it stands, without the acts on their way. */
  list(view: View) {
    return this.#feed(view).snapshot();
  }

  /** The rows of a list as they are shown; the same array until something changes. */
  rows(view: View): readonly Row[] {
    const from = this.#feed(view).snapshot().rows;
    const last = this.#shown;
    if (last !== undefined && last.view === view && last.from === from && last.acts === this.#acts) return last.rows;
    const rows = overlaid(view, from, this.#acts, this.me);
    this.#shown = { view, rows, from, acts: this.#acts };
    return rows;
  }

  /** The rows after the last. */
  page(view: View): void {
    this.#feed(view).page();
  }

  /** Conversations that are mine with words I have not read. */
  unread(): number {
    let unread = 0;
    for (const row of this.#feed('mine').snapshot().rows) if (row.last_visitor_seq > row.read) unread += 1;
    return unread;
  }

  /** The best that the lists know of a conversation. */
  row(id: Id): Row | undefined {
    let best: Row | undefined;
    for (const feed of this.#feeds.values()) {
      const row = feed.row(id);
      if (row !== undefined && (best === undefined || row.seq > best.seq)) best = row;
    }
    return best;
  }

  // Conversations.

  /** A conversation, followed. The one asked for longest ago is let go when there are too many. */
  conversation(id: Id): Conversation {
    const have = this.#conversations.get(id);
    if (have !== undefined) {
      this.#conversations.delete(id);
      this.#conversations.set(id, have);
      return have;
    }
    const conversation = new Conversation(id, {
      link: { send: (frame) => this.socket.send(frame), frames: this.socket.frames },
      outbox: this.outbox,
      side: 'agent',
      me: () => this.me,
    });
    this.#conversations.set(id, conversation);
    conversation.follow();
    for (const [old, idle] of this.#conversations) {
      if (this.#conversations.size <= KEPT_CONVERSATIONS) break;
      idle.close();
      this.#conversations.delete(old);
    }
    return conversation;
  }

  /** Reads a conversation up to its newest event, here and in the lists. */
  read(conversation: Conversation): void {
    conversation.markRead();
    const { id, cursor } = conversation;
    if (id === null) return;
    for (const feed of this.#feeds.values()) feed.markRead(id, cursor);
  }

  /** A conversation as it is to be shown now: the newer of list and log, with the acts on their way. */
  current(id: Id): Row | undefined {
    const listed = this.row(id);
    const profile = this.#conversations.get(id)?.profile;
    let row = listed;
    if (profile != null) {
      const { assignee: _, ...rest } = listed ?? {
        id,
        visitor: profile.visitor,
        preview: '',
        last_author: 'visitor' as const,
        last_at: profile.created_at,
        answered: false,
        seq: profile.head,
        read: profile.head,
        last_visitor_seq: 0,
        channel: 'chat',
        created_at: profile.created_at,
      };
      if (listed === undefined || profile.head >= listed.seq) {
        const assignee = profile.assignee === undefined ? {} : { assignee: profile.assignee };
        row = { ...rest, status: profile.status, ...assignee };
      }
    }
    if (row === undefined) return undefined;
    for (const act of this.#acts) {
      if (act.row.id !== id || (act.seq !== undefined && Math.max(row.seq, profile?.head ?? 0) >= act.seq)) continue;
      row = acted(row, act, this.me);
    }
    return row;
  }

  // Acts: shown at once, taken back when refused.

  resolve(row: Row): void {
    this.#undo = { kind: 'resolve', id: this.#act('resolve', row, null), row };
    this.toasts.done(t('toast.resolved', { name: row.visitor.name }), {
      words: t('toast.undo'),
      act: () => this.undo(),
    });
  }

  reopen(row: Row): void {
    this.#act('reopen', row, null);
    this.toasts.done(t('toast.reopened', { name: row.visitor.name }));
  }

  /** Gives a conversation to a colleague, to me, or (null) back to the line. */
  assign(row: Row, to: Face | null): void {
    this.#undo = { kind: 'assign', id: this.#act('assign', row, to), row };
    const { name } = row.visitor;
    const words =
      to === null
        ? t('toast.returned', { name })
        : to.id === this.me.id
          ? t('toast.assigned_you', { name })
          : t('toast.assigned', { name, to: to.name });
    this.toasts.done(words, { words: t('toast.undo'), act: () => this.undo() });
  }

  /** Whether there is something to take back. */
  get undoable(): boolean {
    return this.#undo !== undefined;
  }

  /** Takes the last resolve or assign back by its inverse; tells which conversation it was. */
  undo(): Id | undefined {
    const last = this.#undo;
    this.#undo = undefined;
    if (last === undefined) {
      this.toasts.done(t('toast.nothing'));
      return undefined;
    }
    const { row } = last;
    const holder = row.assignee ?? null;
    if (last.kind === 'resolve') {
      this.#act('reopen', row, null);
      // Reopening gives it to me; it goes back to who had it.
      if (holder?.id !== this.me.id) this.#act('assign', row, row.status === 'queued' ? null : holder);
    } else this.#act('assign', row, row.status === 'queued' ? null : holder);
    this.toasts.done(t('toast.undone'));
    this.undone.tell(row.id);
    return row.id;
  }

  /** A conversation was brought back by undo. */
  readonly undone = new Signal<[Id]>();

  #act(kind: Act['kind'], row: Row, to: Face | null): Id {
    const id = newId();
    const seen = Math.max(row.seq, this.#conversations.get(row.id)?.cursor ?? 0);
    this.#acts = [...this.#acts, { id, kind, to, row, at: this.now() }];
    const command: Command =
      kind === 'assign'
        ? { t: 'assign', id, conversation: row.id, seen, to: to?.id ?? null }
        : { t: kind, id, conversation: row.id, seen };
    this.outbox.add(command);
    this.changed.tell();
    return id;
  }

  /** Switches between available and away. */
  setAvailable(available: boolean): void {
    this.available = available;
    this.outbox.add({ t: 'status', id: newId(), available });
    this.changed.tell();
  }

  #settled(entry: Entry, seq: number | undefined): void {
    const act = this.#acts.find((one) => one.id === entry.id);
    if (act === undefined) return;
    this.#acts = this.#acts.map((one) => (one === act && seq !== undefined ? { ...one, seq } : one));
    setTimeout(() => this.#drop(entry.id), SETTLE_MS);
    this.changed.tell();
  }

  #drop(id: Id): void {
    const left = this.#acts.filter((one) => one.id !== id);
    if (left.length === this.#acts.length) return;
    this.#acts = left;
    this.changed.tell();
  }

  /** Refused acts are put back and said; refused words stay with their conversation, where they can be sent again. */
  #refusals(): void {
    for (const { id, command, refused } of this.outbox.entries()) {
      // Discarding one of them calls this again: what is gone was told there.
      if (refused === undefined || this.outbox.get(id) === undefined) continue;
      if (command.t === 'send' || command.t === 'note' || command.t === 'start') continue;
      const act = this.#acts.find((one) => one.id === id);
      this.#drop(id);
      if (this.#undo?.id === id) this.#undo = undefined;
      const why = because(refused.code);
      if (command.t === 'status') {
        this.available = this.members.find((one) => one.id === this.me.id)?.available ?? !command.available;
        this.toasts.bad(t('toast.refused.status', { why }));
      } else {
        const key = `toast.refused.${command.t}` as WordKey;
        const name = act?.row.visitor.name ?? this.row(command.conversation)?.visitor.name ?? '';
        this.toasts.bad(t(key, { name, why }));
      }
      this.outbox.discard(id);
      this.changed.tell();
    }
  }

  // The connection.

  async #hello(): Promise<Hello | null> {
    try {
      return { v: 1, as: 'agent', token: await socketToken(), client: 'inbox' };
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        // Told from a task of its own: whoever listens stops this socket.
        queueMicrotask(() => this.ended.tell());
        return null;
      }
      throw error;
    }
  }

  #connection(): void {
    const open = this.socket.state === 'open';
    if (open && !this.#wasOpen) {
      this.#feed('mine').follow();
      if (this.#view !== 'mine') this.#feed(this.#view).follow();
      this.outbox.resend();
    }
    this.#wasOpen = open;
    if (this.socket.state === 'stopped' && this.socket.farewell?.code === 4015) this.ended.tell();
    this.changed.tell();
  }

  #take(frame: ServerFrame): void {
    switch (frame.t) {
      case 'welcome':
        if (frame.available !== undefined && !this.#choosing()) this.available = frame.available;
        break;
      case 'members': {
        this.members = frame.members;
        const mine = frame.members.find((one) => one.id === this.me.id);
        if (mine !== undefined && !this.#choosing()) this.available = mine.available;
        break;
      }
      case 'list':
      case 'changes':
      case 'list_page':
      case 'refused':
        if ('counts' in frame) this.counts = frame.counts;
        for (const feed of this.#feeds.values()) if (feed.receive(frame)) break;
        if ('view' in frame && frame.view === 'mine') this.#listen();
        return;
      default:
        return;
    }
    this.changed.tell();
  }

  /** Whether my own choice is still on its way: what the server says until then is older. */
  #choosing(): boolean {
    return this.outbox.entries().some(({ command }) => command.t === 'status');
  }

  /** Compares what visitors have said in my conversations with what they had said before. */
  #listen(): void {
    const { rows } = this.#feed('mine').snapshot();
    const before = this.#seenVisitorSeq;
    this.#seenVisitorSeq = new Map(rows.map((row) => [row.id, row.last_visitor_seq]));
    // The first page says what is there, not what is new.
    if (before === undefined) return;
    for (const row of rows) {
      if (row.last_visitor_seq > row.read && row.last_visitor_seq > (before.get(row.id) ?? 0)) this.knocked.tell(row);
    }
  }
}

const SAID: ReadonlySet<string> = new Set([
  'text_empty',
  'text_too_long',
  'text_control',
  'not_found',
  'forbidden',
  'member_unknown',
  'closed',
  'not_now',
  'rate_limited',
  'overloaded',
  'unavailable',
  'conversation_unavailable',
]);

/** Why something was refused, in a sentence. */
export function because(code: RefusalCode): string {
  return t((SAID.has(code) ? `refused.${code}` : 'refused.other') as WordKey);
}
