//! RFC 6455 frames, as much of them as a server without extensions needs. Pure: bytes in, verdicts out.
//!
//! Ours and not a library's, because it is the hot path: a library reads into a buffer of each connection's own (512 B
//! and a task-sized state were 60 % of an idle session), copies each message out of it, and frames it anew for each
//! receiver. Here a turn of any session reads into its thread's one buffer, the text is judged where it lies, and what is
//! sent was framed once for everybody. `kosoku` (the Autobahn cases) runs against it in the tests.

use std::sync::Arc;

/// Most bytes of a frame's head that a server sends: two, and eight of length; it is not masked (RFC 6455, 5.2).
const MOST_SENT_HEAD_BYTES: usize = 10;

/// Payload of a control frame (RFC 6455, 5.5).
const MAX_CONTROL_BYTES: usize = 125;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Why a frame is not taken. Nothing behind it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It breaks RFC 6455: the close code and a sentence.
    Breach(u16, &'static str),
    /// It, or the message that it is a part of, passes a bound.
    TooBig,
}

pub(super) const NOT_UTF8: Wrong = Wrong::Breach(1007, "A text frame must be UTF-8.");
const BROKEN: Wrong = Wrong::Breach(1002, "This breaks RFC 6455.");

/// The head of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The last frame of its message.
    pub(super) last: bool,
    pub(super) opcode: Opcode,
    mask: [u8; 4],
    /// Bytes of the head itself.
    pub(super) bytes: usize,
    /// Bytes of the payload, at most the bound that was asked for.
    pub(super) payload: usize,
}

/// Reads a head; `None` while too few bytes are there. A payload above `most` is refused before it is waited for.
pub(super) fn head(bytes: &[u8], most: usize) -> Result<Option<Head>, Wrong> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let reserved = first & 0x70 != 0;
    let (Some(opcode), false) = (Opcode::of(first & 0x0F), reserved) else { return Err(BROKEN) };
    let (last, masked, short) = (first & 0x80 != 0, second & 0x80 != 0, second & 0x7F);
    if !masked || (opcode.is_control() && (!last || usize::from(short) > MAX_CONTROL_BYTES)) {
        return Err(BROKEN);
    }
    let (length, mask) = match short {
        126 => {
            let Some((length, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let Some((length, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(short), rest),
    };
    // The highest bit must be 0 (5.2).
    if length > u64::MAX / 2 {
        return Err(BROKEN);
    }
    let payload = usize::try_from(length).ok().filter(|payload| *payload <= most).ok_or(Wrong::TooBig)?;
    let Some((mask, behind)) = mask.split_first_chunk::<4>() else { return Ok(None) };
    Ok(Some(Head { last, opcode, mask: *mask, bytes: bytes.len() - behind.len(), payload }))
}

impl Head {
    /// Takes the mask off the payload.
    pub(super) fn unmask(&self, payload: &mut [u8]) {
        let [a, b, c, d] = self.mask;
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = payload.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
            *byte ^= mask;
        }
    }
}

/// The code that answers a close frame's payload: the client's own, or what is wrong with it. `None` for a close
/// without one.
pub(super) fn close_code(payload: &[u8]) -> Result<Option<u16>, Wrong> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(BROKEN) };
    };
    let code = u16::from_be_bytes(*code);
    // 7.4.1 and the registry that it founds: those that may be sent.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(BROKEN);
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(NOT_UTF8);
    }
    Ok(Some(code))
}

/// A whole frame of the server's, head included, shared by all that it is queued to.
#[derive(Debug, Clone)]
pub(super) struct Frame(Arc<[u8]>);

