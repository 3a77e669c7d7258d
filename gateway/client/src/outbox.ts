import { Backoff } from './backoff.ts';
import { newId } from './id.ts';
import type { Ack, ClientFrame, Id, RefusalCode, Refused, ServerFrame } from './protocol.ts';
import { Signal } from './signal.ts';
import type { Store } from './storage.ts';

/** What has an id and is answered by exactly one `ack` or `refused`. */
export type Command = Extract<ClientFrame, { id: Id }>;

export interface Entry {
  readonly id: Id;
  /** As it goes out, `seen` included: a repeat says the same. */
  command: Command;
  /**
   * Commands of one lane go out one at a time, in the order they were made, so that a refusal of one cannot let a
   * later one overtake it. A conversation's id; for a conversation not yet begun, the id of its `start`.
   */
  lane: string;
  /** When it was made: ms since 1970, and a count against ties. */
  order: number;
  /** Set when it was refused for good: it waits for a person to try again or to discard it. */
  refused?: Refused;
}

/** What the outbox needs of a socket. */
export interface Link {
  send(frame: ClientFrame): boolean;
  readonly frames: Signal<[ServerFrame]>;
}

/** Refusals that a repeat with the same id can overcome. */
const PASSING: ReadonlySet<RefusalCode> = new Set(['unknown', 'unavailable', 'overloaded', 'rate_limited']);

/** An answer that has not come over a live link in this time is asked for again (the id makes that safe), ms. */
const ANSWER_MS = 20_000;

const KEY = 'out.';

/**
 * Commands that the server has not yet answered. Each lies in storage under a key of its own until its answer is
 * there, so it survives a reload, and tabs of one origin do not overwrite each other. A tab also sends what another
 * one left unanswered; the id makes repeats harmless.
 */
export class Outbox {
  /** After every change of the entries. */
  readonly changed = new Signal();
  /** It took effect, and is gone from here. */
  readonly settled = new Signal<[Entry, Ack]>();
  /** Another tab has settled or discarded it. */
  readonly gone = new Signal<[Entry]>();

  readonly #store: Store;
  readonly #link: Link;
  readonly #restart: ((entry: Entry) => Command | null) | undefined;
  readonly #entries = new Map<Id, Entry>();
  readonly #flying = new Map<Id, ReturnType<typeof setTimeout>>();
  readonly #paused = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #backoff = new Backoff(1_000, 30_000);
  readonly #ends: (() => void)[];

  /**
   * `restart`: what to say instead, with the same id, when a `send` was refused because its conversation is closed
   * (visitors `start` anew); null refuses it for good.
   */
  constructor(store: Store, link: Link, restart?: (entry: Entry) => Command | null) {
    this.#store = store;
    this.#link = link;
    this.#restart = restart;
    for (const key of store.keys()) this.#load(key, store.get(key));
    this.#ends = [link.frames.on((frame) => this.#take(frame)), store.watch((key, value) => this.#heard(key, value))];
  }

