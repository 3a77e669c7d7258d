//! Every bound of the wire, with its reason. A gateway may be configured to be stricter where `welcome` says so.

/// Largest frame of a client, bytes of UTF-8 JSON. SECURITY.md starts from 64 KiB a message; it holds the longest
/// text even when every byte of it needs an escape of two.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// Longest text of one message or note, bytes of UTF-8: 4,000 characters (LOOK.md's "full" state) of four bytes.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Longest page address a visitor may report in `start`, bytes. Longer ones are refused, not cut.
pub const MAX_PAGE_BYTES: usize = 2 * 1024;

/// Longest display name (member, workspace, visitor), characters: LOOK.md's layouts hold 60.
pub const MAX_NAME_CHARS: usize = 60;

/// Most events in one `opened` or `page` frame. With [`MAX_BATCH_BYTES`] it keeps one frame far from the outbox bound.
pub const MAX_BATCH_EVENTS: usize = 200;

/// Most bytes of texts in one `opened` or `page` frame; a batch ends before the event that would pass it, but always
/// holds at least one event.
pub const MAX_BATCH_BYTES: usize = 192 * 1024;

/// Events sent when a conversation is opened without a cursor, and by `page` without a limit.
pub const DEFAULT_BATCH_EVENTS: usize = 50;

/// A client that missed more than this gets `reset: "too_far"` with the newest page instead of everything: reading
/// on from there is what a person would do.
pub const MAX_RESUME_EVENTS: u64 = 1_000;

/// Rows in one `list` or `list_page` frame.
pub const MAX_LIST_ROWS: usize = 100;

/// Conversations one session may have open at once (an inbox tab and a load generator's agent need several; the rest
/// is an error of the client).
pub const MAX_OPEN_CONVERSATIONS: usize = 1_000;

/// Bytes queued to one connection before it is closed with [`crate::CloseCode::SlowReader`] (G7).
pub const MAX_OUTBOX_BYTES: usize = 1024 * 1024;

/// Seconds a connection may take from upgrade to a valid `hello` (SECURITY.md).
pub const HELLO_TIMEOUT_SECS: u64 = 10;

/// A client sends `ping` (or anything else) at least this often, milliseconds; told in `welcome.heartbeat_ms`.
/// 45 s is under the 60 s after which common proxies (nginx `proxy_read_timeout`) drop a silent connection.
pub const HEARTBEAT_MS: u64 = 45_000;

/// A session from which nothing came for this long is closed, milliseconds: two heartbeats and some.
pub const IDLE_TIMEOUT_MS: u64 = 120_000;

/// Frames that may fail to decode before the connection is closed with [`crate::CloseCode::TooManyBadFrames`].
pub const MAX_BAD_FRAMES: u32 = 10;

/// Control frames (ping, pong) in 10 s before the connection is closed (SECURITY.md).
pub const MAX_CONTROL_FRAMES_PER_10S: u32 = 10;

const _: () = assert!(MAX_TEXT_BYTES * 2 < MAX_FRAME_BYTES);
const _: () = assert!(MAX_BATCH_BYTES * 2 < MAX_OUTBOX_BYTES);
const _: () = assert!(MAX_BATCH_BYTES > MAX_TEXT_BYTES);
const _: () = assert!(HEARTBEAT_MS * 2 < IDLE_TIMEOUT_MS);
