import type { Conversation, Pending } from '../../gateway/client/src/conversation.ts';
import { textOf } from '../../gateway/client/src/conversation.ts';
import type { Author, Event, Face } from '../../gateway/client/src/protocol.ts';

/** Messages of one sender within this time of each other stand together, ms (LOOK.md). */
const GROUP_MS = 180_000;

export interface Message {
  /** The same while it is pending and when it is in the log, so that it does not blink on its way. */
  key: string;
  text: string;
  at: number;
  seq?: number;
  pending?: Pending;
}

export type Item =
  | { kind: 'group'; key: string; own: boolean; author: Author; at: number; named: boolean; messages: Message[] }
  | { kind: 'joined'; key: string; face: Face; at: number }
  | { kind: 'resolved'; key: string; at: number };

/** The log as it is shown: messages grouped by sender and time, who joined, what was settled. */
export function itemsOf(conversation: Pick<Conversation, 'events' | 'pending'>): Item[] {
  const items: Item[] = [];
  let holder: string | undefined;

  const add = (author: Author, own: boolean, message: Message): void => {
    const last = items.at(-1);
    const before = last?.kind === 'group' ? last.messages.at(-1) : undefined;
    if (
      last?.kind === 'group' &&
      before &&
      last.own === own &&
      (own || last.author.id === author.id) &&
      message.at - before.at < GROUP_MS
    ) {
      last.messages.push(message);
      return;
    }
    // "Maya · joined 12:04" just above names her already.
    const named = !(last?.kind === 'joined' && last.face.id === author.id && message.at - last.at < GROUP_MS);
    items.push({ kind: 'group', key: message.key, own, author, at: message.at, named, messages: [message] });
  };

  const event = ({ seq, at, author, body, cmd }: Event): void => {
    const key = cmd ?? String(seq);
    if (body.kind === 'message') add(author, author.kind === 'visitor', { key, text: textOf(body), at, seq });
    else if (body.kind === 'resolved') items.push({ kind: 'resolved', key, at });
    else if (body.kind === 'assigned') {
      if (body.to.id !== holder) items.push({ kind: 'joined', key, face: body.to, at });
      holder = body.to.id;
    }
  };

  for (const one of conversation.events) event(one);
  for (const pending of conversation.pending) {
    add({ kind: 'visitor' }, true, { key: pending.id, text: pending.text, at: pending.at, pending });
  }
  return items;
}
