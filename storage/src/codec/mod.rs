//! How values lie in a store: one byte that names the version, then postcard of a struct that belongs to this crate.
//!
//! The structs mirror those of the domain instead of being them, so that a change over there is a compile error or a
//! conversion here, and never silently other bytes. Each version ever written keeps its struct and its golden files
//! (`storage/golden`). Decoding never panics: bytes that are not exactly one value of a known version are
//! [`StoreError::Damaged`].

mod event;
mod read;
mod record;
mod row;
mod state;

pub(crate) use event::{decode_event, encode_event};
pub(crate) use read::{decode_read, encode_read};
pub(crate) use record::{decode_record, encode_record};
pub(crate) use row::{decode_row, encode_row};
pub(crate) use state::{decode_state, encode_state};

use bellhop_engine::domain::{CommandMark, MemberId, MemberName};
use bellhop_engine::ports::StoreError;
use serde::{Deserialize, Serialize};

/// The version that every kind is written in today.
const V1: u8 = 1;

/// A 128-bit id, big-endian: random bits would take 19 bytes as a varint.
type IdV1 = [u8; 16];

fn id(value: u128) -> IdV1 {
    value.to_be_bytes()
}

fn from_id(bytes: IdV1) -> u128 {
    u128::from_be_bytes(bytes)
}

fn encode<T: Serialize>(value: &T, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.push(V1);
    // postcard fails on three things only: a full buffer (a Vec grows), a sequence of unknown length and a custom
    // error of a Serialize (the derived ones of this module have neither).
    postcard::to_extend(value, bytes).expect("a derived struct of known lengths into a Vec")
}

/// The value of a kind whose only version is 1; `what` names the kind in the error.
fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, StoreError> {
    match bytes.split_first() {
        None => Err(StoreError::Damaged(format!("{what} is empty"))),
        Some((&V1, body)) => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(StoreError::Damaged(format!("{what} has {} bytes too many", rest.len()))),
            Err(error) => Err(StoreError::Damaged(format!("{what} cannot be read: {error}"))),
        },
        Some((version, _)) => Err(StoreError::Damaged(format!("{what} has the unknown version {version}"))),
    }
}

#[derive(Serialize, Deserialize)]
struct MemberNameV1<'a> {
    id: IdV1,
    name: &'a str,
}

impl<'a> From<&'a MemberName> for MemberNameV1<'a> {
    fn from(member: &'a MemberName) -> Self {
        Self { id: id(member.id.0), name: &member.name }
    }
}

impl From<MemberNameV1<'_>> for MemberName {
    fn from(member: MemberNameV1<'_>) -> Self {
        Self { id: MemberId(from_id(member.id)), name: member.name.into() }
    }
}

/// The hash is random bits as well: 8 bytes instead of up to 10.
#[derive(Serialize, Deserialize)]
struct CommandMarkV1 {
    id: IdV1,
    hash: [u8; 8],
}

impl From<CommandMark> for CommandMarkV1 {
    fn from(mark: CommandMark) -> Self {
        Self { id: id(mark.id.0), hash: mark.hash.to_be_bytes() }
    }
}

impl From<CommandMarkV1> for CommandMark {
    fn from(mark: CommandMarkV1) -> Self {
        Self { id: bellhop_engine::domain::CommandId(from_id(mark.id)), hash: u64::from_be_bytes(mark.hash) }
    }
}

#[cfg(test)]
mod generated;
#[cfg(test)]
mod golden;
