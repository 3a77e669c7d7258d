//! What was said against what is stored: the judge of a replay. It looks at side, words and order only, never at ids
//! or acknowledgements, so that it shares no assumption with the code that it judges.

use std::fmt;

use bellhop_protocol::{AuthorKind, Body, Event, Part, Seq};

use crate::transcript::Side;

/// Beyond this many turns that differ on one side, how they correspond is not worked out (quadratic); the count is
/// reported.
const MOST_ALIGNED: usize = 2_000;

/// One turn as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) side: Side,
    pub(crate) text: String,
}

/// One way in which the log differs from what was said. Turns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Said, acknowledged or not, and not in the log.
    Lost { turn: usize, text: String },
    /// In the log more often than it was said.
    Doubled { seq: Seq, text: String },
    /// Other words stand where it belongs.
    Altered { turn: usize, seq: Seq, said: String, found: String },
    /// The right words by the wrong side.
    WrongSide { turn: usize, seq: Seq, text: String },
    /// It stands elsewhere in the order.
    Reordered { turn: usize, seq: Seq, text: String },
    /// Nobody said it.
    Unknown { seq: Seq, text: String },
    /// The log's numbers leave something out or repeat.
    Gap { expected: Seq, found: Seq, prev: Seq },
    /// Too much differs to say how.
    Many { said: usize, found: usize },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { turn, text } => write!(f, "turn {turn} is lost: {}", short(text)),
            Self::Doubled { seq, text } => write!(f, "seq {seq} is there once more than it was said: {}", short(text)),
            Self::Altered { turn, seq, said, found } => {
                write!(f, "turn {turn} was altered at seq {seq}: {} became {}", short(said), short(found))
            }
            Self::WrongSide { turn, seq, text } => {
                write!(f, "turn {turn} stands at seq {seq} as said by the wrong side: {}", short(text))
            }
            Self::Reordered { turn, seq, text } => {
                write!(f, "turn {turn} stands out of order at seq {seq}: {}", short(text))
            }
            Self::Unknown { seq, text } => write!(f, "seq {seq} holds words that nobody said: {}", short(text)),
            Self::Gap { expected, found, prev } => {
                write!(f, "the log goes on with seq {found} (after {prev}) where {expected} belongs")
            }
            Self::Many { said, found } => {
                write!(f, "{said} turns that were said and {found} that are stored do not correspond")
            }
        }
    }
}

