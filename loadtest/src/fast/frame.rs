//! WebSocket frames (RFC 6455) as a generator needs them: what it writes is small, masked and whole; what it reads is
//! unmasked and whole.

/// RFC 6455 wants an unforeseeable key, against scripts that would write plain HTTP through a proxy. There is neither
/// here, so one key does, and masking is a few instructions.
pub(crate) const MASK: [u8; 4] = [0x5a, 0xc3, 0x96, 0x1f];

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The length of a head's length field and mask key at most, with the two bytes before.
const HEAD: usize = 14;

/// A whole frame at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Its key, where it is masked; the payload is as it came.
    pub(crate) mask: Option<[u8; 4]>,
    /// Bytes with the head.
    pub(crate) length: usize,
}

/// The frame that the bytes begin with; none while it is not whole. An error is a sentence.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<Frame<'_>>, String> {
    let [one, two, ..] = bytes else { return Ok(None) };
    if one & 0xf0 != 0x80 {
        return Err(format!("a WebSocket frame in pieces or with reserved bits (it begins with {one:#04x})"));
    }
    let masked = two & 0x80 != 0;
    let (mut at, length) = match two & 0x7f {
        126 if bytes.len() >= 4 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        127 if bytes.len() >= 10 => {
            let length: [u8; 8] = bytes[2..10].try_into().unwrap_or_default();
            (10, usize::try_from(u64::from_be_bytes(length)).map_err(|error| error.to_string())?)
        }
        126 | 127 => return Ok(None),
        short => (2, usize::from(short)),
    };
    let mut mask = None;
    if masked {
        let Some(key) = bytes.get(at..at + 4) else { return Ok(None) };
        mask = Some([key[0], key[1], key[2], key[3]]);
        at += 4;
    }
    let Some(payload) = at.checked_add(length).and_then(|end| bytes.get(at..end)) else { return Ok(None) };
    Ok(Some(Frame { opcode: one & 0x0f, payload, mask, length: at + length }))
}

/// Appends a frame of a client, masked by [`MASK`].
pub(crate) fn masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    head(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&MASK);
    let begin = out.len();
    out.extend_from_slice(payload);
    apply(&mut out[begin..], MASK);
}

/// Appends a frame of a server.
pub(crate) fn plain(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    head(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

fn head(out: &mut Vec<u8>, opcode: u8, length: usize, masked: u8) {
    out.reserve(HEAD + length);
    out.push(0x80 | opcode);
    match length {
        0..126 => out.push(masked | length as u8),
        126..0x1_0000 => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Masks and unmasks, eight bytes at a time.
pub(crate) fn apply(bytes: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let eight: [u8; 8] = (&*chunk).try_into().unwrap_or_default();
        chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// The request that makes a connection a WebSocket. The key is one for all: nobody here mistakes another protocol's
/// answer for this one's.
pub(crate) fn upgrade(out: &mut Vec<u8>, host: &str, origin: &str) {
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    out.extend_from_slice(request.as_bytes());
}

/// The end of the answer to it: how many bytes it has; none while it is not whole. An error is the HTTP status.
pub(crate) fn upgraded(bytes: &[u8]) -> Result<Option<usize>, u16> {
    let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { return Ok(None) };
    let status = bytes.get(9..12).and_then(|it| std::str::from_utf8(it).ok()?.parse().ok()).unwrap_or(0);
    if status == 101 { Ok(Some(end + 4)) } else { Err(status) }
}

#[cfg(test)]
mod tests {
    use super::{BINARY, MASK, TEXT, apply, first, masked, plain, upgrade, upgraded};

    #[test]
    fn a_frame_of_any_length_is_read_as_it_was_written_and_not_before_it_is_whole() {
        for length in [0, 1, 7, 8, 125, 126, 300, 65_535, 65_536, 70_001] {
            let payload: Vec<u8> = (0..length).map(|it: u32| it as u8).collect();
            for mask in [false, true] {
                let mut bytes = Vec::new();
                if mask {
                    masked(&mut bytes, TEXT, &payload)
                } else {
                    plain(&mut bytes, BINARY, &payload)
                }
                for cut in [0, 1, 2, 3, 5, 9, 11, bytes.len() - 1] {
                    assert_eq!(first(&bytes[..cut.min(bytes.len() - 1)]), Ok(None));
                }
                let whole = bytes.len();
                bytes.extend_from_slice(b"next");
                let frame = first(&bytes).unwrap().unwrap();
                assert_eq!((frame.length, frame.mask.is_some()), (whole, mask));
                let mut read = frame.payload.to_vec();
                if let Some(key) = frame.mask {
                    apply(&mut read, key);
                }
                assert_eq!(read, payload);
            }
        }
        assert!(first(&[0x01, 0x00]).is_err(), "a piece of a message");
        assert!(first(&[0xc1, 0x00]).is_err(), "a compressed one");
    }

    #[test]
    fn every_byte_is_masked_by_the_byte_of_the_key_that_its_place_says() {
        for length in 0..40 {
            let bytes: Vec<u8> = (0..length).collect();
            let mut masked = bytes.clone();
            apply(&mut masked, MASK);
            let expected: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]).collect();
            assert_eq!(masked, expected);
        }
    }

    #[test]
    fn the_answer_to_an_upgrade_ends_with_an_empty_line_and_says_101() {
        let mut request = Vec::new();
        upgrade(&mut request, "h:1", "http://h:1");
        assert!(request.ends_with(b"\r\n\r\n"));
        assert_eq!(upgraded(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n"), Ok(None));
        assert_eq!(upgraded(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\nmore"), Ok(Some(42)));
        assert_eq!(upgraded(b"HTTP/1.1 503 No\r\n\r\n"), Err(503));
    }
}
