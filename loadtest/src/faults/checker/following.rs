//! What each client was told of each conversation, event by event: G2 (every one is what the log says, in its order),
//! G4 (never a silent gap, on coming back or while it stands) and G10 (only what is theirs).

use std::collections::{BTreeMap, VecDeque};

use bellhop_protocol::{Ack, As, Audience, Body, ClientFrame, Event, Id, Opened, Reset, Seq, ServerFrame};

use super::{
    Promise, Verdict,
    log::{Log, Logs, audience},
    place,
};
use crate::faults::record::{Entry, Record};

pub(super) fn check(records: &[Record], logs: &Logs<'_>, verdict: &mut Verdict) {
    for record in records {
        let mut reader = Reader { record, audience: audience(record.who), logs, verdict, follows: BTreeMap::new() };
        for (line, entry) in record.entries.iter().enumerate() {
            reader.entry(line, entry);
        }
        reader.end();
    }
}

/// One conversation as the client has it.
#[derive(Default)]
struct Follow {
    /// The last seq that it has; survives connections.
    cursor: Seq,
    /// `open`s of this connection without an answer: their `after`.
    asked: VecDeque<Option<Seq>>,
    /// So many of them, the first ones, were followed by a `close`: their answers begin nothing.
    abandoned: usize,
    /// An `opened` without `more` came, and nothing since that ends it: live events must fit.
    live: bool,
    /// Acknowledgements that stand ahead of the cursor: (prev, seq).
    ahead: Vec<(Seq, Seq)>,
}

impl Follow {
    fn append(&mut self, seq: Seq) {
        self.cursor = self.cursor.max(seq);
        while let Some(index) = self.ahead.iter().position(|(prev, _)| *prev <= self.cursor) {
            let (_, seq) = self.ahead.swap_remove(index);
            self.cursor = self.cursor.max(seq);
        }
    }

    /// The `after` of the `open` that is answered now, and whether it was abandoned.
    fn answered(&mut self) -> (Option<Seq>, bool) {
        let abandoned = self.abandoned > 0;
        self.abandoned = self.abandoned.saturating_sub(1);
        (self.asked.pop_front().flatten(), abandoned)
    }

    fn part(&mut self) {
        self.asked.clear();
        self.abandoned = 0;
        self.ahead.clear();
        self.live = false;
    }
}

struct Reader<'a, 'b> {
    record: &'a Record,
    audience: Audience,
    logs: &'a Logs<'b>,
    verdict: &'a mut Verdict,
    follows: BTreeMap<Id, Follow>,
}

impl Reader<'_, '_> {
    fn entry(&mut self, line: usize, entry: &Entry) {
        match entry {
            Entry::Lost => self.follows.values_mut().for_each(Follow::part),
            Entry::Said(ClientFrame::Open(open)) => {
                self.follows.entry(open.conversation).or_default().asked.push_back(open.after);
            }
            Entry::Said(ClientFrame::Close(close)) => {
                // Its events and answers that are on their way still come; the next `open` begins anew.
                let asked = self.follows.remove(&close.conversation).unwrap_or_default().asked;
                if !asked.is_empty() {
                    let abandoned = asked.len();
                    self.follows.insert(close.conversation, Follow { asked, abandoned, ..Follow::default() });
                }
            }
            Entry::Heard(ServerFrame::Welcome(_)) => {
                self.verdict.looked.connections += 1;
                self.follows.values_mut().for_each(Follow::part);
            }
            Entry::Heard(ServerFrame::Opened(opened)) => self.opened(line, opened),
            Entry::Heard(ServerFrame::Event(frame)) => self.live(line, frame.conversation, &frame.event),
            Entry::Heard(ServerFrame::Page(page)) => {
                for event in &page.events {
                    self.told(line, page.conversation, event);
                }
            }
            Entry::Heard(ServerFrame::Ack(ack)) => self.acknowledged(ack),
            Entry::Heard(ServerFrame::Resync(resync)) => {
                // Said aloud: what was missed comes with the `open` that the client now sends.
                if let Some(follow) = self.follows.get_mut(&resync.conversation) {
                    follow.live = false;
                }
            }
            Entry::Heard(ServerFrame::Refused(refused)) if refused.id.is_none() => {
                let conversation = refused.conversation;
                if let Some(follow) = conversation.and_then(|id| self.follows.get_mut(&id)) {
                    follow.answered();
                }
            }
            Entry::Said(_) | Entry::Heard(_) => {}
        }
    }

    fn find(&mut self, promise: Promise, conversation: Id, seq: Seq, what: String, line: usize) {
        let shown_by = vec![place(&self.record.name, line)];
        self.verdict.find(promise, conversation, seq, what, shown_by);
    }

    /// Something was shown: it must be what the log says at that seq, and theirs.
    fn told(&mut self, line: usize, conversation: Id, event: &Event) {
        self.verdict.looked.heard += 1;
        let seq = event.seq;
        let for_staff = event.audience == Audience::Staff || matches!(event.body, Body::Note { .. });
        if self.audience == Audience::All && for_staff {
            self.find(Promise::G10, conversation, seq, "a visitor was told what is for staff".into(), line);
        }
        let log = self.logs.of(conversation);
        let Some(truth) = log.and_then(|log| log.at(seq)) else {
            let what = "readers were told of an event that the log does not have".to_string();
            return self.find(Promise::G2, conversation, seq, what, line);
        };
        let same = Event { prev: truth.prev, ..event.clone() } == *truth;
        if !same {
            let what = format!("readers were told {}, and the log has {}", brief(event), brief(truth));
            return self.find(Promise::G2, conversation, seq, what, line);
        }
        let prev = log.map_or(0, |log| log.prev(seq, self.audience));
        if event.prev != prev {
            let what = format!("its prev is {} for this reader, and what comes before it is {prev}", event.prev);
            self.find(Promise::G2, conversation, seq, what, line);
        }
        let visitor = log.and_then(|log| log.visitor);
        if self.record.who == As::Visitor && visitor != self.record.me {
            self.find(Promise::G10, conversation, seq, "a visitor was told of another's conversation".into(), line);
        }
    }

