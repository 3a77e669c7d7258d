// One followed list of the inbox (`list`, `changes`, `more`): holds the rows, notices gaps, keeps the view's order.
// It knows no socket: frames go out through `send` and come in through `receive`, so that every cut point is testable.

import type { ClientFrame, Counts, Id, Row, ServerFrame, View } from "./protocol.ts";

/** What a reader of a feed sees. A new object is made at every change, so identity tells whether something changed. */
export type ListSnapshot = {
  readonly view: View;
  /** In the view's order. */
  readonly rows: readonly Row[];
  /** False until the first page has come. Rows of an earlier connection stay shown while the feed catches up. */
  readonly ready: boolean;
  /** Whether `page()` would bring more rows. */
  readonly more: boolean;
  /** Whether a page is under way. */
  readonly paging: boolean;
  /** How many conversations each list holds; absent until `ready`. */
  readonly counts: Counts | undefined;
};

/** A row without its number stands at the end of the line, as in the engine. */
const LAST = Number.MAX_SAFE_INTEGER;

/**
 * A view's order, the engine's rule (`engine/src/domain/lists.rs`): `mine` and `open` have who waits for us, longest
 * first, then the others, newest first; `unassigned` is the line; `resolved` has what was resolved last on top. Ids
 * decide between equals, so that two tabs show the same order.
 */
export function compareRows(view: View): (a: Row, b: Row) => number {
  switch (view) {
    case "mine":
    case "open":
      return byWaiting;
    case "unassigned":
      return (a, b) => (a.queue_number ?? LAST) - (b.queue_number ?? LAST) || compareIds(a.id, b.id);
    case "resolved":
      return (a, b) => (b.resolved_at ?? 0) - (a.resolved_at ?? 0) || compareIds(a.id, b.id);
  }
}

function byWaiting(a: Row, b: Row): number {
  if (a.waiting_since !== undefined && b.waiting_since !== undefined) {
    return a.waiting_since - b.waiting_since || compareIds(a.id, b.id);
  }
  if (a.waiting_since !== undefined) return -1;
  if (b.waiting_since !== undefined) return 1;
  return b.last_at - a.last_at || compareIds(a.id, b.id);
}

function compareIds(a: Id, b: Id): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Takes the newer of two forms of a row. A lower `seq` never replaces a higher one; at the same `seq` only the
 * staff's read mark can differ, and it only moves forward.
 */
export function newer(have: Row | undefined, come: Row): Row {
  if (have === undefined || come.seq > have.seq) {
    return have !== undefined && have.read > come.read ? { ...come, read: have.read } : come;
  }
  if (come.seq < have.seq) return come.read > have.read ? { ...have, read: come.read } : have;
  return have.read > come.read ? { ...come, read: have.read } : come;
}

/** A list that is followed. `send` must drop the frame when there is no connection: `follow()` repairs it later. */
export class ListFeed {
  readonly view: View;
  readonly #send: (frame: ClientFrame) => void;
  readonly #changed: () => void;
  #feed: Id | undefined;
  #at = 0;
  #rows = new Map<Id, Row>();
  #next: string | undefined;
  #paging = false;
  /** Ids that left the view while a page was under way: the page may have been made before they left. */
  #leftWhilePaging = new Set<Id>();
  #catchingUp = false;
  #counts: Counts | undefined;
  #snapshot: ListSnapshot | undefined;

  constructor(view: View, send: (frame: ClientFrame) => void, changed: () => void = () => {}) {
    this.view = view;
    this.#send = send;
    this.#changed = changed;
  }

  /** Begins to follow, or comes back: call it after every `welcome`. */
  follow(): void {
    this.#catchingUp = true;
    this.#endPaging();
    this.#send(
      this.#feed === undefined
        ? { t: "list", view: this.view }
        : { t: "list", view: this.view, feed: this.#feed, at: this.#at },
    );
    this.#touch();
  }

  /** Stops following. The rows stay, and `follow()` goes on from them. */
  unfollow(): void {
    this.#send({ t: "unlist", view: this.view });
  }

  /** Asks for the rows after the last; does nothing when there are none or a page is under way. */
  page(): void {
    if (this.#next === undefined || this.#paging || this.#catchingUp) return;
    this.#paging = true;
    this.#send({ t: "more", view: this.view, after: this.#next });
    this.#touch();
  }

  /** Takes a frame; true if it was for this feed. Frames of other views and kinds are left alone. */
  receive(frame: ServerFrame): boolean {
    switch (frame.t) {
      case "list": {
        if (frame.view !== this.view) return false;
        this.#catchingUp = false;
        this.#endPaging();
        this.#feed = frame.feed;
        this.#at = frame.at;
        this.#rows = new Map(frame.rows.map(row => [row.id, row]));
        this.#next = frame.next;
        this.#counts = frame.counts;
        break;
      }
      case "changes": {
        if (frame.view !== this.view) return false;
        if (this.#feed === undefined) return true;
        // An answer that was overtaken: all of it is known.
        if (frame.feed === this.#feed && frame.from < this.#at && frame.at <= this.#at) return true;
        if (frame.feed !== this.#feed || frame.from !== this.#at) {
          // Something was missed. One request is enough: what comes before its answer rests on what is missing.
          if (!this.#catchingUp) this.follow();
          return true;
        }
        this.#catchingUp = false;
        this.#at = frame.at;
        this.#counts = frame.counts;
        for (const id of frame.removed) {
          if (this.#paging) this.#leftWhilePaging.add(id);
          this.#rows.delete(id);
        }
        for (const row of frame.upserts) {
          this.#leftWhilePaging.delete(row.id);
          this.#rows.set(row.id, newer(this.#rows.get(row.id), row));
        }
        break;
      }
      case "list_page": {
        if (frame.view !== this.view) return false;
        // A page asked for on an earlier connection, or before a reset, continues something that is no longer there.
        if (!this.#paging) return true;
        this.#next = frame.next;
        for (const row of frame.rows) {
          if (this.#leftWhilePaging.has(row.id)) continue;
          this.#rows.set(row.id, newer(this.#rows.get(row.id), row));
        }
        this.#endPaging();
        break;
      }
      case "refused": {
        // `more` carries no id: a bad cursor can only be that of the page under way.
        if (frame.code !== "cursor_bad" || !this.#paging) return false;
        this.#feed = undefined;
        this.follow();
        return true;
      }
      default:
        return false;
    }
    this.#touch();
    return true;
  }

  /** The row of a conversation, if this list holds it. */
  row(id: Id): Row | undefined {
    return this.#rows.get(id);
  }

  /** Staff has read up to `seq`: shown at once, before the server says so. */
  markRead(id: Id, seq: number): void {
    const row = this.#rows.get(id);
    if (row === undefined || row.read >= seq) return;
    this.#rows.set(id, { ...row, read: seq });
    this.#touch();
  }

  /** What there is to show; the same object until something changes. */
  snapshot(): ListSnapshot {
    if (this.#snapshot === undefined) {
      this.#snapshot = {
        view: this.view,
        rows: [...this.#rows.values()].sort(compareRows(this.view)),
        ready: this.#feed !== undefined,
        more: this.#next !== undefined,
        paging: this.#paging,
        counts: this.#counts,
      };
    }
    return this.#snapshot;
  }

  #endPaging(): void {
    this.#paging = false;
    this.#leftWhilePaging.clear();
  }

  #touch(): void {
    this.#snapshot = undefined;
    this.#changed();
  }
}