impl Frame {
    /// Frames what `write` appends.
    fn of(opcode: Opcode, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        with_scratch(|scratch| {
            // Room for the longest head; the real one ends where the payload begins.
            scratch.resize(MOST_SENT_HEAD_BYTES, 0);
            write(scratch);
            let payload = scratch.len() - MOST_SENT_HEAD_BYTES;
            let mut head = [0; MOST_SENT_HEAD_BYTES];
            head[0] = 0x80 | opcode.bits();
            let length = match payload {
                0..=125 => {
                    head[1] = payload as u8;
                    2
                }
                126..=0xFFFF => {
                    head[1] = 126;
                    head[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
                    4
                }
                _ => {
                    head[1] = 127;
                    head[2..10].copy_from_slice(&(payload as u64).to_be_bytes());
                    10
                }
            };
            let start = MOST_SENT_HEAD_BYTES - length;
            scratch[start..MOST_SENT_HEAD_BYTES].copy_from_slice(&head[..length]);
            Self(Arc::from(&scratch[start..]))
        })
    }

    /// A text frame of what `write` appends, which must be UTF-8.
    pub(super) fn text(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self::of(Opcode::Text, write)
    }

    #[cfg(test)]
    pub(super) fn binary(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self::of(Opcode::Binary, write)
    }

    /// The answer to a ping: its payload again.
    pub(super) fn pong(payload: &[u8]) -> Self {
        Self::of(Opcode::Pong, |bytes| bytes.extend_from_slice(payload))
    }

    /// A close frame; without a code it is empty. The reason is cut to what a control frame holds.
    pub(super) fn close(code: Option<u16>, reason: &str) -> Self {
        Self::of(Opcode::Close, |bytes| {
            if let Some(code) = code {
                bytes.extend_from_slice(&code.to_be_bytes());
                let end = reason.floor_char_boundary(MAX_CONTROL_BYTES - 2);
                bytes.extend_from_slice(&reason.as_bytes()[..end]);
            }
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The payload of a text frame.
    #[cfg(test)]
    pub(super) fn words(&self) -> &str {
        let head = match self.0[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        std::str::from_utf8(&self.0[head..]).expect("frames are UTF-8")
    }
}

/// A frame is made in this thread's buffer and copied once into an allocation of its very size. A large one does not
/// stay: a batch is rare, and every thread would keep one.
fn with_scratch<T>(make: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    const KEPT: usize = 64 * 1024;
    thread_local!(static SCRATCH: std::cell::Cell<Vec<u8>> = const { std::cell::Cell::new(Vec::new()) });
    let mut scratch = SCRATCH.take();
    scratch.clear();
    let made = make(&mut scratch);
    if scratch.capacity() <= KEPT {
        SCRATCH.set(scratch);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame: FIN and opcode, and a payload masked by `key`.
    fn masked(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..=125 => bytes.push(0x80 | short as u8),
            middle @ 126..=0xFFFF => {
                bytes.push(0x80 | 126);
                bytes.extend((middle as u16).to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(key);
        bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    #[test]
    fn a_head_is_read_once_it_is_whole_and_its_payload_is_what_was_sent() {
        for length in [0, 1, 7, 8, 9, 125, 126, 127, 1_000, 0xFFFF, 0x1_0000] {
            let sent: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut bytes = masked(0x81, &sent, [1, 2, 3, 250]);
            let whole = head(&bytes, 1 << 20).unwrap().unwrap();
            assert_eq!((whole.last, whole.opcode, whole.payload), (true, Opcode::Text, length));
            for cut in 0..whole.bytes {
                assert_eq!(head(&bytes[..cut], 1 << 20), Ok(None), "{length} cut at {cut}");
            }
            let payload = &mut bytes[whole.bytes..];
            whole.unmask(payload);
            assert_eq!(payload, sent);
        }
    }

    #[test]
    fn a_head_that_breaks_the_rfc_is_refused_before_its_payload() {
        let cases: [(&str, &[u8]); 8] = [
            ("a reserved bit", &[0xC1, 0x80, 0, 0, 0, 0]),
            ("a reserved opcode", &[0x83, 0x80, 0, 0, 0, 0]),
            ("a reserved control opcode", &[0x8B, 0x80, 0, 0, 0, 0]),
            ("no mask", &[0x81, 0x01, b'a']),
            ("a ping in fragments", &[0x09, 0x80, 0, 0, 0, 0]),
            ("a close that is too long", &[0x88, 0xFE, 0, 126, 0, 0, 0, 0]),
            ("a length of 2^63", &[0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            ("no mask, and only two bytes yet", &[0x81, 0x01]),
        ];
        for (what, bytes) in cases {
            assert_eq!(head(bytes, 1 << 20), Err(BROKEN), "{what}");
        }
        assert_eq!(head(&[0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1], 1 << 16), Err(Wrong::TooBig));
    }

    #[test]
    fn a_close_is_answered_with_its_code_or_with_what_is_wrong() {
        assert_eq!(close_code(&[]), Ok(None));
        assert_eq!(close_code(&[3]), Err(BROKEN));
        for (code, good) in [(999, false), (1000, true), (1004, false), (1005, false), (1006, false), (1014, true)] {
            assert_eq!(close_code(&u16::to_be_bytes(code)).is_ok(), good, "{code}");
        }
        for (code, good) in [(1015, false), (2999, false), (3000, true), (4999, true), (5000, false)] {
            assert_eq!(close_code(&u16::to_be_bytes(code)).is_ok(), good, "{code}");
        }
        assert_eq!(close_code(&[3, 232, 0xFF]), Err(NOT_UTF8));
    }

    #[test]
    fn a_sent_frame_says_its_length_in_the_shortest_form() {
        for (length, head) in [(0, 2), (125, 2), (126, 4), (0xFFFF, 4), (0x1_0000, 10)] {
            let frame = Frame::text(|bytes| bytes.resize(bytes.len() + length, b'x'));
            assert_eq!((frame.bytes().len(), frame.words().len()), (head + length, length));
        }
        let close = Frame::close(Some(4000), &"é".repeat(100));
        assert_eq!(close.bytes().len(), 2 + 2 + 122, "cut between characters, within 125 bytes");
        assert_eq!(Frame::close(None, "unsaid").bytes(), [0x88, 0]);
        assert_eq!(Frame::pong(b"ab").bytes(), [0x8A, 2, b'a', b'b']);
    }
}
