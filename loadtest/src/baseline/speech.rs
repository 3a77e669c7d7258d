//! What a crowd says to a bare router: 128 bytes that begin with pair and number. Visitors are the first connections,
//! their agents follow in the same order.

use super::framing::{ACK_BYTES, Framing, JOIN_BYTES};
use crate::{
    args::RouterKind,
    fast::{Heard, MESSAGE_BYTES, Tongue, What, frame},
};

pub(crate) struct Speech {
    framing: Framing,
    pairs: usize,
    /// Connections that wait for the answer to their upgrade.
    upgrading: Vec<bool>,
    arrived: usize,
    scratch: Vec<u8>,
}

impl Speech {
    pub(crate) fn new(kind: RouterKind, pairs: usize) -> Self {
        Self { framing: kind.framing(), pairs, upgrading: Vec::new(), arrived: 0, scratch: Vec::new() }
    }

    fn join(&self, conn: usize, out: &mut Vec<u8>) {
        let (pair, agent) = if conn < self.pairs { (conn, 0) } else { (conn - self.pairs, 1) };
        let mut join = [agent; JOIN_BYTES];
        join[..4].copy_from_slice(&(pair as u32).to_le_bytes());
        self.framing.say(out, &join);
    }
}

/// Pair and number at the beginning of a payload.
fn head(payload: &[u8]) -> Option<(usize, u32)> {
    let (pair, rest) = payload.split_first_chunk::<4>()?;
    let index = rest.first_chunk::<4>()?;
    Some((u32::from_le_bytes(*pair) as usize, u32::from_le_bytes(*index)))
}

impl Tongue for Speech {
    fn mouth(&self, pair: usize) -> usize {
        pair
    }

    fn greet(&mut self, conn: usize, out: &mut Vec<u8>) {
        let upgrading = self.framing == Framing::WebSocket;
        self.upgrading.push(upgrading);
        if upgrading {
            frame::upgrade(out, "bare", "http://bare");
        } else {
            self.join(conn, out);
        }
    }

    fn hear(
        &mut self,
        conn: usize,
        bytes: &[u8],
        _now: u64,
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> Result<usize, String> {
        let mut used = 0;
        if self.upgrading[conn] {
            match frame::upgraded(bytes) {
                Ok(None) => return Ok(0),
                Ok(Some(length)) => used = length,
                Err(status) => return Err(format!("the upgrade was answered with HTTP {status}")),
            }
            self.upgrading[conn] = false;
            self.join(conn, out);
        }
        while let Some((payload, length)) = self.framing.first(&bytes[used..], &mut self.scratch)? {
            used += length;
            let what = match (payload.len(), conn < self.pairs) {
                (JOIN_BYTES, _) => {
                    self.arrived += 1;
                    continue;
                }
                (ACK_BYTES, true) => What::Acknowledged,
                (MESSAGE_BYTES, false) => What::Received,
                (other, _) => return Err(format!("{other} bytes that it has nothing to do with")),
            };
            let (pair, index) = head(payload).ok_or("a payload without a head")?;
            if pair != conn % self.pairs {
                return Err(format!("something of pair {pair}"));
            }
            heard.push(Heard { pair, index, what });
        }
        Ok(used)
    }

    fn say(&mut self, pair: usize, index: u32, out: &mut Vec<u8>) {
        let mut message = [b'x'; MESSAGE_BYTES];
        message[..4].copy_from_slice(&(pair as u32).to_le_bytes());
        message[4..8].copy_from_slice(&index.to_le_bytes());
        self.framing.say(out, &message);
    }

    fn arrived(&self) -> usize {
        self.arrived
    }
}
