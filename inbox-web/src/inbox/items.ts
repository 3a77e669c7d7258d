// A conversation as lines to show: days, meta lines, and messages in groups. Pure; the log renders what this returns.

import { type Pending, textOf } from '../../../gateway/client/src/conversation.ts';
import type { Event, Id } from '../../../gateway/client/src/protocol.ts';

/** Messages of one sender within this time form a group with one name and time (LOOK.md). */
export const GROUP_MS = 3 * 60_000;

export type MessageState = 'sending' | 'sent' | 'read' | 'failed';

export type Item =
  | { readonly type: 'day'; readonly key: string; readonly at: number; readonly start: boolean }
  | { readonly type: 'meta'; readonly key: string; readonly event: Event }
  | {
      readonly type: 'message';
      readonly key: string;
      readonly side: 'visitor' | 'mine' | 'team';
      readonly note: boolean;
      readonly name: string;
      readonly at: number;
      readonly text: string;
      /** Whether name and time stand above it. */
      readonly head: boolean;
      /** What stands under it. */
      readonly state?: MessageState;
      /** Its place in the outbox, while it is not in the log. */
      readonly pending?: Pending;
    };

export type Told = {
  readonly events: readonly Event[];
  readonly pending: readonly Pending[];
  /** Whether events exist before the first. */
  readonly older: boolean;
  readonly me: Id;
  readonly visitor: string;
  /** How far the visitor has read. */
  readonly read: number;
  /** Which day a time falls on, as a number. */
  readonly day: (at: number) => number;
};

export function itemsOf(told: Told): Item[] {
  const items: Item[] = [];
  let lastDay: number | undefined;
  let group: { author: string; at: number } | undefined;
  let lastOwn = -1;
  const inLog = new Set<Id>();

  const dayLine = (at: number, key: string) => {
    const day = told.day(at);
    if (day === lastDay) return;
    items.push({ type: 'day', key: `d${key}`, at, start: lastDay === undefined && !told.older });
    lastDay = day;
    group = undefined;
  };
  /** Whether a message begins a group. */
  const head = (author: string, at: number) => {
    const begins = group === undefined || group.author !== author || at - group.at > GROUP_MS;
    group = { author, at };
    return begins;
  };

  for (const event of told.events) {
    if (event.cmd !== undefined) inLog.add(event.cmd);
    const { body, author, at } = event;
    // Kinds of a later version are skipped; the cursor moved past them already.
    if (!KNOWN.has(body.kind)) continue;
    dayLine(at, String(event.seq));
    if (body.kind !== 'message' && body.kind !== 'note') {
      items.push({ type: 'meta', key: `e${event.seq}`, event });
      group = undefined;
      continue;
    }
    const side = author.kind === 'visitor' ? 'visitor' : author.id === told.me ? 'mine' : 'team';
    const note = body.kind === 'note';
    if (side === 'mine' && !note) lastOwn = items.length;
    items.push({
      type: 'message',
      // One's own words keep their key when they pass from the outbox into the log, so nothing is drawn anew.
      key: event.cmd !== undefined && side === 'mine' ? `c${event.cmd}` : `e${event.seq}`,
      side,
      note,
      name: author.name ?? told.visitor,
      at,
      text: textOf(body),
      head: head(`${author.id ?? author.kind}${note ? ' note' : ''}`, at),
      ...(side === 'mine' && !note ? { state: event.seq <= told.read ? ('read' as const) : ('sent' as const) } : {}),
    });
  }

  for (const pending of told.pending) {
    if (inLog.has(pending.id)) continue;
    dayLine(pending.at, pending.id);
    const note = pending.kind === 'note';
    if (!note && pending.state === 'sending') lastOwn = items.length;
    items.push({
      type: 'message',
      key: `c${pending.id}`,
      side: 'mine',
      note,
      name: '',
      at: pending.at,
      text: pending.text,
      head: head(`${told.me}${note ? ' note' : ''}`, pending.at),
      state: pending.state,
      pending,
    });
  }

  // Sent and read are said once, under the last of one's own; what waits or failed says so itself.
  return items.map((item, index) => {
    if (item.type !== 'message' || index === lastOwn || item.state === 'failed') return item;
    if (item.note && item.state === 'sending') return item;
    const { state: _, ...rest } = item;
    return rest;
  });
}

const KNOWN: ReadonlySet<string> = new Set(['message', 'note', 'queued', 'assigned', 'resolved', 'reopened']);
