//! Logs and metrics.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use bellhop_engine::domain::Millis;
use bellhop_engine::ports::Clock;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::level_filters::LevelFilter;

use crate::config::{LogFormat, LogLevel};

/// Edges of every `_seconds` histogram: from a sync of a quiet disk (0.25 ms) to a client's patience (10 s).
const SECONDS: [f64; 15] =
    [0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // Before 1970 the clock is wrong anyway.
        Millis(since.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Installs the process's metrics recorder, once; later calls give the same handle.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("the list of edges is not empty")
            .build_recorder();
        let handle = recorder.handle();
        // Somebody who installed their own recorder before (a test) keeps it; then this one stays empty.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        handle
    })
}

/// What the figures mean that are made in several places, or in a crate that knows no words for operators. (Those of
/// sockets and of the store are described where they are made.)
fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("bellhop_http_requests_total", "HTTP requests answered, by method, route and status.");
    describe_histogram!("bellhop_http_request_seconds", Unit::Seconds, "Time to answer an HTTP request, by route.");
    describe_counter!(
        "bellhop_rate_limited_total",
        "Attempts refused because there were too many, by what was counted."
    );
    describe_counter!(
        "bellhop_requests_overloaded_total",
        "Requests refused because limits.requests_in_flight or limits.commands_per_second was reached."
    );
    describe_gauge!("bellhop_conversations_live", "Conversations in memory.");
    describe_counter!("bellhop_conversation_crashes_total", "Crashes of a conversation's actor; each was restarted.");
    describe_counter!(
        "bellhop_conversations_quarantined_total",
        "Conversations given up after three crashes in a minute, until the next start."
    );
    describe_counter!(
        "bellhop_desk_crashes_total",
        "Crashes of agents', queues' and lists' actors; each was restarted."
    );
}

/// Starts logging to standard error; standard output belongs to the three lines of the start.
///
/// Secrets cannot get here: they are [`crate::accounts::Secret`]s, which print as `[secret]`.
pub fn log_to_stderr(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // A second call (several servers in one test) keeps the first subscriber.
    let _ = if json {
        tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
    } else {
        let colour = std::io::stderr().is_terminal();
        tracing::subscriber::set_global_default(builder.with_target(false).with_ansi(colour).finish())
    };
}
