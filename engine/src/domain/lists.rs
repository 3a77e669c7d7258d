//! The inbox's lists: which rows are in a view, and their order. The client orders live changes by the same rule.

use std::cmp::Ordering;

use super::{ConversationId, MemberId, Row, Status};
use crate::exchange::View;

/// Whether a row is in a view; `me` is whose `Mine`.
pub fn in_view(row: &Row, view: View, me: MemberId) -> bool {
    match view {
        View::Mine => row.status != Status::Resolved && row.assignee.as_ref().is_some_and(|it| it.id == me),
        View::Unassigned => row.status == Status::Queued,
        View::Open => row.status != Status::Resolved,
        View::Resolved => row.status == Status::Resolved,
    }
}

/// A row's place in a view's order: lower comes first. `Mine` and `Open`: who waits for us, longest first; then the
/// others, newest first. `Unassigned`: the line. `Resolved`: last resolved first.
pub fn place(row: &Row, view: View) -> Place {
    let (group, key) = match view {
        View::Mine | View::Open => match row.waiting_since {
            Some(since) => (0, since.0),
            None => (1, -row.last_at.0),
        },
        View::Unassigned => (0, row.queue_number.map_or(i64::MAX, |number| number.cast_signed())),
        View::Resolved => (0, -row.resolved_at.map_or(0, |at| at.0)),
    };
    Place { group, key, id: row.key.conversation }
}

/// See [`place`]. Rows of one view never share a place: the id decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    group: u8,
    key: i64,
    id: ConversationId,
}

impl Place {
    /// As a list cursor: opaque to clients.
    pub fn cursor(&self) -> String {
        format!("{:x}-{:016x}-{}", self.group, self.key, self.id)
    }

    /// Reads a cursor that [`Self::cursor`] made, and no other text: a place has one cursor.
    pub fn parse(cursor: &str) -> Option<Self> {
        let mut pieces = cursor.splitn(3, '-');
        let group = u8::from_str_radix(pieces.next()?, 16).ok()?;
        let key = u64::from_str_radix(pieces.next()?, 16).ok()?.cast_signed();
        let id = u128::from_str_radix(pieces.next()?, 16).ok()?;
        let place = Self { group, key, id: ConversationId(id) };
        (place.cursor() == cursor).then_some(place)
    }

    /// Whether this place comes after `other`.
    pub fn is_after(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Greater
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_cursor_and_no_other_text_is_read() {
        let place = Place { group: 0xa, key: -3, id: ConversationId(0xbeef) };
        let cursor = place.cursor();
        assert_eq!(Place::parse(&cursor), Some(place));
        let other = [cursor.to_uppercase(), format!("+{cursor}"), format!("0{cursor}"), cursor.replace("-f", "-+f")];
        for other in other.iter().map(String::as_str).chain(["", "-", "--", "a-1-1", "a-b-c-d", "é-1-1"]) {
            assert_eq!(Place::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_cursor_reads_back_and_nonsense_does_not() {
        for place in [
            Place { group: 0, key: i64::MIN, id: ConversationId(0) },
            Place { group: 1, key: -5, id: ConversationId(u128::MAX) },
        ] {
            assert_eq!(Place::parse(&place.cursor()), Some(place));
        }
        for nonsense in ["", "-", "0", "0-0", "zz-0-0", "0-0-xyz", "300-0-0"] {
            assert_eq!(Place::parse(nonsense), None, "{nonsense:?}");
        }
    }
}
