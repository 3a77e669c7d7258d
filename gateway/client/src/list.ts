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

/**
 * Order of `mine` and `open`: longest waiting first, then those that wait for the visitor, newest first. Ids decide
 * between equals, so that two tabs show the same order.
 */
export function byWaiting(a: Row, b: Row): number {
  if (a.waiting_since !== undefined && b.waiting_since !== undefined) {
    return a.waiting_since - b.waiting_since || compareIds(a.id, b.id);
  }
  if (a.waiting_since !== undefined) return -1;
  if (b.waiting_since !== undefined) return 1;
  return b.last_at - a.last_at || compareIds(a.id, b.id);
}

/** Place in the line as far as a row tells it: who has waited longer stands earlier. */
export function byLine(a: Row, b: Row): number {
  return (a.waiting_since ?? a.last_at) - (b.waiting_since ?? b.last_at) || compareIds(a.id, b.id);
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
  /**
   * The order that the server gave. A row does not tell its number in the line nor when it was resolved, so the
   * order of `unassigned` and `resolved` is remembered and new rows are put in their place; `mine` and `open` are
   * sorted by what the rows tell.
   */
  #order: Id[] = [];
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
        this.#order = [...this.#rows.keys()];
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
        for (const id of frame.removed) this.#remove(id);
        this.#insert(frame.upserts);
        break;
      }
      case "list_page": {
        if (frame.view !== this.view) return false;
        // A page asked for on an earlier connection, or before a reset, continues something that is no longer there.
        if (!this.#paging) return true;
        this.#next = frame.next;
        for (const row of frame.rows) {
          if (this.#leftWhilePaging.has(row.id)) continue;
          if (!this.#rows.has(row.id)) this.#order.push(row.id);
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
        rows: this.#sorted(),
        ready: this.#feed !== undefined,
        more: this.#next !== undefined,
        paging: this.#paging,
        counts: this.#counts,
      };
    }
    return this.#snapshot;
  }

  #sorted(): Row[] {
    if (this.view === "mine" || this.view === "open") return [...this.#rows.values()].sort(byWaiting);
    const rows: Row[] = [];
    for (const id of this.#order) {
      const row = this.#rows.get(id);
      if (row !== undefined) rows.push(row);
    }
    return rows;
  }

  #insert(upserts: readonly Row[]): void {
    // Of several that were resolved in one interval, the one with the later last words goes in last and so on top.
    const fresh = [...upserts].sort((a, b) => a.last_at - b.last_at);
    for (const row of fresh) {
      this.#leftWhilePaging.delete(row.id);
      const have = this.#rows.get(row.id);
      this.#rows.set(row.id, newer(have, row));
      if (have !== undefined) {
        // New words in a resolved conversation mean that it was reopened and resolved again within one interval.
        if (this.view !== "resolved" || row.last_at <= have.last_at) continue;
        this.#order = this.#order.filter(it => it !== row.id);
      }
      if (this.view === "resolved") this.#order.unshift(row.id);
      else if (this.view === "unassigned") {
        const later = this.#order.findIndex(id => {
          const other = this.#rows.get(id);
          return other !== undefined && byLine(other, row) > 0;
        });
        this.#order.splice(later < 0 ? this.#order.length : later, 0, row.id);
      } else this.#order.push(row.id);
    }
  }

  #remove(id: Id): void {
    if (this.#paging) this.#leftWhilePaging.add(id);
    if (!this.#rows.delete(id)) return;
    this.#order = this.#order.filter(it => it !== id);
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
