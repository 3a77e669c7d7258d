//! The two frames of a busy connection, `ack` and a message's `event`, read by their known bytes: the gateway writes
//! its fields in one order. Whatever looks otherwise in any way (an escaped name, another order, another kind) is
//! [`Scanned::Unsure`], and the full decoder reads it.

use bellhop_protocol::Seq;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// The first acknowledgement of a command to a conversation.
    Ack {
        id: u128,
        seq: Seq,
        prev: Seq,
    },
    /// Words of a visitor that `cmd` caused.
    Message {
        cmd: u128,
        seq: Seq,
        prev: Seq,
    },
    Unsure,
}

pub(crate) fn scan(frame: &[u8]) -> Scanned {
    ack(frame).or_else(|| message(frame)).unwrap_or(Scanned::Unsure)
}

fn ack(frame: &[u8]) -> Option<Scanned> {
    let mut rest = Rest(frame);
    rest.word(b"{\"t\":\"ack\",\"id\":\"")?;
    let id = rest.id()?;
    rest.word(b"\",\"conversation\":\"")?;
    rest.skip(32)?;
    rest.word(b"\",\"seq\":")?;
    let seq = rest.number()?;
    rest.word(b",\"prev\":")?;
    let prev = rest.number()?;
    rest.word(b",\"at\":")?;
    rest.number()?;
    // `again` would follow, and stands for no event.
    rest.is(b"}").then_some(Scanned::Ack { id, seq, prev })
}

fn message(frame: &[u8]) -> Option<Scanned> {
    let mut rest = Rest(frame);
    rest.word(b"{\"t\":\"event\",\"conversation\":\"")?;
    rest.skip(32)?;
    rest.word(b"\",\"event\":{\"seq\":")?;
    let seq = rest.number()?;
    rest.word(b",\"prev\":")?;
    let prev = rest.number()?;
    rest.word(b",\"at\":")?;
    rest.number()?;
    rest.word(b",\"author\":{\"kind\":\"visitor\",\"id\":\"")?;
    rest.skip(32)?;
    rest.word(b"\",\"name\":\"")?;
    rest.plain_string()?;
    rest.word(b"\"},\"audience\":\"all\",\"cmd\":\"")?;
    let cmd = rest.id()?;
    rest.word(b"\",\"body\":{\"kind\":\"message\",")?;
    Some(Scanned::Message { cmd, seq, prev })
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    fn is(&self, all: &[u8]) -> bool {
        self.0 == all
    }

    /// 32 hexadecimal digits.
    fn id(&mut self) -> Option<u128> {
        let mut value = 0u128;
        for half in 0..2 {
            let mut part = 0u64;
            for &byte in self.0.get(half * 16..half * 16 + 16)? {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'f' => byte - b'a' + 10,
                    _ => return None,
                };
                part = (part << 4) | u64::from(digit);
            }
            value = (value << 64) | u128::from(part);
        }
        self.skip(32)?;
        Some(value)
    }

    /// Digits, at most as many as surely fit.
    fn number(&mut self) -> Option<u64> {
        let digits = self.0.iter().take_while(|it| it.is_ascii_digit()).count();
        if digits == 0 || digits > 18 {
            return None;
        }
        let value = self.0[..digits].iter().fold(0, |value, it| value * 10 + u64::from(it - b'0'));
        self.skip(digits)?;
        Some(value)
    }

    /// Up to the quote, if nothing in it is escaped.
    fn plain_string(&mut self) -> Option<()> {
        let end = self.0.iter().position(|it| matches!(it, b'"' | b'\\'))?;
        if self.0[end] == b'\\' {
            return None;
        }
        self.skip(end)
    }
}

#[cfg(test)]
mod tests {
    use bellhop_protocol::{
        Ack, Audience, Author, AuthorKind, Body, Event, Id, NewEvent, Part, RefusalCode, Refused, ServerFrame,
    };

    use super::{Scanned, scan};

    fn json(frame: &ServerFrame) -> Vec<u8> {
        serde_json::to_vec(frame).unwrap()
    }

    fn message(name: &str) -> Event {
        Event {
            seq: 1_007,
            prev: 1_006,
            at: 1_790_000_000_000,
            author: Author { kind: AuthorKind::Visitor, id: Some(Id(2)), name: Some(name.into()) },
            audience: Audience::All,
            cmd: Some(Id(u128::MAX - 3)),
            body: Body::Message { parts: vec![Part::Text { text: "\",\"cmd\":\"00\"}".into() }] },
        }
    }

    fn event(event: Event) -> Vec<u8> {
        json(&ServerFrame::Event(NewEvent { conversation: Id(9), event }))
    }

    #[test]
    fn what_the_contract_writes_is_read_without_decoding() {
        let ack = Ack {
            id: Id(5 << 100),
            conversation: Some(Id(9)),
            seq: Some(12),
            prev: Some(3),
            at: Some(4),
            again: false,
        };
        let read = scan(&json(&ServerFrame::Ack(ack)));
        assert_eq!(read, Scanned::Ack { id: 5 << 100, seq: 12, prev: 3 });
        let read = scan(&event(message("Amber Falcon 27 é")));
        assert_eq!(read, Scanned::Message { cmd: u128::MAX - 3, seq: 1_007, prev: 1_006 });
    }

    #[test]
    fn whatever_is_another_matter_is_left_to_the_decoder() {
        let ack = |again, seq| Ack { id: Id(5), conversation: Some(Id(9)), seq, prev: Some(3), at: Some(4), again };
        let agent = Author { kind: AuthorKind::Agent, id: Some(Id(2)), name: None };
        let refused = Refused {
            id: Some(Id(5)),
            conversation: None,
            code: RefusalCode::Overloaded,
            message: "later".into(),
            field: None,
            retry_after_ms: None,
        };
        for frame in [
            json(&ServerFrame::Ack(ack(true, Some(12)))),
            json(&ServerFrame::Ack(ack(false, None))),
            json(&ServerFrame::Refused(refused)),
            event(message("a \"quoted\" name")),
            event(Event { author: agent, ..message("x") }),
            event(Event { cmd: None, ..message("x") }),
            event(Event { audience: Audience::Staff, ..message("x") }),
            event(Event { body: Body::Resolved {}, ..message("x") }),
            b"{\"t\":\"event\"}".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(scan(&frame), Scanned::Unsure, "{}", String::from_utf8_lossy(&frame));
        }
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_is_never_read_as_something() {
        let whole = event(message("Amber"));
        let end = whole.windows(9).position(|it| it == b"\"message\"").unwrap() + 10;
        assert!((0..end).all(|cut| scan(&whole[..cut]) == Scanned::Unsure));
    }
}
