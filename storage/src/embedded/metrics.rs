//! What the embedded store measures. Without a recorder installed each costs a few nanoseconds.

use std::time::Duration;

use metrics::{Unit, describe_gauge, describe_histogram, gauge, histogram};

/// Histogram: appends, record writes and projections in one commit.
pub const COMMIT_BATCH_SIZE: &str = "bellhop_store_commit_batch_size";
/// Histogram, seconds: writing and syncing one commit.
pub const COMMIT_SECONDS: &str = "bellhop_store_commit_seconds";
/// Gauge: writes waiting for the commit thread, as each commit begins.
pub const QUEUE_DEPTH: &str = "bellhop_store_queue_depth";

pub(super) fn describe() {
    describe_histogram!(COMMIT_BATCH_SIZE, Unit::Count, "Writes in one commit of the embedded store");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Time to write and sync one commit of the embedded store");
    describe_gauge!(QUEUE_DEPTH, Unit::Count, "Writes waiting for the embedded store's commit thread");
}

pub(super) fn committed(writes: usize, took: Duration, waiting: usize) {
    histogram!(COMMIT_BATCH_SIZE).record(writes as f64);
    histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
    gauge!(QUEUE_DEPTH).set(waiting as f64);
}
