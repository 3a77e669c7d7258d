//! A connection after its upgrade: messages out of bytes, and bytes into the kernel. Between messages it holds nothing
//! but the stream: what is read lies in its thread's buffer while a turn lasts.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bellhop_protocol::limits::MAX_FRAME_BYTES;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::frame::{self, Frame, Head, NOT_UTF8, Opcode, Wrong};

/// Bytes that are asked of the kernel at once: some sixty short frames. One buffer a thread, not one a session.
const READ_BYTES: usize = 16 * 1024;

/// Fragments of one message (SECURITY.md).
const MAX_FRAGMENTS: u32 = 64;

/// What came of looking for the next message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    /// The frame that answers is to be sent.
    Ping(Pong),
    Pong,
    /// The client closes; the code is said back.
    Close(Option<u16>),
}

/// The answer to a ping.
#[derive(Debug)]
pub(super) struct Pong(pub(super) Frame);

impl PartialEq for Pong {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl Eq for Pong {}

/// A message that comes in parts.
#[derive(Debug)]
struct Fragments {
    bytes: Vec<u8>,
    /// Bytes up to here are UTF-8, so that a broken one is told at the end of its fragment.
    valid: usize,
    count: u32,
    is_text: bool,
}

/// What came from the client and was not taken yet: the buffer of one turn.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// Taken up to here.
    at: usize,
    fragments: Option<Fragments>,
    /// A message that came in parts, while it is being looked at.
    joined: Vec<u8>,
}

/// What a session keeps of its input from one turn to the next, if there is anything.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    fragments: Option<Fragments>,
}

thread_local! {
    /// The buffer of the turn that runs on this thread.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Input {
    /// The next whole message; `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Heard<'_>>, Wrong> {
        loop {
            let rest = &self.bytes[self.at..];
            let Some(head) = frame::head(rest, MAX_FRAME_BYTES)? else { return Ok(None) };
            if rest.len() - head.bytes < head.payload {
                return Ok(None);
            }
            let start = self.at + head.bytes;
            let end = start + head.payload;
            self.at = end;
            head.unmask(&mut self.bytes[start..end]);
            if head.opcode.is_control() {
                return control(head.opcode, &self.bytes[start..end]).map(Some);
            }
            if head.last && self.fragments.is_none() && head.opcode != Opcode::Continuation {
                if head.opcode == Opcode::Binary {
                    return Ok(Some(Heard::Binary(&self.bytes[start..end])));
                }
                let text = std::str::from_utf8(&self.bytes[start..end]).map_err(|_| NOT_UTF8)?;
                return Ok(Some(Heard::Text(text)));
            }
            if let Some(is_text) = self.join(head, start, end)? {
                return if is_text {
                    std::str::from_utf8(&self.joined).map(Heard::Text).map(Some).map_err(|_| NOT_UTF8)
                } else {
                    Ok(Some(Heard::Binary(&self.joined)))
                };
            }
        }
    }

    /// Takes a fragment in; when it was the last, the message is in `joined`, and whether it is text is said.
    fn join(&mut self, head: Head, start: usize, end: usize) -> Result<Option<bool>, Wrong> {
        let fragments = match (&mut self.fragments, head.opcode) {
            (Some(fragments), Opcode::Continuation) => fragments,
            (none @ None, Opcode::Text | Opcode::Binary) => {
                none.insert(Fragments { bytes: Vec::new(), valid: 0, count: 0, is_text: head.opcode == Opcode::Text })
            }
            _ => return Err(Wrong::Breach(1002, "A message begins before the last one ended, or was not begun.")),
        };
        fragments.count += 1;
        if fragments.count > MAX_FRAGMENTS || fragments.bytes.len() + head.payload > MAX_FRAME_BYTES {
            return Err(Wrong::TooBig);
        }
        fragments.bytes.extend_from_slice(&self.bytes[start..end]);
        if fragments.is_text {
            match std::str::from_utf8(&fragments.bytes[fragments.valid..]) {
                Ok(_) => fragments.valid = fragments.bytes.len(),
                // A character may be cut between two fragments.
                Err(error) if error.error_len().is_none() => fragments.valid += error.valid_up_to(),
                Err(_) => return Err(NOT_UTF8),
            }
        }
        if !head.last {
            return Ok(None);
        }
        let whole = self.fragments.take();
        Ok(whole.map(|whole| {
            self.joined = whole.bytes;
            whole.is_text
        }))
    }

    /// Nothing is left of what came.
    fn is_empty(&self) -> bool {
        self.at == self.bytes.len() && self.fragments.is_none()
    }
}

fn control(opcode: Opcode, payload: &[u8]) -> Result<Heard<'static>, Wrong> {
    Ok(match opcode {
        Opcode::Ping => Heard::Ping(Pong(Frame::pong(payload))),
        Opcode::Close => Heard::Close(frame::close_code(payload)?),
        _ => Heard::Pong,
    })
}

/// The connection of one session.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    held: Option<Box<Held>>,
}

impl Socket {
    /// `read` are bytes that came behind the upgrade's request.
    pub(super) fn new(stream: TcpStream, read: &[u8]) -> Self {
        let held = (!read.is_empty()).then(|| Box::new(Held { bytes: read.to_vec(), fragments: None }));
        Self { stream, held }
    }

