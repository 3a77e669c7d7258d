//! The rule by which every store reads a conversation's rows (design page, "Many nodes").
//!
//! Rows are keyed (seq, epoch). For each seq the highest epoch counts; a row whose epoch is lower than one seen at an
//! earlier seq is what a dead owner left behind, and is skipped; the log ends at the first seq without a row.

use bellhop_engine::domain::{Epoch, Seq};
use bellhop_engine::ports::Audit;
use bellhop_engine::sabotage::{self, Fault};

/// Rows as they lie (ascending by seq, then epoch, none at or below `after`) to the rows that count.
///
/// `after` is the last seq that is known to be good, `floor` the epoch of its row: (0, 0) at a log's start, those of a
/// snapshot above it. Errors pass through and end the log.
pub(crate) fn readable<T, E>(
    after: Seq,
    floor: Epoch,
    rows: impl Iterator<Item = Result<(Seq, Epoch, T), E>>,
) -> impl Iterator<Item = Result<(Seq, Epoch, T), E>> {
    Readable { rows, best: None, last: after, floor, over: false }
}

struct Readable<I, T> {
    rows: I,
    /// The highest epoch seen at seq `last + 1`, until a row of another seq shows that no higher one comes.
    best: Option<(Seq, Epoch, T)>,
    last: Seq,
    floor: Epoch,
    over: bool,
}

impl<I, T, E> Iterator for Readable<I, T>
where
    I: Iterator<Item = Result<(Seq, Epoch, T), E>>,
{
    type Item = Result<(Seq, Epoch, T), E>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            match self.rows.next() {
                Some(Err(error)) => {
                    self.over = true;
                    return Some(Err(error));
                }
                // Left behind by an owner that had lost the conversation before this seq.
                Some(Ok((_, epoch, _))) if epoch < self.floor && !sabotage::on(Fault::IgnoreEpoch) => {}
                // A row of the next seq; ascending epochs make the last of them the highest.
                Some(Ok(row)) if row.0 == self.last + 1 => {
                    if self.best.is_some() && sabotage::on(Fault::IgnoreEpoch) {
                        continue;
                    }
                    self.floor = self.floor.max(row.1);
                    self.best = Some(row);
                }
                Some(Ok(row)) => match self.best.take() {
                    Some(best) if row.0 == best.0 + 1 => {
                        self.last = best.0;
                        self.best = Some(row);
                        if let Some((_, epoch, _)) = &self.best {
                            self.floor = self.floor.max(*epoch);
                        }
                        return Some(Ok(best));
                    }
                    // A hole: what lies beyond it was never acknowledged.
                    best => {
                        self.over = true;
                        return best.map(Ok);
                    }
                },
                None => {
                    self.over = true;
                    return self.best.take().map(Ok);
                }
            }
        }
        None
    }
}

/// Unreadable rows that an audit names.
const NAMED: usize = 10;