/// Cut for one line of a terminal.
fn short(text: &str) -> String {
    let mut cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

struct Found {
    seq: Seq,
    words: Words,
}

/// Compares a conversation's whole log (staff's view, from seq 1) with what was said in it.
pub(crate) fn compare(said: &[Words], events: &[Event]) -> Vec<Difference> {
    let mut differences = gaps(events);
    let found: Vec<Found> = events.iter().filter_map(words).collect();

    let start = said.iter().zip(&found).take_while(|(said, found)| **said == found.words).count();
    let (said_rest, found_rest) = (&said[start..], &found[start..]);
    let end = said_rest.iter().rev().zip(found_rest.iter().rev()).take_while(|(said, it)| **said == it.words).count();
    let said_rest = &said_rest[..said_rest.len() - end];
    let found_rest = &found_rest[..found_rest.len() - end];
    if said_rest.len() > MOST_ALIGNED || found_rest.len() > MOST_ALIGNED {
        differences.push(Difference::Many { said: said_rest.len(), found: found_rest.len() });
    } else {
        explain(said, start, said_rest, found_rest, &mut differences);
    }
    differences
}

fn gaps(events: &[Event]) -> Vec<Difference> {
    let mut last = 0;
    let mut differences = Vec::new();
    for event in events {
        if event.seq != last + 1 || event.prev != last {
            differences.push(Difference::Gap { expected: last + 1, found: event.seq, prev: event.prev });
        }
        last = event.seq;
    }
    differences
}

fn words(event: &Event) -> Option<Found> {
    let Body::Message { parts } = &event.body else { return None };
    let text: String = parts.iter().map(|Part::Text { text }| text.as_str()).collect();
    let side = match event.author.kind {
        AuthorKind::Visitor => Side::Visitor,
        AuthorKind::Agent | AuthorKind::Bot | AuthorKind::System => Side::Agent,
    };
    Some(Found { seq: event.seq, words: Words { side, text } })
}

/// Names what differs between two stretches that begin and end with a difference. `before` turns precede them.
fn explain(all: &[Words], before: usize, said: &[Words], found: &[Found], out: &mut Vec<Difference>) {
    let pairs = align(said, found);
    // Where each unmatched one lies: behind how many matched pairs.
    let mut lost: Vec<(usize, usize)> = Vec::new();
    let mut extra: Vec<Option<(usize, &Found)>> = Vec::new();
    let mut passed = 0;
    for (index, _) in said.iter().enumerate() {
        if pairs.get(passed).is_some_and(|pair| pair.0 == index) {
            passed += 1;
        } else {
            lost.push((passed, index));
        }
    }
    passed = 0;
    for (index, it) in found.iter().enumerate() {
        if pairs.get(passed).is_some_and(|pair| pair.1 == index) {
            passed += 1;
        } else {
            extra.push(Some((passed, it)));
        }
    }

    let mut take = |test: &dyn Fn(usize, &Found) -> bool| {
        let slot = extra.iter_mut().find(|slot| slot.is_some_and(|(place, it)| test(place, it)))?;
        slot.take().map(|(_, it)| it)
    };
    let mut still: Vec<(usize, usize)> = Vec::new();
    for (place, index) in lost {
        let turn = before + index + 1;
        let one = &said[index];
        if let Some(it) = take(&|_, it| it.words == *one) {
            out.push(Difference::Reordered { turn, seq: it.seq, text: one.text.clone() });
        } else if let Some(it) = take(&|at, it| at == place && it.words.text == one.text) {
            out.push(Difference::WrongSide { turn, seq: it.seq, text: one.text.clone() });
        } else {
            still.push((place, index));
        }
    }
    for (place, index) in still {
        let turn = before + index + 1;
        let one = &said[index];
        // What was said more than once and stands beside the hole is a doubled turn, not an altered one.
        match take(&|at, it| at == place && it.words.side == one.side && !all.contains(&it.words)) {
            Some(it) => out.push(Difference::Altered {
                turn,
                seq: it.seq,
                said: one.text.clone(),
                found: it.words.text.clone(),
            }),
            None => out.push(Difference::Lost { turn, text: one.text.clone() }),
        }
    }
    for (_, it) in extra.into_iter().flatten() {
        let text = it.words.text.clone();
        let known = all.contains(&it.words);
        out.push(if known {
            Difference::Doubled { seq: it.seq, text }
        } else {
            Difference::Unknown { seq: it.seq, text }
        });
    }
}

/// Longest common subsequence: index pairs (said, found) in rising order.
fn align(said: &[Words], found: &[Found]) -> Vec<(usize, usize)> {
    let width = found.len() + 1;
    let mut best = vec![0u16; (said.len() + 1) * width];
    for one in (0..said.len()).rev() {
        for other in (0..found.len()).rev() {
            best[one * width + other] = if said[one] == found[other].words {
                best[(one + 1) * width + other + 1] + 1
            } else {
                best[(one + 1) * width + other].max(best[one * width + other + 1])
            };
        }
    }
    let (mut one, mut other, mut pairs) = (0, 0, Vec::new());
    while one < said.len() && other < found.len() {
        if said[one] == found[other].words {
            pairs.push((one, other));
            one += 1;
            other += 1;
        } else if best[(one + 1) * width + other] >= best[one * width + other + 1] {
            one += 1;
        } else {
            other += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use bellhop_protocol::{Audience, Author, AuthorKind, Body, Event, Part, QueuedReason};

    use super::{Difference, Words, compare};
    use crate::transcript::Side;

    /// `v:words` or `a:words`, separated by `|`.
    fn said(line: &str) -> Vec<Words> {
        line.split('|')
            .map(|turn| {
                let (side, text) = turn.split_once(':').unwrap();
                Words { side: if side == "v" { Side::Visitor } else { Side::Agent }, text: text.into() }
            })
            .collect()
    }

    fn event(seq: u64, kind: AuthorKind, body: Body) -> Event {
        let author = Author { kind, id: None, name: None };
        Event { seq, prev: seq - 1, at: 0, author, audience: Audience::All, cmd: None, body }
    }

    /// The log as a server writes it: `started` first, the line's events between, then the words.
    fn log(line: &str) -> Vec<Event> {
        let mut events = vec![event(1, AuthorKind::Visitor, Body::Started { page: None })];
        for words in said(line) {
            let kind = if words.side == Side::Visitor { AuthorKind::Visitor } else { AuthorKind::Agent };
            let parts = vec![Part::Text { text: words.text }];
            events.push(event(events.len() as u64 + 1, kind, Body::Message { parts }));
            if events.len() == 2 {
                events.push(event(3, AuthorKind::System, Body::Queued { reason: QueuedReason::New }));
            }
        }
        events
    }

    fn kinds(said_line: &str, log_line: &str) -> Vec<String> {
        compare(&said(said_line), &log(log_line))
            .iter()
            .map(|difference| {
                let debug = format!("{difference:?}");
                debug.split([' ', '{']).next().unwrap_or_default().to_string()
            })
            .collect()
    }

    const SAID: &str = "v:hello|a:good day|v:my order|v:is late|a:let me see|a:yes|v:yes";

    #[test]
    fn a_log_as_said_has_no_difference() {
        assert!(compare(&said(SAID), &log(SAID)).is_empty());
    }

    #[test]
    fn every_way_to_differ_is_found_and_named() {
        let cases: [(&str, &[&str]); 12] = [
            ("v:hello|a:good day|v:my order|a:let me see|a:yes|v:yes", &["Lost"]),
            ("v:hello|a:good day|v:my order|v:is late|a:let me see|a:yes", &["Lost"]),
            ("v:hello", &["Lost", "Lost", "Lost", "Lost", "Lost", "Lost"]),
            ("v:hello|a:good day|v:my order|v:is late|v:is late|a:let me see|a:yes|v:yes", &["Doubled"]),
            ("v:hello|a:good day|v:my order|v:is late|a:let me see|a:yes|v:yes|v:hello", &["Doubled"]),
            ("v:hello|a:good day|v:is late|v:my order|a:let me see|a:yes|v:yes", &["Reordered"]),
            ("v:hello|a:good day|v:my order|v:is late|a:let me see|v:yes|a:yes", &["Reordered"]),
            ("v:hello|a:good day|v:my order|v:is l4te|a:let me see|a:yes|v:yes", &["Altered"]),
            ("v:hello|a:good day|v:my order |v:is late|a:let me see|a:yes|v:yes", &["Altered"]),
            ("v:hello|v:good day|v:my order|v:is late|a:let me see|a:yes|v:yes", &["WrongSide"]),
            ("v:hello|a:good day|v:my order|v:is late|a:let me see|a:yes|v:yes|a:spam", &["Unknown"]),
            ("v:hello|a:good day|v:my order|v:is late|a:let me see|a:yes|a:yes", &["WrongSide"]),
        ];
        for (log_line, expected) in cases {
            assert_eq!(kinds(SAID, log_line), expected, "{log_line}");
        }
    }

    #[test]
    fn a_gap_and_a_repeated_number_are_found() {
        let mut events = log(SAID);
        events[4].seq += 1;
        assert!(matches!(compare(&said(SAID), &events)[0], Difference::Gap { expected: 5, found: 6, .. }));
        let mut events = log(SAID);
        events[4].prev = 0;
        assert_eq!(compare(&said(SAID), &events).len(), 1);
    }

    #[test]
    fn an_empty_log_loses_everything_and_a_huge_difference_is_only_counted() {
        assert_eq!(compare(&said(SAID), &[]).len(), 7);
        let many: Vec<Words> = (0..3_000).map(|n| Words { side: Side::Visitor, text: n.to_string() }).collect();
        assert_eq!(compare(&many, &[]), [Difference::Many { said: 3_000, found: 0 }]);
    }

    #[test]
    fn every_single_damage_to_a_log_is_found() {
        let good = log(SAID);
        for index in 0..good.len() {
            if !matches!(good[index].body, Body::Message { .. }) {
                continue;
            }
            let renumber = |mut events: Vec<Event>| {
                for (at, event) in events.iter_mut().enumerate() {
                    event.seq = at as u64 + 1;
                    event.prev = at as u64;
                }
                events
            };
            let mut lost = good.clone();
            lost.remove(index);
            assert!(!compare(&said(SAID), &renumber(lost)).is_empty(), "lost {index}");
            let mut doubled = good.clone();
            doubled.insert(index, good[index].clone());
            assert!(!compare(&said(SAID), &renumber(doubled)).is_empty(), "doubled {index}");
        }
    }
}
