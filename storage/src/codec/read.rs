//! Stored read marks: how far one reader has read. Whose mark it is lies in the key.

use bellhop_engine::domain::Seq;
use bellhop_engine::ports::StoreError;
use serde::{Deserialize, Serialize};

use super::{decode, encode};

#[derive(Serialize, Deserialize)]
struct ReadV1 {
    seq: u64,
}

/// The stored bytes of a read mark.
pub(crate) fn encode_read(seq: Seq) -> Vec<u8> {
    encode(&ReadV1 { seq }, 11)
}

/// The seq in a stored read mark.
pub(crate) fn decode_read(bytes: &[u8]) -> Result<Seq, StoreError> {
    decode::<ReadV1>(bytes, "a read mark").map(|stored| stored.seq)
}
