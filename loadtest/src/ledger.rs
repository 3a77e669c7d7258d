//! What sessions said and heard, and the judge that holds it against the log. It knows only the clients' own records
//! and what the API reads back, nothing of how either came about.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex},
};

use bellhop_protocol::{Audience, Body, Event, Id, Part, Seq};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;

use crate::{dice::mix, rest::Rest, stage::lock};

/// Conversations read at a time: enough to keep two cores busy, far from the server's limits.
const AT_ONCE: usize = 8;
/// Shortest words: the key in hexadecimal and a space.
pub(crate) const LEAST_BYTES: u32 = 24;

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No answer yet, or the last one was `unknown`.
    Open,
    Acknowledged(Seq),
    /// Explicitly not done, and not said again.
    Refused,
}

/// A command that carries words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    /// Absent until a `start` is acknowledged.
    pub(crate) conversation: Option<Id>,
    /// What its words are made from.
    pub(crate) key: u64,
    pub(crate) bytes: u32,
    pub(crate) outcome: Outcome,
}

/// One session's record.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    pub(crate) said: HashMap<Id, Said>,
    /// Seqs of the events that were given to it, in that order, by conversation.
    pub(crate) heard: HashMap<Id, Vec<Seq>>,
    /// It saw its conversations from their beginning; a session that joins later does not.
    pub(crate) from_the_start: bool,
}

impl Diary {
    /// Commands that have no answer yet.
    pub(crate) fn unanswered(&self) -> u64 {
        self.said.values().filter(|said| said.outcome == Outcome::Open).count() as u64
    }
}

/// As many bytes of text as asked (at least [`LEAST_BYTES`]), different for every key and made again at any time.
pub(crate) fn words(key: u64, bytes: u32) -> String {
    let mut text = format!("{key:016x} ");
    let mut state = key;
    while text.len() < bytes as usize {
        state = mix(state ^ text.len() as u64);
        let length = 2 + (state % 8) as usize;
        for index in 0..length {
            text.push(char::from(b'a' + ((state >> (index * 5)) % 26) as u8));
        }
        text.push(' ');
    }
    text.truncate(bytes.max(LEAST_BYTES) as usize - 1);
    text.push('.');
    text
}

/// One way in which a promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// Acknowledged, and not in the log.
    Lost,
    /// In the log more than once.
    Doubled,
    /// Other words than were said, or in another conversation's log.
    Altered,
    /// At another place than the acknowledgement said.
    Misplaced,
    /// Refused, and in the log all the same.
    RefusedButDone,
    /// In the log, and nobody said it.
    Nobodys,
    /// Neither acknowledged nor refused.
    Unanswered,
    /// In the log, and never given to a reader.
    Unheard,
    /// Given twice, out of order, or without being in the log.
    HeardWrongly,
    /// The log's numbers leave something out or repeat.
    Gap,
    /// The log cannot be read.
    Unreadable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) fault: Fault,
    pub(crate) conversation: Option<Id>,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.conversation {
            Some(id) => write!(f, "{:?} in {id}: {}", self.fault, self.what),
            None => write!(f, "{:?}: {}", self.fault, self.what),
        }
    }
}

/// Commands by conversation, each with its id.
type Commands = HashMap<Id, Vec<(Id, Said)>>;
/// Who reads a conversation, and as what.
type Reader = (Audience, Arc<Mutex<Diary>>);

/// Everything that was said, by conversation.
fn by_conversation(diaries: &[Arc<Mutex<Diary>>]) -> (Commands, Vec<Finding>) {
    let mut all = Commands::new();
    let mut findings = Vec::new();
    for diary in diaries {
        for (id, said) in &lock(diary).said {
            if said.outcome == Outcome::Open {
                let what = format!("command {id} was never answered");
                findings.push(Finding { fault: Fault::Unanswered, conversation: said.conversation, what });
            }
            if let Some(conversation) = said.conversation {
                all.entry(conversation).or_default().push((*id, *said));
            }
        }
    }
    (all, findings)
}

/// Holds what was said in a conversation against its log (staff's view, from its beginning).
pub(crate) fn judge(said: &[(Id, Said)], log: &[Event]) -> Vec<(Fault, String)> {
    let mut faults = Vec::new();
    let mut there: HashMap<Id, Vec<&Event>> = HashMap::new();
    let mut last = 0;
    for event in log {
        if event.seq != last + 1 || event.prev != last {
            faults.push((Fault::Gap, format!("seq {} (after {}) follows {last}", event.seq, event.prev)));
        }
        last = event.seq;
        if let (Body::Message { .. }, Some(cmd)) = (&event.body, event.cmd) {
            there.entry(cmd).or_default().push(event);
        } else if matches!(event.body, Body::Message { .. }) {
            faults.push((Fault::Nobodys, format!("seq {} is no command's", event.seq)));
        }
    }
    for (id, said) in said {
        let events = there.remove(id).unwrap_or_default();
        if events.len() > 1 {
            faults.push((Fault::Doubled, format!("command {id} is there {} times", events.len())));
        }
        match (said.outcome, events.first()) {
            (Outcome::Acknowledged(seq), None) => {
                faults.push((Fault::Lost, format!("command {id} was acknowledged as seq {seq}")));
            }
            (Outcome::Acknowledged(seq), Some(event)) if event.seq != seq => {
                let what = format!("command {id} was acknowledged as seq {seq} and is seq {}", event.seq);
                faults.push((Fault::Misplaced, what));
            }
            (Outcome::Refused, Some(event)) => {
                faults.push((Fault::RefusedButDone, format!("command {id} was refused and is seq {}", event.seq)));
            }
            _ => {}
        }
        if events.iter().any(|event| text(event) != words(said.key, said.bytes)) {
            faults.push((Fault::Altered, format!("command {id} is there in other words")));
        }
    }
    for (id, events) in there {
        faults.push((Fault::Nobodys, format!("command {id} (seq {}) was said by nobody here", events[0].seq)));
    }
    faults
}

