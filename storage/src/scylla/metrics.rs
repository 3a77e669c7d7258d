//! What the CQL store measures. Without a recorder installed each costs a few nanoseconds.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::clock::Tick;

/// Histogram, seconds: from sending an append to its quorum's answer.
pub const APPEND_SECONDS: &str = "bellhop_store_append_seconds";
/// Counter: appends that got no answer in their time, and were sent again or answered `unknown`.
pub const APPENDS_UNANSWERED: &str = "bellhop_store_appends_unanswered_total";
/// Gauge: appends waiting for one of those on their way.
pub const QUEUE_DEPTH: &str = "bellhop_store_queue_depth";
/// Gauge: appends on their way at most, as the latency allows.
pub const IN_FLIGHT_LIMIT: &str = "bellhop_store_in_flight_limit";
/// Histogram, seconds: a renewal of the lease, an LWT.
pub const RENEWAL_SECONDS: &str = "bellhop_store_lease_renewal_seconds";
/// Gauge: 1 while the database answers and the lease is ours.
pub const HEALTHY: &str = "bellhop_store_healthy";
/// Counter: conversations whose last append was written again under a new epoch.
pub const ADOPTED: &str = "bellhop_store_conversations_adopted_total";

pub(super) fn describe() {
    describe_histogram!(APPEND_SECONDS, Unit::Seconds, "Time from sending an append to its quorum's answer");
    describe_counter!(APPENDS_UNANSWERED, Unit::Count, "Appends that the database did not answer in time");
    describe_gauge!(QUEUE_DEPTH, Unit::Count, "Appends waiting to be sent to the database");
    describe_gauge!(IN_FLIGHT_LIMIT, Unit::Count, "Appends on their way at most, as the latency allows");
    describe_histogram!(RENEWAL_SECONDS, Unit::Seconds, "Time of a renewal of the keyspace's lease");
    describe_gauge!(HEALTHY, Unit::Count, "1 while the database answers and the lease is held");
    describe_counter!(ADOPTED, Unit::Count, "Conversations adopted from an earlier epoch");
}

pub(super) fn appended(took: Duration) {
    histogram!(APPEND_SECONDS).record(took.as_secs_f64());
}

pub(super) fn queued(waiting: usize, limit: usize) {
    gauge!(QUEUE_DEPTH).set(waiting as f64);
    gauge!(IN_FLIGHT_LIMIT).set(limit as f64);
}

pub(super) fn unanswered() {
    counter!(APPENDS_UNANSWERED).increment(1);
}

pub(super) fn renewed(sent: Tick) {
    histogram!(RENEWAL_SECONDS).record(Tick::now().since(sent).as_secs_f64());
}

pub(super) fn healthy(healthy: bool) {
    gauge!(HEALTHY).set(f64::from(u8::from(healthy)));
}

pub(super) fn adopted() {
    counter!(ADOPTED).increment(1);
}
