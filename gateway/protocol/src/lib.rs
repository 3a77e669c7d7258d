//! The wire contract between a Bellhop gateway and its clients (widget, inbox, load test, yours).
//!
//! One protocol on every transport: JSON text frames, each an object whose `t` names its kind. The first frame of a
//! client is [`ClientFrame::Hello`]; it carries the version and the token, which therefore never stands in a URL.
//! `gateway/protocol/PROTOCOL.md` tells the same as prose for somebody who writes a client in another language,
//! `fixtures/` holds golden frames that Rust and TypeScript both read, and `gateway/client/src/protocol.ts` is
//! generated from the types here.
//!
//! Absent: sockets, clocks, the engine's types. This crate says what bytes mean and nothing else.

mod client;
mod codes;
mod decode;
mod id;
pub mod limits;
mod server;
mod shapes;

pub use client::*;
pub use codes::*;
pub use decode::{BadFrame, by_name, decode_client, decode_server};
pub use id::{BadId, Id};
pub use server::*;
pub use shapes::*;

/// The protocol version that this crate speaks; a client says its own in `hello`, and a server that does not speak
/// it closes with [`CloseCode::UnsupportedVersion`].
pub const VERSION: u16 = 1;
