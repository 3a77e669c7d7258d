// Generated from gateway/protocol by its test `typescript`; do not edit.

export const VERSION = 1;
export const MAX_FRAME_BYTES = 65536;
export const MAX_TEXT_BYTES = 16384;
export const MAX_NAME_CHARS = 60;
export const HEARTBEAT_MS = 45000;
export const HELLO_TIMEOUT_SECS = 10;
export const MAX_LIST_ROWS = 100;

/** Close codes: number, and whether coming back without a person's help can succeed. */
export const CLOSE_CODES = {
  Draining: { code: 4000, reconnect: true },
  SlowReader: { code: 4001, reconnect: true },
  OutboxBudget: { code: 4002, reconnect: true },
  IdleTimeout: { code: 4003, reconnect: true },
  Overloaded: { code: 4004, reconnect: true },
  HelloExpected: { code: 4010, reconnect: false },
  HelloTimeout: { code: 4011, reconnect: true },
  UnsupportedVersion: { code: 4012, reconnect: false },
  TokenInvalid: { code: 4013, reconnect: true },
  TokenExpired: { code: 4014, reconnect: true },
  Revoked: { code: 4015, reconnect: false },
  WorkspaceUnknown: { code: 4016, reconnect: false },
  OriginRefused: { code: 4017, reconnect: false },
  FrameTooBig: { code: 4020, reconnect: false },
  BinaryFrame: { code: 4021, reconnect: false },
  TooManyBadFrames: { code: 4022, reconnect: false },
  TooManyControlFrames: { code: 4023, reconnect: false },
  Internal: { code: 4030, reconnect: true },
} as const;

/**
 * The command took effect (now, or when the same id came before) and is durable. `seq`, `prev`, `at` are those of the
 * command's own event, which is *not* sent to the acknowledged connection as an `event` as well: it stands in the
 * order of frames where its `event` would. For a repeat, `seq` may lie below what the client already has.
 */
export type Ack = { id: Id, conversation?: Id, seq?: number, prev?: number, at?: number, 
/**
 * True when the command had taken effect before; the client learns of its event by `event` or `opened`.
 */
again?: boolean, };

/**
 * Who connects.
 */
export type As = "visitor" | "agent";

/**
 * Agent: give the conversation to a member (`to`), or back to the line (`to` absent or null).
 */
export type Assign = { id: Id, conversation: Id, seen: number, to: Id | null, };

export type AssignedReason = "routed" | "taken" | "given" | "replied";

/**
 * Who may see an event: `all` (visitor and staff) or `staff`.
 */
export type Audience = "all" | "staff";

/**
 * Who did something. `name` is the display name at that time.
 */
export type Author = { kind: AuthorKind, 
/**
 * Absent for `system`.
 */
id?: Id, name?: string, };

/**
 * What an author or a reader is.
 */
export type AuthorKind = "visitor" | "agent" | "bot" | "system";

/**
 * What happened. A client skips a `kind` that it does not know and still moves its cursor.
 */
export type Body = { "kind": "started", page?: string, } | { "kind": "message", parts: Array<Part>, } | { "kind": "note", parts: Array<Part>, } | { "kind": "queued", reason: QueuedReason, } | { "kind": "assigned", to: Face, reason: AssignedReason, } | { "kind": "resolved", } | { "kind": "reopened", };

/**
 * Said just before a close; the same code is the close frame's number.
 */
export type Bye = { code: CloseCode, message: string, 
/**
 * Whether coming back can help; if not, the user must act first.
 */
reconnect: boolean, 
/**
 * Not before this many milliseconds (the client adds its own jitter).
 */
retry_after_ms?: number, };

/**
 * Everything a client may say.
 */
export type ClientFrame = { "t": "hello" } & Hello | { "t": "start" } & Start | { "t": "send" } & Send | { "t": "note" } & Note | { "t": "assign" } & Assign | { "t": "resolve" } & Resolve | { "t": "reopen" } & Reopen | { "t": "status" } & SetStatus | { "t": "open" } & Open | { "t": "close" } & Close | { "t": "page" } & Page | { "t": "read" } & Read | { "t": "typing" } & Typing | { "t": "conversations" } & Conversations | { "t": "list" } & List | { "t": "unlist" } & Unlist | { "t": "more" } & More | { "t": "ping" } & Ping;

