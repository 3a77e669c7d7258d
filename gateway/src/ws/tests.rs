use std::time::Duration;

use super::Limits;

/// Bounds for tests: nothing is limited that a test does not limit itself.
pub(super) fn limits() -> Limits {
    Limits {
        max_sessions: 10_000,
        sessions_per_address: 10_000,
        hellos_per_minute: 1_000_000,
        starts_per_minute: 1_000_000,
        limit_loopback: true,
        frames_per_second: 1_000_000,
        frames_burst: 1_000_000,
        addresses_remembered: 1_000,
        admissions_at_once: 100,
        outbox_bytes: 1 << 20,
        outbox_budget_bytes: 256 << 20,
        hello_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(120),
        reconnect_window: Duration::from_secs(10),
        trusted_proxies: Vec::new(),
    }
}
