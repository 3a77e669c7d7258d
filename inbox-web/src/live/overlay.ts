// Acting first: what the lists show while a command is on its way. Pure, so that every state can be tested.

import { compareRows } from '../../../gateway/client/src/list.ts';
import type { Face, Id, Row, View } from '../../../gateway/client/src/protocol.ts';

/** A resolve, reopen or assign that the lists already show. */
export type Act = {
  /** The command's id. */
  readonly id: Id;
  readonly kind: 'resolve' | 'reopen' | 'assign';
  /** `assign`: who gets it; null: back to the line. */
  readonly to: Face | null;
  /** The row as it was: lists that never had it show it from here. */
  readonly row: Row;
  /** When it was done, ms by the server's clock: a resolved row stands by it. */
  readonly at: number;
  /** Seq of its event, once acknowledged. A row of that seq or later already tells the truth. */
  readonly seq?: number;
};

/** The row as it will be. */
export function acted(row: Row, act: Act, me: Face): Row {
  const { waiting_since: _, assignee: before, ...rest } = row;
  const waits = row.waiting_since === undefined ? {} : { waiting_since: row.waiting_since };
  switch (act.kind) {
    case 'resolve':
      return {
        ...rest,
        status: 'resolved',
        resolved_at: act.at,
        ...(before === undefined ? {} : { assignee: before }),
      };
    case 'reopen':
      return { ...rest, ...waits, status: 'assigned', assignee: me };
    case 'assign':
      return act.to === null
        ? { ...rest, ...waits, status: 'queued' }
        : { ...rest, ...waits, status: 'assigned', assignee: act.to };
  }
}

/** Whether a list holds such a row. */
export function belongs(row: Row, view: View, me: Id): boolean {
  switch (view) {
    case 'mine':
      return row.status !== 'resolved' && row.assignee?.id === me;
    case 'unassigned':
      return row.status === 'queued';
    case 'open':
      return row.status !== 'resolved';
    case 'resolved':
      return row.status === 'resolved';
  }
}

/** The rows of a list with the acts on their way. Without acts it is the same array. */
export function overlaid(view: View, rows: readonly Row[], acts: readonly Act[], me: Face): readonly Row[] {
  if (acts.length === 0) return rows;
  const shown = new Map(rows.map((row) => [row.id, row]));
  const come: Row[] = [];
  const latest = new Map<Id, Row>();
  for (const act of acts) {
    const known = latest.get(act.row.id) ?? shown.get(act.row.id);
    if (known !== undefined && act.seq !== undefined && known.seq >= act.seq) continue;
    latest.set(act.row.id, acted(known ?? act.row, act, me));
  }
  for (const [id, row] of latest) {
    if (!belongs(row, view, me.id)) shown.delete(id);
    else if (shown.has(id)) shown.set(id, row);
    else come.push(row);
  }
  if (view !== 'unassigned') return [...shown.values(), ...come].sort(compareRows(view));
  const line = [...shown.values()];
  for (const row of come) {
    // Only the engine knows the number of what goes back to the line; until it says, the wait tells the place.
    const place = row.queue_number === undefined ? byWait : compareRows(view);
    const later = line.findIndex((other) => place(other, row) > 0);
    line.splice(later < 0 ? line.length : later, 0, row);
  }
  return line;
}

function byWait(a: Row, b: Row): number {
  return (a.waiting_since ?? a.last_at) - (b.waiting_since ?? b.last_at);
}

/** Where a person is taken when the open conversation leaves the list: the next one, else the one before. */
export function neighbour(rows: readonly Row[], id: Id): Id | undefined {
  const index = rows.findIndex((row) => row.id === id);
  if (index < 0) return rows[0]?.id;
  return (rows[index + 1] ?? rows[index - 1])?.id;
}