/**
 * Stop following.
 */
export type Close = { conversation: Id, };

/**
 * Why the gateway closes a connection; the numbers are WebSocket close codes of the private range (RFC 6455, 7.4.2).
 */
export type CloseCode = number;

/**
 * A conversation as `opened` tells it.
 */
export type Conversation = { id: Id, status: Status, assignee?: Face, visitor: Face, created_at: number, 
/**
 * The page that the visitor wrote from first; staff only.
 */
page?: string, 
/**
 * Last seq of the reader's audience: after this the client is up to date.
 */
head: number, 
/**
 * The oldest seq still kept (1 until retention removes some).
 */
first_seq: number, reads: Array<ReadMark>, 
/**
 * Whether the visitor has a connection now; staff only.
 */
visitor_online?: boolean, 
/**
 * Place in the line, 1 is next; only while queued.
 */
position?: number, };

export type ConversationRow = { row: VisitorRow, };

export type ConversationRows = { rows: Array<VisitorRow>, };

/**
 * Visitor: my conversations, newest first (at most 50); then a `conversation` frame at every change of one.
 */
export type Conversations = Record<symbol, never>;

/**
 * How many conversations each list holds.
 */
export type Counts = { mine: number, unassigned: number, open: number, };

/**
 * One durable event of a conversation.
 */
export type Event = { seq: number, 
/**
 * The seq before this one *for the reader's audience*; 0 before the first. If it is not the last that a client
 * has, the client missed something and sends `open` with its last seq.
 */
prev: number, at: number, author: Author, audience: Audience, 
/**
 * The id of the command that caused it, as its sender chose it: how a sender recognises its own words.
 */
cmd?: Id, body: Body, };

/**
 * The answer to `page`: oldest first.
 */
export type EventPage = { conversation: Id, events: Array<Event>, older: boolean, };

/**
 * A member as others see them.
 */
export type Face = { id: Id, name: string, };

/**
 * The first frame. A visitor says the workspace and, when it has one, the token that an earlier `welcome` gave it; an
 * agent says a socket token made by `POST /api/v1/socket-token` (good for 60 s, one workspace).
 */
export type Hello = { v: number, as: As, workspace?: Id, token?: string, 
/**
 * Name and version of the client, for logs: at most 64 characters, more is cut.
 */
client?: string, };

/**
 * A 128-bit opaque identifier; on the wire a string of exactly 32 characters of `0-9a-f`.
 */
export type Id = string;

/**
 * Agent: follow a list. Who comes back says the `feed` and `at` that it has and gets the `changes` missed, or a
 * `list` (a reset with the first page).
 */
export type List = { view: View, feed?: Id, at?: number, };

/**
 * Changes of a followed list since `from`, at most 4 frames a second a view. If `from` is not the `at` that the
 * client has, it missed something and sends `list` with its `feed` and `at`.
 */
export type ListChanges = { view: View, feed: Id, from: number, at: number, 
/**
 * Rows that are in the view now, new or changed; the client orders them by the view's rule.
 */
upserts: Array<Row>, 
/**
 * Rows that left it.
 */
removed: Array<Id>, counts: Counts, };

export type ListPage = { view: View, rows: Array<Row>, next?: string, };

/**
 * The first page of a list: the client drops what it had of the view.
 */
export type ListReset = { view: View, feed: Id, at: number, rows: Array<Row>, 
/**
 * Where `more` goes on; absent at the end.
 */
next?: string, counts: Counts, };

/**
 * A member as colleagues see them.
 */
export type MemberState = { id: Id, name: string, role: Role, online: boolean, 
/**
 * What they chose: taking new conversations, or away.
 */
available: boolean, 
/**
 * Conversations they hold now.
 */
open: number, };

/**
 * Agent: the members and their state; sent after `welcome` and, coalesced, at changes. Always the whole list.
 */
export type Members = { members: Array<MemberState>, };

/**
 * Agent: the rows after a cursor that `list` or `list_page` gave; answered by `list_page`.
 */
