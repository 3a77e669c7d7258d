//! One conversation: its log, and what its projections say of it.

use std::fmt::Debug;

use bellhop_engine::domain::{ConversationKey, ConversationState, Row, Seq};
use bellhop_engine::ports::{Audit, Loaded, Reader, Store, StoreError};

use super::lists::{self, Sum};
use super::{ask, log};

/// Faults of one conversation that are told: more of the same help nobody.
const TOLD: usize = 8;

/// What a look at one conversation came to.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) key: ConversationKey,
    pub(super) events: u64,
    pub(super) leftovers: u64,
    /// Its projections lie behind its log, and are marked so.
    pub(super) behind: bool,
    /// Its row, if it has one: it stands in the lists by it.
    pub(super) row: Option<Row>,
    /// Entries of its visitor's list, if this is the first of them: so each such list is walked once.
    pub(super) visitors: Sum,
    pub(super) faults: Vec<String>,
}

/// Looks at one conversation. `dirty`: its projections may lie behind its log.
pub(super) async fn check(store: &dyn Store, key: ConversationKey, dirty: bool) -> Result<Checked, StoreError> {
    let mut faults = Vec::new();
    // First: after it nothing that a dead owner left can change what is read.
    let loaded = match ask(|| store.load(key)).await? {
        Ok(loaded) => loaded.unwrap_or_default(),
        Err(what) => {
            faults.push(format!("it cannot be loaded: {what}"));
            Loaded::default()
        }
    };
    let audit = match ask(|| store.audit(key)).await? {
        Ok(audit) => audit,
        Err(what) => {
            faults.push(format!("its rows cannot be looked at: {what}"));
            Audit::default()
        }
    };
    for (seq, what) in &audit.unreadable {
        faults.push(format!("seq {seq} cannot be read: {what}"));
    }
    if let Some(seq) = audit.beyond_hole {
        faults.push(format!(
            "seq {seq} lies above a hole: the log ends at {}, and what came between is lost",
            audit.head
        ));
    }
    let row = match ask(|| store.row(key)).await? {
        Ok(row) => row,
        Err(what) => {
            faults.push(format!("its row cannot be read: {what}"));
            None
        }
    };
    let unreadable = !faults.is_empty();
    let snapshot = loaded.state;
    let (mut row_fault, mut snapshot_fault) = (None, None);
    let log = log::read(store, key, |state| {
        if let Some(row) = row.as_ref().filter(|row| row.seq == state.seq) {
            row_fault =
                differs(row, &expected_row(row, state)).map(|it| format!("its row differs from its log in {it}"));
        }
        if let Some(stored) = snapshot.as_ref().filter(|stored| stored.seq == state.seq) {
            let epoch = state.epoch.max(stored.epoch);
            let same_epoch = |state: &ConversationState| ConversationState { epoch, ..state.clone() };
            snapshot_fault = differs(&same_epoch(stored), &same_epoch(state))
                .map(|it| format!("its snapshot differs from its log in {it}"));
        }
    })
    .await?;
    let head = log.state.as_ref().map_or(0, |state| state.seq);
    faults.extend(log.faults);
    if !unreadable && audit.head != head {
        faults.push(format!("its rows end at seq {}, its log at {head}", audit.head));
    }
    faults.extend(row_fault);
    faults.extend(snapshot_fault);
    let places = [("row", row.as_ref().map(|it| it.seq)), ("snapshot", snapshot.as_ref().map(|it| it.seq))];
    if !unreadable {
        faults.extend(places.iter().filter_map(|(what, at)| out_of_place(what, *at, head, dirty)));
    }
    faults.extend(marks(&loaded.reads, row.as_ref(), head, dirty));
    faults.truncate(TOLD);
    let (visitors, walked) = match &row {
        Some(row) => lists::of_visitor(store, row).await?,
        None => (Sum::default(), Vec::new()),
    };
    faults.extend(walked);
    let behind = dirty && places.iter().any(|(_, at)| at.is_none_or(|at| at < head));
    Ok(Checked { key, events: log.events, leftovers: audit.leftovers, behind, row, visitors, faults })
}

