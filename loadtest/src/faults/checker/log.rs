//! The final logs, as staff read them over the API, and what a log must be by itself.

use std::collections::BTreeMap;

use bellhop_protocol::{As, Audience, AuthorKind, Body, Event, Id, Seq};

use super::{Promise, Verdict};

/// One conversation's log.
pub(super) struct Log<'a> {
    /// In the order of their seqs.
    events: Vec<&'a Event>,
    /// Who began it.
    pub(super) visitor: Option<Id>,
}

pub(super) struct Logs<'a>(BTreeMap<Id, Log<'a>>);

/// Which events a client sees.
pub(super) fn audience(who: As) -> Audience {
    match who {
        As::Visitor => Audience::All,
        As::Agent => Audience::Staff,
    }
}

fn visible(event: &Event, audience: Audience) -> bool {
    audience == Audience::Staff || event.audience == Audience::All
}

impl<'a> Log<'a> {
    pub(super) fn at(&self, seq: Seq) -> Option<&'a Event> {
        self.events.binary_search_by_key(&seq, |event| event.seq).ok().map(|index| self.events[index])
    }

    pub(super) fn events(&self) -> impl DoubleEndedIterator<Item = &'a Event> {
        self.events.iter().copied()
    }

    /// Everything later than `seq` that an audience sees, in order.
    pub(super) fn after(&self, seq: Seq, audience: Audience) -> impl Iterator<Item = &'a Event> {
        let from = self.events.partition_point(|event| event.seq <= seq);
        self.events[from..].iter().copied().filter(move |event| visible(event, audience))
    }

    /// The seq before `seq` for an audience; 0 if there is none.
    pub(super) fn prev(&self, seq: Seq, audience: Audience) -> Seq {
        let until = self.events.partition_point(|event| event.seq < seq);
        self.events[..until].iter().rev().find(|event| visible(event, audience)).map_or(0, |event| event.seq)
    }

    pub(super) fn head(&self, audience: Audience) -> Seq {
        self.prev(Seq::MAX, audience)
    }
}

impl<'a> Logs<'a> {
    /// Takes the logs, and looks at each by itself.
    pub(super) fn read(logs: &'a BTreeMap<Id, Vec<Event>>, verdict: &mut Verdict) -> Self {
        let mut taken = BTreeMap::new();
        for (id, events) in logs {
            verdict.looked.conversations += 1;
            verdict.looked.events += events.len() as u64;
            by_itself(*id, events, verdict);
            let mut sorted: Vec<&Event> = events.iter().collect();
            sorted.sort_by_key(|event| event.seq);
            sorted.dedup_by_key(|event| event.seq);
            let visitor = sorted.first().and_then(|first| first.author.id);
            taken.insert(*id, Log { events: sorted, visitor });
        }
        Self(taken)
    }

    pub(super) fn of(&self, conversation: Id) -> Option<&Log<'a>> {
        self.0.get(&conversation)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Log<'a>)> {
        self.0.iter().map(|(id, log)| (*id, log))
    }
}

fn by_itself(id: Id, events: &[Event], verdict: &mut Verdict) {
    let (mut before, mut at) = (0, i64::MIN);
    for event in events {
        let seq = event.seq;
        if seq != before + 1 {
            let what = format!("the log goes from seq {before} to {seq}; seqs have no gaps and none comes twice");
            verdict.find(Promise::G2, id, seq, what, Vec::new());
        } else if event.prev != before {
            let what = format!("its prev is {}, and the event before it is {before}", event.prev);
            verdict.find(Promise::G2, id, seq, what, Vec::new());
        }
        if event.at < at {
            let what = format!("the server's time falls from {at} to {}", event.at);
            verdict.find(Promise::G2, id, seq, what, Vec::new());
        }
        let staff_only = matches!(event.body, Body::Started { .. } | Body::Note { .. });
        if staff_only && event.audience != Audience::Staff {
            verdict.find(Promise::G10, id, seq, "words for staff have the audience of all", Vec::new());
        }
        (before, at) = (seq, event.at.max(at));
    }
    let begins = events
        .first()
        .is_some_and(|first| first.author.kind == AuthorKind::Visitor && matches!(first.body, Body::Started { .. }));
    if !begins {
        verdict.find(Promise::G1, id, 1, "the log does not begin with the visitor's start", Vec::new());
    }
}