export type More = { view: View, after: string, };

/**
 * A live event of a followed conversation.
 */
export type NewEvent = { conversation: Id, event: Event, };

/**
 * Agent: words for staff only.
 */
export type Note = { id: Id, conversation: Id, seen: number, text: string, };

/**
 * Staff: the visitor of a followed conversation came or went.
 */
export type Online = { conversation: Id, online: boolean, };

/**
 * Follow a conversation. With `after`, everything later comes in `opened` frames, or one with `reset`; while
 * `opened.more` is true, send `open` again with the new last seq. Live events follow once `more` is false.
 */
export type Open = { conversation: Id, after?: number, };

/**
 * The answer to `open`.
 */
export type Opened = { conversation: Conversation, reset?: Reset, 
/**
 * Oldest first.
 */
events: Array<Event>, 
/**
 * With a reset: whether older events exist (`page` gets them).
 */
older: boolean, 
/**
 * Whether later ones are left: send `open` again with the last seq of `events`. Nothing live comes until then.
 */
more: boolean, };

/**
 * Older events, newest last, all below `before`; answered by `page`.
 */
export type Page = { conversation: Id, before: number, limit?: number, };

/**
 * A piece of a message. A client skips a `kind` that it does not know.
 */
export type Part = { "kind": "text", text: string, };

/**
 * Keeps the connection known to be alive; answered by `pong`.
 */
export type Ping = Record<symbol, never>;

export type Pong = Record<symbol, never>;

/**
 * Visitor: the place in the line changed; absent when it no longer stands in it.
 */
export type Position = { conversation: Id, position?: number, };

export type QueuedReason = "new" | "reopened" | "released" | "returned";

/**
 * The reader has read up to `seq`. Not answered; only moves forward.
 */
export type Read = { conversation: Id, seq: number, };

/**
 * How far one reader has read.
 */
export type ReadMark = { kind: AuthorKind, id: Id, seq: number, };

export type ReadUpdate = { conversation: Id, mark: ReadMark, };

/**
 * Why something was not done. The texts here are the `message` when nothing more exact is known.
 */
export type RefusalCode = "bad_frame" | "already_welcome" | "text_empty" | "text_too_long" | "text_control" | "page_bad" | "not_found" | "forbidden" | "member_unknown" | "id_reused" | "closed" | "not_now" | "rate_limited" | "overloaded" | "unavailable" | "unknown" | "conversation_unavailable" | "too_many_open" | "cursor_bad";

/**
 * The command (or other request) was not done and left no trace. `message` is a sentence for a person.
 */
export type Refused = { 
/**
 * The command's id; absent when the frame had none that could be read.
 */
id?: Id, conversation?: Id, code: RefusalCode, message: string, 
/**
 * The field at fault.
 */
field?: string, 
/**
 * Repeat with the same id after this many milliseconds.
 */
retry_after_ms?: number, };

/**
 * Agent: takes a resolving back; the conversation is the sender's again.
 */
export type Reopen = { id: Id, conversation: Id, seen: number, };

/**
 * Why `opened` starts afresh. The client drops what it has of the conversation and takes `events` as its newest page.
 */
export type Reset = "first" | "too_far" | "cursor_ahead" | "expired";

/**
 * Agent: the matter is settled.
 */
export type Resolve = { id: Id, conversation: Id, seen: number, };

/**
 * The conversation's actor was restarted: live frames may have been lost. Send `open` with your last seq.
 */
export type Resync = { conversation: Id, };

export type Role = "owner" | "agent";

/**
 * A row of an inbox list.
 */
export type Row = { id: Id, visitor: Face, status: Status, assignee?: Face, 
/**
 * The last words either side can see, cut to 120 characters; a note never stands here.
 */
preview: string, 
/**
 * Who wrote the preview.
 */
last_author: AuthorKind, last_at: number, 
/**
 * Since when the visitor waits for an answer; absent while they do not.
 */
waiting_since?: number, 
/**
 * Whether an agent has answered since it was last assigned or queued.
 */
answered: boolean, 
/**
 * The conversation's last seq when this row was made; a client never replaces a row by one with a lower seq.
 */
seq: number, 
/**
 * How far any agent has read; it is unread while `last_visitor_seq > read`.
 */
read: number, 
/**
 * Seq of the visitor's last message.
 */
last_visitor_seq: number, channel: string, 
/**
 * Its place in the line's order while queued: lower comes first, gaps mean nothing.
 */
queue_number?: number, resolved_at?: number, created_at: number, };