/// The row that the log makes at the place of the stored one. How far people have read is not in the log; and a later
/// owner may have written the same events again under its own epoch.
fn expected_row(stored: &Row, state: &ConversationState) -> Row {
    Row { epoch: stored.epoch.min(state.epoch), ..state.row(stored.staff_read, stored.visitor_read) }
}

/// A projection's place against the end of the log.
fn out_of_place(what: &str, at: Option<Seq>, head: Seq, dirty: bool) -> Option<String> {
    match at {
        Some(at) if at > head => Some(format!("its {what} is at seq {at}, beyond the end of its log at {head}")),
        Some(at) if at < head && !dirty => {
            Some(format!("its {what} is at seq {at}, behind its log at {head}, and no mark says so"))
        }
        None if !dirty => Some(format!("it has no {what}, and no mark says so")),
        _ => None,
    }
}

/// Read marks: none beyond the log, and none on the row that nobody made.
fn marks(reads: &[(Reader, Seq)], row: Option<&Row>, head: Seq, dirty: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (reader, seq) in reads.iter().filter(|(_, seq)| *seq > head) {
        let who = match reader {
            Reader::Visitor(_) => "the visitor".to_owned(),
            Reader::Agent(member) => format!("member {member}"),
        };
        faults.push(format!("{who} has read to seq {seq}, beyond the end of its log at {head}"));
    }
    let Some(row) = row.filter(|_| !dirty) else { return faults };
    for (who, said, staff) in [("staff", row.staff_read, true), ("the visitor", row.visitor_read, false)] {
        let furthest = furthest(reads, staff);
        if said > furthest {
            faults.push(format!("its row says that {who} has read to seq {said}, the marks say {furthest}"));
        }
    }
    faults
}

/// How far any agent, or the visitor, has read.
pub(super) fn furthest(reads: &[(Reader, Seq)], staff: bool) -> Seq {
    let side = reads.iter().filter(|(reader, _)| matches!(reader, Reader::Agent(_)) == staff);
    side.map(|(_, seq)| *seq).max().unwrap_or_default()
}

/// The name of the first field in which two values differ; never a value, which may be somebody's words.
fn differs<T: Debug + PartialEq>(stored: &T, wanted: &T) -> Option<String> {
    if stored == wanted {
        return None;
    }
    let (stored, wanted) = (format!("{stored:#?}"), format!("{wanted:#?}"));
    let mut field = "";
    let mut lines = (stored.lines(), wanted.lines());
    loop {
        let (left, right) = (lines.0.next(), lines.1.next());
        // A field of the value itself is indented once.
        let name = [left, right].into_iter().flatten().find_map(|line| line.strip_prefix("    "));
        if let Some(name) = name.filter(|name| !name.starts_with([' ', '}', ']', ')'])) {
            field = name.split(':').next().unwrap_or_default();
        }
        if left != right || left.is_none() {
            return Some(format!("`{field}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_by_its_field_and_no_value_is_shown() {
        #[derive(Debug, PartialEq, Clone)]
        struct Value {
            one: Option<(u32, String)>,
            two: Vec<u32>,
            three: String,
        }
        let value = Value { one: Some((1, "secret".into())), two: vec![1, 2], three: "secret".into() };
        assert_eq!(differs(&value, &value.clone()), None);
        for (other, field) in [
            (Value { one: None, ..value.clone() }, "`one`"),
            (Value { one: Some((1, "words".into())), ..value.clone() }, "`one`"),
            (Value { two: vec![1], ..value.clone() }, "`two`"),
            (Value { two: vec![1, 3], ..value.clone() }, "`two`"),
            (Value { three: "words".into(), ..value.clone() }, "`three`"),
        ] {
            assert_eq!(differs(&value, &other).as_deref(), Some(field));
            assert_eq!(differs(&other, &value).as_deref(), Some(field));
        }
    }
}
