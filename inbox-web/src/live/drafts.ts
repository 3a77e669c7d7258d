// What was typed and not sent, by conversation. It lies in storage under the member's id, so that log-out, a crash or a
// colleague on the same computer neither loses nor sees it.

import type { Id } from '../../../gateway/client/src/protocol.ts';
import { Signal } from '../../../gateway/client/src/signal.ts';
import { localStore, type Store } from '../../../gateway/client/src/storage.ts';

export type Tab = 'reply' | 'note';
export type Draft = { readonly tab: Tab; readonly reply: string; readonly note: string };

const EMPTY: Draft = { tab: 'reply', reply: '', note: '' };

export class Drafts {
  /** After every change, of this tab or another. */
  readonly changed = new Signal();
  readonly #store: Store;
  readonly #read = new Map<Id, Draft>();
  readonly #end: () => void;

  constructor(member: Id, store: Store = localStore(`bellhop.inbox.${member}.draft.`)) {
    this.#store = store;
    this.#end = store.watch((key) => {
      this.#read.delete(key);
      this.changed.tell();
    });
  }

  close(): void {
    this.#end();
  }

  /** The draft of a conversation; an empty one if there is none. The same object until it changes. */
  get(conversation: Id): Draft {
    const have = this.#read.get(conversation);
    if (have !== undefined) return have;
    const draft = parse(this.#store.get(conversation));
    this.#read.set(conversation, draft);
    return draft;
  }

  /** Whether something is typed there. */
  has(conversation: Id): boolean {
    const draft = this.get(conversation);
    return draft.reply.trim() !== '' || draft.note.trim() !== '';
  }

  set(conversation: Id, draft: Draft): void {
    this.#read.set(conversation, draft);
    if (draft.reply === '' && draft.note === '' && draft.tab === 'reply') this.#store.remove(conversation);
    else this.#store.set(conversation, JSON.stringify(draft));
    this.changed.tell();
  }
}

function parse(text: string | null): Draft {
  if (text === null) return EMPTY;
  try {
    const read = JSON.parse(text) as Partial<Draft>;
    return {
      tab: read.tab === 'note' ? 'note' : 'reply',
      reply: typeof read.reply === 'string' ? read.reply : '',
      note: typeof read.note === 'string' ? read.note : '',
    };
  } catch {
    return EMPTY;
  }
}