    fn opened(&mut self, line: usize, opened: &Opened) {
        let id = opened.conversation.id;
        for event in &opened.events {
            self.told(line, id, event);
        }
        let follow = self.follows.entry(id).or_default();
        let mine = match opened.reset {
            // `start` is answered so as well, without an `open`.
            Some(Reset::First) => follow.asked.front() == Some(&None),
            _ => true,
        };
        let (after, abandoned) = if mine { follow.answered() } else { (None, false) };
        if let Some(reset) = opened.reset {
            self.verdict.looked.resets += u64::from(reset != Reset::First);
            if reset == Reset::CursorAhead {
                let seq = after.unwrap_or_default();
                let what =
                    format!("the server had told this reader up to seq {seq}, and says that there is no such seq");
                self.find(Promise::G2, id, seq, what, line);
            }
        } else {
            self.verdict.looked.resumes += 1;
            self.verdict.looked.caught_up += u64::from(!opened.events.is_empty());
        }
        let from = match opened.reset {
            None => after.unwrap_or_default(),
            Some(_) => opened.events.first().map_or(0, |first| first.prev),
        };
        if opened.reset.is_some() && !opened.older && from != 0 {
            let what = format!("a first page begins behind seq {from} and says that nothing is older");
            self.find(Promise::G4, id, from, what, line);
        }
        self.contiguous(line, opened, from);
        if abandoned {
            return;
        }
        let follow = self.follows.entry(id).or_default();
        if opened.reset.is_some() {
            follow.cursor = 0;
        } else {
            // What it asked from is what it has: perhaps from the answer to an `open` that it had closed.
            follow.cursor = follow.cursor.max(from);
        }
        if let Some(last) = opened.events.last() {
            follow.append(last.seq);
        }
        follow.append(0);
        follow.live = !opened.more;
    }

    /// The events must be all that the log has after `from`, without a hole, up to the head that is told with them.
    fn contiguous(&mut self, line: usize, opened: &Opened, from: Seq) {
        let id = opened.conversation.id;
        let Some(log) = self.logs.of(id) else { return };
        let mut at = from;
        for (event, truth) in opened.events.iter().zip(log.after(from, self.audience)) {
            if event.seq != truth.seq {
                let what =
                    format!("who came back with seq {from} got {} after {at}: seq {} is missing", event.seq, truth.seq);
                return self.find(Promise::G4, id, truth.seq, what, line);
            }
            at = event.seq;
        }
        let head = opened.conversation.head;
        if !opened.more && at < head {
            let missing = log.after(at, self.audience).next().map_or(head, |event| event.seq);
            let what = format!(
                "who came back with seq {from} got up to {at}, is told that this is all, and the head is {head}"
            );
            self.find(Promise::G4, id, missing, what, line);
        }
    }

    fn live(&mut self, line: usize, id: Id, event: &Event) {
        self.told(line, id, event);
        let Some(follow) = self.follows.get_mut(&id) else { return };
        if !follow.live || event.seq <= follow.cursor {
            return;
        }
        let cursor = follow.cursor;
        if event.prev <= cursor {
            return follow.append(event.seq);
        }
        // Only the first of a hole is told; the client asks, and the answer makes it whole.
        follow.live = false;
        let missing = self.logs.of(id).and_then(|log| log.after(cursor, self.audience).next());
        let seq = missing.map_or(event.prev, |event| event.seq);
        let what = format!(
            "a connection that stood all the while got {} (prev {}) after {cursor}: something was dropped without a word",
            event.seq, event.prev
        );
        self.find(Promise::G4, id, seq, what, line);
    }

    /// Stands where the event would, unless it is a repeat's.
    fn acknowledged(&mut self, ack: &Ack) {
        let (Some(id), Some(seq), Some(prev), false) = (ack.conversation, ack.seq, ack.prev, ack.again) else { return };
        let Some(follow) = self.follows.get_mut(&id) else { return };
        if seq <= follow.cursor {
            return;
        }
        if follow.live && prev <= follow.cursor {
            follow.append(seq);
        } else {
            follow.ahead.push((prev, seq));
        }
    }

    /// Who stayed until all was quiet has heard everything of what it follows.
    fn end(&mut self) {
        if !self.record.stayed {
            return;
        }
        let line = self.record.entries.len().saturating_sub(1);
        let follows = std::mem::take(&mut self.follows);
        for (id, follow) in follows {
            let head = self.logs.of(id).map_or(0, |log: &Log<'_>| log.head(self.audience));
            if follow.asked.len() > follow.abandoned {
                let what = "an open was never answered, though the connection stood until all was quiet".to_string();
                self.find(Promise::G4, id, head, what, line);
            } else if follow.live && follow.cursor < head {
                let what =
                    format!("a reader who stayed until all was quiet has {} and never heard of {head}", follow.cursor);
                self.find(Promise::G4, id, head, what, line);
            }
        }
    }
}

/// An event in a few words.
fn brief(event: &Event) -> String {
    let mut text = serde_json::to_string(&event.body).unwrap_or_default();
    if text.chars().count() > 80 {
        text = text.chars().take(80).chain(['…']).collect();
    }
    let command = event.cmd.map_or_else(|| "no command".to_string(), |id| format!("command {id}"));
    format!("{text} ({command}, at {})", event.at)
}