    /// What was held, to go on with; [`Self::end_turn`] gives the buffer back.
    pub(super) fn begin_turn(&mut self) -> Input {
        match self.held.take() {
            // A frame in the middle keeps its buffer: copying it with every byte that comes would be quadratic.
            Some(held) if !held.bytes.is_empty() => {
                Input { bytes: held.bytes, at: 0, fragments: held.fragments, joined: Vec::new() }
            }
            held => Input {
                bytes: BUFFER.take(),
                at: 0,
                fragments: held.and_then(|held| held.fragments),
                joined: Vec::new(),
            },
        }
    }

    /// Keeps what was not taken. The buffer goes back to its thread if it is of the usual size.
    pub(super) fn end_turn(&mut self, mut input: Input) {
        if !input.is_empty() {
            let whole_buffer = input.at == 0 && input.bytes.capacity() != READ_BYTES;
            let bytes = if whole_buffer { std::mem::take(&mut input.bytes) } else { input.bytes[input.at..].to_vec() };
            self.held = Some(Box::new(Held { bytes, fragments: input.fragments }));
        }
        if input.bytes.capacity() == READ_BYTES {
            input.bytes.clear();
            BUFFER.set(input.bytes);
        }
    }

    /// Reads what the kernel has; 0 at the end of the stream.
    pub(super) fn poll_read(&mut self, input: &mut Input, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if input.at > 0 {
            input.bytes.drain(..input.at);
            input.at = 0;
        }
        if input.bytes.capacity() == 0 {
            input.bytes.reserve_exact(READ_BYTES);
        }
        pin!(self.stream.read_buf(&mut input.bytes)).poll(context)
    }

    /// Hands bytes to the kernel; says how many it took.
    pub(super) fn poll_write(&mut self, bytes: &[u8], context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.stream).poll_write(context, bytes)) {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            outcome => Poll::Ready(outcome),
        }
    }

    /// Hands all of the bytes to the kernel.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads and throws away until the client's close frame, its end of the stream or an error. With `raw`, after a
    /// frame that could not be read, until the latter two.
    pub(super) async fn hear_out(&mut self, raw: bool) {
        let mut input = Input { bytes: Vec::with_capacity(512), ..self.begin_turn() };
        loop {
            match self.stream.read_buf(&mut input.bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) if raw => input.bytes.clear(),
                Ok(_) => {
                    loop {
                        match input.next() {
                            Ok(Some(Heard::Close(_))) | Err(_) => return,
                            Ok(Some(_)) => {}
                            Ok(None) => break,
                        }
                    }
                    input.bytes.drain(..input.at);
                    input.at = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame whose mask is 0.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..=125 => bytes.push(0x80 | short as u8),
            length => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    fn input(frames: &[Vec<u8>]) -> Input {
        Input { bytes: frames.concat(), ..Input::default() }
    }

    #[test]
    fn messages_come_out_in_order_whole_or_in_fragments_with_control_frames_between() {
        let mut input = input(&[
            frame(0x81, b"one"),
            frame(0x01, "t\u{e9}".as_bytes().split_at(2).0),
            frame(0x89, b"ping"),
            frame(0x00, "t\u{e9}".as_bytes().split_at(2).1),
            frame(0x80, b"!"),
            frame(0x8A, b""),
            frame(0x82, b"binary"),
            frame(0x88, &1000_u16.to_be_bytes()),
        ]);
        assert_eq!(input.next(), Ok(Some(Heard::Text("one"))));
        assert_eq!(input.next(), Ok(Some(Heard::Ping(Pong(Frame::pong(b"ping"))))));
        assert_eq!(input.next(), Ok(Some(Heard::Text("t\u{e9}!"))));
        assert_eq!(input.next(), Ok(Some(Heard::Pong)));
        assert_eq!(input.next(), Ok(Some(Heard::Binary(b"binary"))));
        assert_eq!(input.next(), Ok(Some(Heard::Close(Some(1000)))));
        assert_eq!(input.next(), Ok(None));
        assert!(input.is_empty());
    }

    #[test]
    fn fragments_are_counted_and_bounded_together() {
        let mut many = vec![frame(0x01, b"")];
        many.extend(vec![frame(0x00, b""); MAX_FRAGMENTS as usize - 2]);
        let mut exact = many.clone();
        exact.push(frame(0x80, b"."));
        assert_eq!(input(&exact).next(), Ok(Some(Heard::Text("."))));
        many.extend([frame(0x00, b""), frame(0x80, b".")]);
        assert_eq!(input(&many).next(), Err(Wrong::TooBig));
        let half = vec![b'x'; MAX_FRAME_BYTES / 2];
        let halves = [frame(0x01, &half), frame(0x80, &half)];
        assert!(matches!(input(&halves).next(), Ok(Some(Heard::Text(text))) if text.len() == MAX_FRAME_BYTES));
        let more = [frame(0x01, &half), frame(0x00, &half), frame(0x80, b".")];
        assert_eq!(input(&more).next(), Err(Wrong::TooBig));
    }

    #[test]
    fn what_is_no_message_is_a_breach() {
        for frames in [
            vec![frame(0x80, b"nothing was begun")],
            vec![frame(0x01, b"one"), frame(0x81, b"two")],
            vec![frame(0x01, b"one"), frame(0x82, b"two")],
        ] {
            assert!(matches!(input(&frames).next(), Err(Wrong::Breach(1002, _))));
        }
        for frames in [
            vec![frame(0x81, b"\xFF")],
            vec![frame(0x01, b"ab\xC3"), frame(0x00, b"(")],
            vec![frame(0x01, b"ab"), frame(0x80, b"\xC3")],
        ] {
            assert_eq!(input(&frames).next(), Err(NOT_UTF8));
        }
    }
}