/**
 * A message to the other side. `seen` is the sender's last seq when the message was *first made* (0 if none): a
 * repeat keeps it, and the server looks for an earlier taking-effect from there on.
 */
export type Send = { id: Id, conversation: Id, seen: number, text: string, };

/**
 * Everything a gateway may say. A client skips a `t` that it does not know.
 */
export type ServerFrame = { "t": "welcome" } & Welcome | { "t": "ack" } & Ack | { "t": "refused" } & Refused | { "t": "opened" } & Opened | { "t": "page" } & EventPage | { "t": "event" } & NewEvent | { "t": "read" } & ReadUpdate | { "t": "typing" } & TypingUpdate | { "t": "online" } & Online | { "t": "position" } & Position | { "t": "team" } & TeamUpdate | { "t": "members" } & Members | { "t": "conversations" } & ConversationRows | { "t": "conversation" } & ConversationRow | { "t": "list" } & ListReset | { "t": "changes" } & ListChanges | { "t": "list_page" } & ListPage | { "t": "resync" } & Resync | { "t": "bye" } & Bye | { "t": "pong" } & Pong;

/**
 * Agent: available for new conversations, or away. Kept until changed; answered by an `ack` without a conversation.
 */
export type SetStatus = { id: Id, available: boolean, };

/**
 * Visitor: a new conversation with its first message. The `ack` tells the conversation's id, which follows from the
 * visitor and `id`: repeating it never makes a second conversation. The sender is subscribed as by `open`
 * (`opened` comes before the `ack`).
 */
export type Start = { id: Id, text: string, 
/**
 * Address of the page the visitor is on.
 */
page?: string, };

/**
 * Where a conversation is in its life.
 */
export type Status = "queued" | "assigned" | "resolved";

/**
 * Who is there to answer, as visitors see it.
 */
export type Team = { 
/**
 * Whether at least one agent is online and available.
 */
available: boolean, 
/**
 * At most three of them.
 */
faces: Array<Face>, 
/**
 * Median time to the first answer over the last hour, seconds; absent while there is no figure.
 */
answers_in_secs?: number, };

/**
 * Visitor: who is there changed.
 */
export type TeamUpdate = { team: Team, };

/**
 * Typing begins or goes on (repeat at most every 3 s), or ends. Not answered, may be lost; ends by itself after 6 s.
 */
export type Typing = { conversation: Id, on: boolean, };

/**
 * Somebody else types; goes by itself 6 s after the last `on`.
 */
export type TypingUpdate = { conversation: Id, author: Author, on: boolean, };

/**
 * Agent: stop following a list.
 */
export type Unlist = { view: View, };

/**
 * The lists of an inbox.
 */
export type View = "mine" | "unassigned" | "open" | "resolved";

/**
 * A conversation as its visitor's list shows it.
 */
export type VisitorRow = { id: Id, status: Status, preview: string, last_author: Author, last_at: number, 
/**
 * Last seq the visitor can see, and how far they have read.
 */
head: number, read: number, 
/**
 * Messages of agents after `read`.
 */
unread: number, 
/**
 * False once the conversation was resolved too long ago to reopen: writing starts a new one.
 */
writable: boolean, created_at: number, };

/**
 * The answer to a good `hello`.
 */
export type Welcome = { as: As, me: Face, workspace: Face, now: number, 
/**
 * Say something at least this often.
 */
heartbeat_ms: number, max_text_bytes: number, 
/**
 * Visitor: the token to come back with, when there was none or the old one nears its end. Keep it; it is the
 * visitor's identity.
 */
token?: string, 
/**
 * Visitor: who is there.
 */
team?: Team, 
/**
 * Agent: whether I am available.
 */
available?: boolean, };
