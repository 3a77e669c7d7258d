//! The live lists: who followed one and stayed until all was quiet has in it what the logs say (G4: who comes back
//! gets the changes missed, or a reset).

use std::collections::BTreeMap;

use bellhop_protocol::{ClientFrame, Id, Row, ServerFrame, View};

use super::{Promise, Verdict, log::Logs, place, state::State};
use crate::faults::record::{Entry, Record};

/// A list as a client has it.
#[derive(Default)]
struct Feed {
    rows: BTreeMap<Id, Row>,
    at: Option<(Id, u64)>,
    /// Every row came in the first page; longer lists are not compared.
    whole: bool,
    /// Followed on this connection, and the answer has come.
    live: bool,
}

pub(super) fn check(records: &[Record], logs: &Logs<'_>, verdict: &mut Verdict) {
    let states: BTreeMap<Id, State> = logs.iter().map(|(id, log)| (id, State::of(log.events()))).collect();
    for record in records {
        let mut feeds: BTreeMap<View, Feed> = BTreeMap::new();
        for (line, entry) in record.entries.iter().enumerate() {
            take(record, line, entry, &mut feeds, verdict);
        }
        if record.stayed {
            for (view, feed) in feeds {
                compare(record, view, &feed, &states, verdict);
            }
        }
    }
}

fn take(record: &Record, line: usize, entry: &Entry, feeds: &mut BTreeMap<View, Feed>, verdict: &mut Verdict) {
    match entry {
        Entry::Lost => feeds.values_mut().for_each(|feed| feed.live = false),
        Entry::Said(ClientFrame::List(list)) => feeds.entry(list.view).or_default().live = false,
        Entry::Said(ClientFrame::Unlist(list)) => drop(feeds.remove(&list.view)),
        Entry::Heard(ServerFrame::List(list)) => {
            let rows = list.rows.iter().map(|row| (row.id, row.clone())).collect();
            let whole = list.next.is_none();
            feeds.insert(list.view, Feed { rows, at: Some((list.feed, list.at)), whole, live: true });
        }
        Entry::Heard(ServerFrame::Changes(changes)) => {
            let Some(feed) = feeds.get_mut(&changes.view) else { return };
            if feed.at != Some((changes.feed, changes.from)) {
                let what = format!(
                    "the list {:?} goes on from {} of feed {}, and this reader has {:?}: changes were dropped without a word",
                    changes.view, changes.from, changes.feed, feed.at
                );
                // Only on a connection that followed is nothing to be missed.
                if std::mem::take(&mut feed.live) {
                    verdict.find(Promise::G4, None, None, what, vec![place(&record.name, line)]);
                }
                return;
            }
            feed.at = Some((changes.feed, changes.at));
            feed.live = true;
            for row in &changes.upserts {
                feed.rows.insert(row.id, row.clone());
            }
            for id in &changes.removed {
                feed.rows.remove(id);
            }
        }
        _ => {}
    }
}

fn compare(record: &Record, view: View, feed: &Feed, states: &BTreeMap<Id, State>, verdict: &mut Verdict) {
    if !feed.whole || !feed.live {
        return;
    }
    let shown_by = || vec![place(&record.name, record.entries.len().saturating_sub(1))];
    for (id, state) in states {
        let wanted = state.in_view(view, record.me);
        let what = match (wanted, feed.rows.get(id)) {
            (true, None) => format!("the list {view:?} of a reader who stayed lacks it"),
            (false, Some(_)) => format!("the list {view:?} of a reader who stayed still shows it"),
            (true, Some(row)) if row.seq != state.seq => {
                format!("the list {view:?} of a reader who stayed shows it as of seq {}", row.seq)
            }
            _ => continue,
        };
        verdict.find(Promise::G4, *id, state.seq, what, shown_by());
    }
}