fn text(event: &Event) -> String {
    let Body::Message { parts } = &event.body else { return String::new() };
    parts.iter().map(|Part::Text { text }| text.as_str()).collect()
}

/// Holds what one reader heard against the log. Its own acknowledged words may have come as acknowledgements.
pub(crate) fn heard_whole(
    heard: &[Seq],
    own: &HashSet<Id>,
    from_the_start: bool,
    log: &[Event],
    audience: Audience,
) -> Vec<(Fault, String)> {
    let mut faults = Vec::new();
    for pair in heard.windows(2) {
        if pair[1] <= pair[0] {
            faults.push((Fault::HeardWrongly, format!("seq {} was given after {}", pair[1], pair[0])));
        }
    }
    let visible = |event: &&Event| audience == Audience::Staff || event.audience == Audience::All;
    let visible: HashMap<Seq, Option<Id>> = log.iter().filter(visible).map(|event| (event.seq, event.cmd)).collect();
    for seq in heard.iter().filter(|seq| !visible.contains_key(seq)) {
        faults.push((Fault::HeardWrongly, format!("seq {seq} was given and is not there for this reader")));
    }
    let given: HashSet<Seq> = heard.iter().copied().collect();
    let first = if from_the_start { 0 } else { heard.first().copied().unwrap_or(Seq::MAX) };
    let mut missed: Vec<Seq> = visible
        .into_iter()
        .filter(|(seq, cmd)| *seq >= first && !given.contains(seq) && !cmd.is_some_and(|cmd| own.contains(&cmd)))
        .map(|(seq, _)| seq)
        .collect();
    missed.sort_unstable();
    if let Some(seq) = missed.first() {
        faults.push((Fault::Unheard, format!("{} events were never given, first seq {seq}", missed.len())));
    }
    faults
}

/// What a reading back found.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) conversations: u64,
    /// Messages in the logs.
    pub(crate) messages: u64,
    pub(crate) findings: Vec<Finding>,
}

impl Judged {
    pub(crate) fn count(&self, faults: &[Fault]) -> u64 {
        self.findings.iter().filter(|finding| faults.contains(&finding.fault)).count() as u64
    }
}

/// Reads conversations in which something was said back over the API and judges them, `most` at most; `guests` are the
/// diaries of visitors, who see what is for all, `staff` those of agents.
pub(crate) async fn read_back(
    rest: &Rest,
    guests: &[Arc<Mutex<Diary>>],
    staff: &[Arc<Mutex<Diary>>],
    most: usize,
    bar: &ProgressBar,
) -> Judged {
    let everyone: Vec<_> = guests.iter().chain(staff).cloned().collect();
    let (said, findings) = by_conversation(&everyone);
    let mut readers: HashMap<Id, Vec<Reader>> = HashMap::new();
    for (audience, diaries) in [(Audience::All, guests), (Audience::Staff, staff)] {
        for diary in diaries {
            for id in lock(diary).heard.keys() {
                readers.entry(*id).or_default().push((audience, Arc::clone(diary)));
            }
        }
    }
    bar.set_length(said.len().min(most) as u64);
    let judged = stream::iter(said.iter().take(most))
        .map(|(id, said)| async {
            let one = one(rest, *id, said, readers.get(id).map_or(&[], Vec::as_slice)).await;
            bar.inc(1);
            one
        })
        .buffer_unordered(AT_ONCE);
    let sum = Judged { findings, ..Judged::default() };
    judged
        .fold(sum, |mut sum, one| {
            sum.conversations += one.conversations;
            sum.messages += one.messages;
            sum.findings.extend(one.findings);
            std::future::ready(sum)
        })
        .await
}

