//! The least that a router can do: say back that it has a message, and hand it on. Nothing is parsed, nothing stored.
//! Over plain TCP it is the machine's limit of routing, over WebSocket that of routing WebSocket frames.

use super::{
    framing::{ACK_BYTES, Framing},
    switch::{Ends, Route},
};

pub(crate) struct AtOnce(pub(crate) Framing);

impl Route for AtOnce {
    fn message(&mut self, _: &Ends<'_>, payload: &[u8], back: &mut Vec<u8>, on: &mut Vec<u8>) {
        self.0.answer(back, &payload[..ACK_BYTES]);
        self.0.answer(on, payload);
    }

    fn pause(&mut self) {}
}