  /** Ends listening and timers; what is kept stays in storage. */
  close(): void {
    for (const end of this.#ends) end();
    this.#land();
  }

  /** Oldest first; of one lane, or all. */
  entries(lane?: string): Entry[] {
    return [...this.#entries.values()]
      .filter((entry) => lane === undefined || entry.lane === lane)
      .sort((one, other) => one.order - other.order || (one.id < other.id ? -1 : 1));
  }

  get(id: Id): Entry | undefined {
    return this.#entries.get(id);
  }

  /**
   * Keeps a command and sends it when its turn comes. `lane` is the conversation's id unless said: a `send` into a
   * conversation whose `start` is not yet answered says the id of that `start`, and an empty `conversation`.
   */
  add(command: Command, lane?: string): Entry {
    const last = this.entries().at(-1)?.order ?? 0;
    const entry: Entry = {
      id: command.id,
      command,
      lane: lane ?? ('conversation' in command ? command.conversation : command.id),
      order: Math.max(Date.now(), last + 1),
    };
    this.#keep(entry);
    this.flush();
    return entry;
  }

  /** A person asks for another attempt of a refused one. The old id would be refused as `id_reused`: then a new one. */
  retry(old: Id, freshId: () => Id = newId): void {
    const entry = this.#entries.get(old);
    if (!entry?.refused) return;
    const { refused, ...rest } = entry;
    const id = refused.code === 'id_reused' ? freshId() : old;
    this.#forget(old);
    this.#keep({ ...rest, id, lane: entry.lane === old ? id : entry.lane, command: { ...entry.command, id } });
    this.flush();
  }

  /** A person gives it up. */
  discard(id: Id): void {
    this.#forget(id);
    this.flush();
  }

  /** The connection is (again) open: everything unanswered goes out anew. Call it after `open` was said. */
  resend(): void {
    this.#land();
    this.flush();
  }

  /**
   * Replaces the messages of every lane by ones that begin a new conversation: after the visitor's identity was lost,
   * the old conversations cannot be written to, and nothing typed may be lost.
   */
  restartAll(): void {
    for (const entry of this.entries()) {
      if (entry.command.t === 'send' && entry.command.conversation) this.#startAnew(entry);
    }
    this.resend();
  }

  /** Sends the next of every lane that has none in flight. */
  flush(): void {
    const busy = new Set(this.#paused.keys());
    for (const entry of this.entries()) {
      if (entry.refused || busy.has(entry.lane)) continue;
      busy.add(entry.lane);
      if (this.#flying.has(entry.id)) continue;
      const { command } = entry;
      if ('conversation' in command && !command.conversation) {
        // Its `start` was refused and waits for a person: so does this.
        if (this.#entries.has(entry.lane)) continue;
        // Its `start` vanished with its tab between answer and note of it: the words begin a conversation themselves.
        this.#startAnew(entry);
      }
      if (!this.#link.send(entry.command)) return;
      this.#awaitAnswer(entry.id);
    }
  }

  #landed(id: Id): void {
    clearTimeout(this.#flying.get(id));
    this.#flying.delete(id);
  }

  #awaitAnswer(id: Id): void {
    const again = (): void => {
      this.#flying.delete(id);
      this.flush();
    };
    this.#landed(id);
    this.#flying.set(id, setTimeout(again, ANSWER_MS));
  }

  #take(frame: ServerFrame): void {
    if (frame.t === 'ack') this.confirm(frame);
    else if (frame.t === 'refused' && frame.id) this.#refused(frame, frame.id);
  }

  /** It took effect: the `ack` says so, or its event was seen in the log (`confirm`). */
  confirm(ack: Ack): void {
    const entry = this.#entries.get(ack.id);
    if (!entry) return;
    this.#backoff.reset();
    if (entry.command.t === 'start' && ack.conversation) this.#begun(entry.lane, ack.conversation);
    this.#forget(entry.id);
    this.settled.tell(entry, ack);
    this.flush();
  }

  /** Those that waited for a `start` learn where they go, before the `start` itself is forgotten. */
  #begun(lane: string, conversation: Id): void {
    for (const entry of this.entries(lane)) {
      if (entry.command.t !== 'send') continue;
      this.#keep({ ...entry, lane: conversation, command: { ...entry.command, conversation } });
    }
  }

  #refused(refused: Refused, id: Id): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#landed(id);
    if (PASSING.has(refused.code)) {
      const { lane } = entry;
      clearTimeout(this.#paused.get(lane));
      const resume = (): void => {
        this.#paused.delete(lane);
        this.flush();
      };
      this.#paused.set(lane, setTimeout(resume, (refused.retry_after_ms ?? 0) + this.#backoff.next()));
    } else if (!((refused.code === 'closed' || refused.code === 'not_found') && this.#startAnew(entry))) {
      this.#keep({ ...entry, refused });
    }
    this.flush();
  }

  /** Makes a `send` the `start` of a new conversation, and lets what was to follow it follow it there. */
  #startAnew(entry: Entry): boolean {
    const start = entry.command.t === 'send' ? this.#restart?.(entry) : null;
    if (!start) return false;
    for (const later of this.entries(entry.lane)) {
      if (later.order <= entry.order || later.command.t !== 'send') continue;
      this.#keep({ ...later, lane: entry.id, command: { ...later.command, conversation: '', seen: 0 } });
    }
    entry.lane = entry.id;
    entry.command = start;
    this.#keep(entry);
    return true;
  }

  /** Nothing counts as in flight or held back any more. */
  #land(): void {
    for (const timer of [...this.#flying.values(), ...this.#paused.values()]) clearTimeout(timer);
    this.#flying.clear();
    this.#paused.clear();
  }

  #keep(entry: Entry): void {
    this.#entries.set(entry.id, entry);
    this.#store.set(KEY + entry.id, JSON.stringify(entry));
    this.changed.tell();
  }

  #forget(id: Id): void {
    this.#landed(id);
    this.#entries.delete(id);
    this.#store.remove(KEY + id);
    this.changed.tell();
  }

  #load(key: string, value: string | null): Entry | undefined {
    if (!key.startsWith(KEY) || !value) return;
    try {
      const entry = JSON.parse(value) as Entry;
      if (entry.id !== key.slice(KEY.length) || !entry.command.t || entry.command.id !== entry.id) return;
      this.#entries.set(entry.id, entry);
      return entry;
    } catch {
      // Not written by this version: left alone.
    }
    return;
  }

  #heard(key: string, value: string | null): void {
    if (!key.startsWith(KEY)) return;
    const id = key.slice(KEY.length);
    const entry = this.#entries.get(id);
    if (value) {
      // The tab that wrote it sends it; this one does if that has not been answered after a while, or at a reconnect.
      if (!this.#load(key, value)) return;
      this.#awaitAnswer(id);
    } else if (!entry) {
      return;
    } else if (entry.command.t === 'start' && this.entries(entry.lane).length > 1) {
      // What follows it here must learn the conversation's id: the same `start` again is answered with it.
      this.#landed(id);
    } else {
      this.#entries.delete(id);
      this.#landed(id);
      this.gone.tell(entry);
    }
    this.changed.tell();
    this.flush();
  }
}