async fn one(rest: &Rest, id: Id, said: &[(Id, Said)], readers: &[Reader]) -> Judged {
    let found = |(fault, what)| Finding { fault, conversation: Some(id), what };
    let log = match rest.events(id).await {
        Ok(log) => log,
        Err(trouble) => {
            let findings = vec![found((Fault::Unreadable, trouble.to_string()))];
            return Judged { findings, ..Judged::default() };
        }
    };
    let mut findings: Vec<Finding> = judge(said, &log).into_iter().map(found).collect();
    for (audience, diary) in readers {
        let diary = lock(diary);
        let own = diary.said.keys().copied().collect();
        let heard = diary.heard.get(&id).map_or(&[][..], Vec::as_slice);
        findings.extend(heard_whole(heard, &own, diary.from_the_start, &log, *audience).into_iter().map(found));
    }
    let messages = log.iter().filter(|event| matches!(event.body, Body::Message { .. })).count() as u64;
    Judged { conversations: 1, messages, findings }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bellhop_protocol::{Audience, Author, AuthorKind, Body, Event, Id, Part, Seq};

    use super::{Fault, LEAST_BYTES, Outcome, Said, heard_whole, judge, words};

    fn event(seq: Seq, cmd: Option<u128>, text: Option<String>) -> Event {
        let body = match text {
            Some(text) => Body::Message { parts: vec![Part::Text { text }] },
            None => Body::Started { page: None },
        };
        let audience = if matches!(body, Body::Started { .. }) { Audience::Staff } else { Audience::All };
        let author = Author { kind: AuthorKind::Visitor, id: None, name: None };
        Event { seq, prev: seq - 1, at: 0, author, audience, cmd: cmd.map(Id), body }
    }

    fn said(number: u64, outcome: Outcome) -> (Id, Said) {
        (Id(number.into()), Said { conversation: Some(Id(1)), key: number, bytes: 100, outcome })
    }

    /// Started, and messages 2 … 5 by the commands of the same numbers.
    fn log() -> Vec<Event> {
        let mut log = vec![event(1, Some(2), None)];
        log.extend((2..=5).map(|seq| event(seq, Some(seq.into()), Some(words(seq, 100)))));
        log
    }

    fn faults(said: &[(Id, Said)], log: &[Event]) -> Vec<Fault> {
        judge(said, log).into_iter().map(|(fault, _)| fault).collect()
    }

    #[test]
    fn words_have_their_length_differ_and_come_again() {
        let mut seen = HashSet::new();
        for key in [0, 1, u64::MAX] {
            for bytes in [LEAST_BYTES, 100, 16_384] {
                let text = words(key, bytes);
                assert_eq!((text.len(), text.trim().len()), (bytes as usize, bytes as usize));
                assert_eq!(text, words(key, bytes));
                assert!(seen.insert(text));
            }
        }
    }

    #[test]
    fn the_judge_names_each_broken_promise() {
        let good: Vec<_> = (2..=5).map(|number| said(number, Outcome::Acknowledged(number))).collect();
        assert_eq!(faults(&good, &log()), []);
        let with = |index: usize, outcome| {
            let mut said = good.clone();
            said[index].1.outcome = outcome;
            said
        };
        assert_eq!(faults(&with(1, Outcome::Open), &log()), [], "an unanswered command may have taken effect");
        assert_eq!(faults(&with(1, Outcome::Refused), &log()), [Fault::RefusedButDone]);
        assert_eq!(faults(&with(1, Outcome::Acknowledged(4)), &log()), [Fault::Misplaced]);
        assert_eq!(faults(&good, &log()[..4]), [Fault::Lost]);
        assert_eq!(faults(&good[..3], &log()), [Fault::Nobodys]);
        let mut refused = good.clone();
        refused.push(said(9, Outcome::Refused));
        assert_eq!(faults(&refused, &log()), []);
        let mut twice = log();
        twice.push(event(6, Some(5), Some(words(5, 100))));
        assert_eq!(faults(&good, &twice), [Fault::Doubled]);
        let mut other = log();
        other[3] = event(4, Some(4), Some(words(3, 100)));
        assert_eq!(faults(&good, &other), [Fault::Altered]);
        let mut gap = log();
        gap[4].seq = 7;
        assert_eq!(faults(&good, &gap), [Fault::Gap, Fault::Misplaced]);
    }

    #[test]
    fn a_reader_must_have_heard_all_that_is_for_it_once_and_in_order() {
        let own = HashSet::from([Id(3)]);
        let check = |heard: &[Seq], from_the_start, audience| {
            heard_whole(heard, &own, from_the_start, &log(), audience)
                .into_iter()
                .map(|(fault, _)| fault)
                .collect::<Vec<_>>()
        };
        assert_eq!(check(&[2, 4, 5], true, Audience::All), []);
        assert_eq!(check(&[2, 3, 4, 5], true, Audience::All), [], "its own words may come as events as well");
        assert_eq!(check(&[2, 5], true, Audience::All), [Fault::Unheard]);
        assert_eq!(check(&[4, 5], true, Audience::All), [Fault::Unheard]);
        assert_eq!(check(&[4, 5], false, Audience::All), []);
        assert_eq!(check(&[2, 4, 4, 5], true, Audience::All), [Fault::HeardWrongly]);
        assert_eq!(check(&[1, 2, 4, 5], true, Audience::All), [Fault::HeardWrongly], "a visitor got what is staff's");
        assert_eq!(check(&[1, 2, 4, 5], true, Audience::Staff), []);
    }
}
