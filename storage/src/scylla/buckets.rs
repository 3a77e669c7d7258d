//! Where the rows of a conversation lie, and how large anything may become.
//!
//! A partition holds the appends whose FIRST seq lies in one stretch of [`BUCKET_SEQS`]: an append is never torn over
//! two partitions, so that one unlogged batch writes it whole or not at all. The last append of a bucket may therefore
//! spill up to [`MAX_APPEND_EVENTS`] - 1 seqs past the bucket's end, which is why readers look back [`LOOK_BACK`]
//! buckets.

use bellhop_engine::domain::Seq;

/// First seqs of one partition. Small, so that the largest texts stay below the bound of a partition; a usual
/// conversation still has one partition only.
pub(super) const BUCKET_SEQS: u64 = 64;

/// Events of one append. The engine hands over what gathered while the last append was on its way: at 20 ms each, 128
/// are 6,400 events a second in one conversation, far above what two people say.
pub(super) const MAX_APPEND_EVENTS: usize = 128;

/// Stored bytes of one append: a sixteenth of what Cassandra takes as one mutation by default (half a 32 MiB segment),
/// and what a quorum of nodes writes in some 20 ms.
pub(super) const MAX_APPEND_BYTES: usize = 1024 * 1024;

/// Stored bytes of one event: a text of 64 KiB (four times what the domain allows) and its envelope.
pub(super) const MAX_EVENT_BYTES: usize = 72 * 1024;

/// Buckets below its own that may hold an event's row.
pub(super) const LOOK_BACK: u64 = (MAX_APPEND_EVENTS as u64 - 1).div_ceil(BUCKET_SEQS);

/// What a row takes beside its value: key, clustering, first and last seq, times (measured about 70 bytes).
const ROW_OVERHEAD_BYTES: usize = 128;

/// Rows that a partition holds at most: every append but the last lies within the bucket.
pub(super) const MAX_PARTITION_ROWS: usize = BUCKET_SEQS as usize - 1 + MAX_APPEND_EVENTS;

/// Bytes that a partition holds at most, superseded rows of earlier epochs apart (one range tombstone takes them away
/// at the next compaction).
pub(super) const MAX_PARTITION_BYTES: usize =
    (BUCKET_SEQS as usize - 1) * MAX_EVENT_BYTES + MAX_APPEND_BYTES + MAX_PARTITION_ROWS * ROW_OVERHEAD_BYTES;

const _: () = assert!(MAX_PARTITION_BYTES < 10_000_000 && MAX_PARTITION_ROWS < 10_000, "the bound of a partition");

/// The bucket of an append that begins at `first` (1 and up).
pub(super) fn bucket(first: Seq) -> i64 {
    (first.saturating_sub(1) / BUCKET_SEQS) as i64
}

/// The lowest bucket that may hold a row of `seq`.
pub(super) fn lowest_bucket(seq: Seq) -> i64 {
    (bucket(seq) - LOOK_BACK as i64).max(0)
}

/// The last seq whose rows all lie in buckets up to this one.
pub(super) fn last_seq(bucket: i64) -> Seq {
    (bucket as u64 + 1) * BUCKET_SEQS
}

/// A seq as the database holds it. Those beyond its numbers are beyond every log as well.
pub(super) fn number(seq: Seq) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_an_append_is_found_by_looking_back() {
        for first in 1..=400 {
            let at = bucket(first);
            assert!(first <= last_seq(at) && (at == 0 || first > last_seq(at - 1)), "{first}");
            for seq in first..first + MAX_APPEND_EVENTS as u64 {
                assert!((lowest_bucket(seq)..=bucket(seq)).contains(&at), "{first} {seq}");
            }
        }
        assert_eq!((bucket(1), bucket(64), bucket(65), last_seq(0)), (0, 0, 1, 64));
    }
}