/// Every row of a conversation (ascending by seq, then epoch) to what is there; `decode` says whether a row that counts
/// can be read.
pub(crate) fn audit<T, E>(
    rows: impl Iterator<Item = Result<(Seq, Epoch, T), E>>,
    decode: impl Fn(Seq, Epoch, &T) -> Result<(), String>,
) -> Result<Audit, E> {
    let mut audit = Audit::default();
    let mut floor = Epoch(0);
    let mut best: Option<(Seq, Epoch, T)> = None;
    let settle = |audit: &mut Audit, best: Option<(Seq, Epoch, T)>| {
        let Some((seq, epoch, row)) = best else { return };
        audit.head = seq;
        if let Err(why) = decode(seq, epoch, &row)
            && audit.unreadable.len() < NAMED
        {
            audit.unreadable.push((seq, why));
        }
    };
    for row in rows {
        let (seq, epoch, row) = row?;
        if epoch < floor {
            audit.leftovers += 1;
            continue;
        }
        let last = best.as_ref().map_or(audit.head, |best| best.0);
        if audit.beyond_hole.is_some() || seq > last + 1 {
            audit.beyond_hole.get_or_insert(seq);
            continue;
        }
        floor = epoch;
        if seq == last + 1 {
            settle(&mut audit, best.take());
        } else {
            // The same seq again, by a later owner.
            audit.leftovers += 1;
        }
        best = Some((seq, epoch, row));
    }
    settle(&mut audit, best);
    Ok(audit)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn read(after: Seq, floor: u64, rows: &[(Seq, u64)]) -> Vec<(Seq, u64)> {
        let rows = rows.iter().map(|&(seq, epoch)| Ok::<_, Infallible>((seq, Epoch(epoch), ())));
        readable(after, Epoch(floor), rows)
            .map(|row| row.map(|(seq, epoch, ())| (seq, epoch.0)))
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn a_reader_takes_the_highest_epoch_skips_leftovers_and_ends_at_a_hole() {
        type Rows = &'static [(Seq, u64)];
        let cases: &[(&str, Seq, u64, Rows, Rows)] = &[
            ("nothing", 0, 0, &[], &[]),
            ("one owner", 0, 0, &[(1, 1), (2, 1), (3, 1)], &[(1, 1), (2, 1), (3, 1)]),
            ("a later owner goes on", 0, 0, &[(1, 1), (2, 3), (3, 3)], &[(1, 1), (2, 3), (3, 3)]),
            ("the higher epoch wins", 0, 0, &[(1, 1), (2, 1), (2, 2), (3, 2)], &[(1, 1), (2, 2), (3, 2)]),
            ("three at one seq", 0, 0, &[(1, 1), (1, 2), (1, 5)], &[(1, 5)]),
            ("leftovers beyond the head", 0, 0, &[(1, 1), (2, 1), (2, 2), (3, 1), (4, 1)], &[(1, 1), (2, 2)]),
            (
                "leftover skipped, then covered",
                0,
                0,
                &[(1, 2), (2, 1), (2, 2), (3, 1), (3, 2)],
                &[(1, 2), (2, 2), (3, 2)],
            ),
            ("a leftover does not fill a hole", 0, 0, &[(1, 2), (2, 1), (3, 2)], &[(1, 2)]),
            ("a hole", 0, 0, &[(1, 1), (3, 1)], &[(1, 1)]),
            ("a hole at the start", 0, 0, &[(2, 1)], &[]),
            ("above a snapshot", 7, 2, &[(8, 2), (9, 3)], &[(8, 2), (9, 3)]),
            ("a leftover above a snapshot", 7, 3, &[(8, 2), (9, 2)], &[]),
            ("a hole above a snapshot", 7, 2, &[(9, 2)], &[]),
        ];
        for (name, after, floor, rows, want) in cases {
            assert_eq!(read(*after, *floor, rows), *want, "{name}");
        }
    }

    #[test]
    fn an_error_ends_the_log() {
        let rows = [Ok((1, Epoch(1), ())), Err("bad"), Ok((2, Epoch(1), ()))];
        let got: Vec<_> = readable(0, Epoch(0), rows.into_iter()).collect();
        assert_eq!(got, [Err("bad")], "what lies before an unreadable row might have had a higher epoch");
    }

    #[test]
    fn an_audit_shows_what_readers_never_see() {
        let audit = |rows: &[(Seq, u64)]| {
            let rows = rows.iter().map(|&(seq, epoch)| Ok::<_, Infallible>((seq, Epoch(epoch), seq)));
            let decode = |seq, _, _: &Seq| if seq == 3 { Err("three".to_owned()) } else { Ok(()) };
            super::audit(rows, decode).unwrap()
        };
        let clean = |head, leftovers| Audit { head, leftovers, ..Audit::default() };
        assert_eq!(audit(&[]), clean(0, 0));
        assert_eq!(audit(&[(1, 1), (2, 1), (2, 2)]), clean(2, 1));
        // What a dead owner left beyond a later one's head is explained; a row of the later one's is not.
        assert_eq!(audit(&[(1, 1), (2, 2), (4, 1), (5, 1)]), clean(2, 2));
        assert_eq!(audit(&[(1, 1), (2, 2), (4, 2)]), Audit { beyond_hole: Some(4), ..clean(2, 0) });
        assert_eq!(audit(&[(2, 1)]), Audit { beyond_hole: Some(2), ..clean(0, 0) });
        let unreadable = vec![(3, "three".to_owned())];
        assert_eq!(audit(&[(1, 1), (2, 1), (3, 1), (4, 1)]), Audit { unreadable, ..clean(4, 0) });
    }
}
