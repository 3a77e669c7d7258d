//! How bare routers tell one message from the next. Nothing is read but lengths; what a payload means follows from its
//! length alone.

use crate::fast::{
    MESSAGE_BYTES,
    frame::{self, BINARY},
};

/// An acknowledgement: a message's first bytes, pair and number.
pub(crate) const ACK_BYTES: usize = 8;
/// The first words of a connection, pair and side; the router says them back.
pub(crate) const JOIN_BYTES: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Four bytes of length (little-endian) and the payload.
    Length,
    /// Binary frames of RFC 6455.
    WebSocket,
}

impl Framing {
    /// The payload that the bytes begin with, and how many bytes it takes with its head. A masked one is unmasked in
    /// `scratch`.
    pub(crate) fn first<'a>(
        self,
        bytes: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<(&'a [u8], usize)>, String> {
        match self {
            Self::Length => {
                let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
                let length = u32::from_le_bytes(*head) as usize;
                if length > MESSAGE_BYTES {
                    return Err(format!("a message of {length} bytes"));
                }
                Ok(rest.get(..length).map(|payload| (payload, length + 4)))
            }
            Self::WebSocket => Ok(frame::first(bytes)?.map(|found| match found.mask {
                None => (found.payload, found.length),
                Some(mask) => {
                    scratch.clear();
                    scratch.extend_from_slice(found.payload);
                    frame::apply(scratch, mask);
                    (scratch.as_slice(), found.length)
                }
            })),
        }
    }

    /// Appends a payload as a server writes it.
    pub(crate) fn answer(self, out: &mut Vec<u8>, payload: &[u8]) {
        match self {
            Self::Length => {
                out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
                out.extend_from_slice(payload);
            }
            Self::WebSocket => frame::plain(out, BINARY, payload),
        }
    }

    /// Appends a payload as a client writes it.
    pub(crate) fn say(self, out: &mut Vec<u8>, payload: &[u8]) {
        match self {
            Self::Length => self.answer(out, payload),
            Self::WebSocket => frame::masked(out, BINARY, payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Framing;

    #[test]
    fn what_one_side_says_the_other_reads_whole() {
        for framing in [Framing::Length, Framing::WebSocket] {
            for payload in [&[7; 5][..], &[9; 128]] {
                let mut bytes = Vec::new();
                framing.say(&mut bytes, payload);
                let said = bytes.len();
                framing.answer(&mut bytes, payload);
                let mut scratch = Vec::new();
                assert_eq!(framing.first(&bytes[..said - 1], &mut scratch), Ok(None));
                assert_eq!(framing.first(&bytes, &mut scratch), Ok(Some((payload, said))));
                let rest = bytes.len() - said;
                assert_eq!(framing.first(&bytes[said..], &mut scratch), Ok(Some((payload, rest))));
            }
        }
        assert!(Framing::Length.first(&[1, 1, 1, 1], &mut Vec::new()).is_err());
    }
}
