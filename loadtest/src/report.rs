//! Figures: for a person on the terminal, and as JSON under fixed keys.

use std::{fs, path::Path};

use hdrhistogram::Histogram;
use serde_json::{Map, Value};

use crate::{fast::Round, machine, stage::Stage};

/// Differences that are printed; all are counted.
const MOST_PRINTED: usize = 20;

#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<(String, String)>,
    json: Map<String, Value>,
    differences: Vec<String>,
}

impl Report {
    /// Begins with what every figure must stand beside.
    pub(crate) fn new(command: &str, file_system: Option<String>) -> Self {
        let mut report = Self::default();
        report.json.insert("command".into(), command.into());
        report.text("machine", "machine", machine::describe());
        if let Some(load) = machine::load() {
            report.figure("load_average", "load average before", load, "(processes that want a core, last minute)");
        }
        if let Some(kind) = file_system {
            report.text("file_system", "data on", kind);
        }
        report
    }

    pub(crate) fn text(&mut self, key: &str, label: &str, value: String) {
        self.lines.push((label.into(), value.clone()));
        self.json.insert(key.into(), value.into());
    }

    pub(crate) fn count(&mut self, key: &str, label: &str, value: u64) {
        self.lines.push((label.into(), grouped(value)));
        self.json.insert(key.into(), value.into());
    }

    /// A figure with a unit; JSON gets it to three decimals.
    pub(crate) fn figure(&mut self, key: &str, label: &str, value: f64, unit: &str) {
        let shown = if value >= 1_000.0 { grouped(value.round() as u64) } else { format!("{value:.2}") };
        self.lines.push((label.into(), format!("{shown} {unit}").trim_end().into()));
        self.json.insert(key.into(), ((value * 1_000.0).round() / 1_000.0).into());
    }

    /// A fact for the JSON only.
    pub(crate) fn note(&mut self, key: &str, value: impl Into<Value>) {
        self.json.insert(key.into(), value.into());
    }

    /// Quantiles of a histogram of microseconds, as `<prefix>p50_ms` and so on. Nothing measured: nothing said.
    pub(crate) fn latency(&mut self, prefix: &str, label: &str, histogram: &Histogram<u64>) {
        if histogram.is_empty() {
            return;
        }
        let ms = |us: u64| us as f64 / 1_000.0;
        let quantiles =
            [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)].map(|(name, q)| (name, ms(histogram.value_at_quantile(q))));
        let mut line = String::new();
        for (name, value) in quantiles {
            self.note(&format!("{prefix}{name}_ms"), (value * 1_000.0).round() / 1_000.0);
            line.push_str(&format!("{name} {value:.2} ms, "));
        }
        let max = ms(histogram.max());
        self.note(&format!("{prefix}max_ms"), max);
        self.lines.push((label.into(), format!("{line}max {max:.2} ms ({} samples)", grouped(histogram.len()))));
    }

    /// Rate and latencies of a run; `seconds` is the time that was measured.
    pub(crate) fn turns(&mut self, stage: &Stage, seconds: f64) {
        let turns = stage.measured();
        self.count("turns", "turns", turns);
        self.figure("seconds", "time", seconds, "s");
        self.figure(
            "messages_per_second",
            "rate",
            turns as f64 / seconds.max(0.001),
            "messages/s, acknowledged and received",
        );
        let figures = stage.figures();
        self.latency("", "send → other side", &figures.latency);
        self.latency("first_", "first words → an agent", &figures.first);
    }

    /// CPU of both sides, and whether the generator held the server back.
    pub(crate) fn cpu(&mut self, shares: machine::Shares, threads: u16, messages: u64, seconds: f64) {
        let cores = machine::cores();
        self.figure(
            "generator_cpu",
            "generator's CPU",
            shares.generator * 100.0,
            &format!("% of a core, {threads} thread(s)"),
        );
        if let Some(server) = shares.server {
            self.figure("server_cpu", "server's CPU", server * 100.0, &format!("% of a core, of {cores}"));
            if messages > 0 {
                let us = server * seconds * 1e6 / messages as f64;
                self.figure("server_cpu_us_per_message", "server's CPU a message", us, "µs");
            }
        }
        let bound = generator_bound(shares, threads);
        self.note("generator_bound", bound);
        if bound {
            self.lines.push((
                "warning".into(),
                "the generator used up its threads: it, not the server, may have been the bottleneck (try --threads)"
                    .into(),
            ));
        }
    }

    /// What a stretch of the fast generator's gave, in two lines under one label, its keys behind `prefix`.
    pub(crate) fn round(&mut self, prefix: &str, label: &str, round: &Round) {
        let server_us = round.server_us();
        self.note(&format!("{prefix}messages"), round.messages);
        self.note(&format!("{prefix}messages_per_second"), thousandth(round.rate()));
        self.note(&format!("{prefix}server_cpu_us_per_message"), server_us.map(thousandth));
        self.note(&format!("{prefix}server_cpu"), round.shares.server.map(|it| thousandth(it * 100.0)));
        self.note(&format!("{prefix}generator_cpu_us_per_message"), thousandth(round.generator_us()));
        self.note(&format!("{prefix}generator_cpu"), thousandth(round.shares.generator * 100.0));
        self.note(&format!("{prefix}generator_waited"), thousandth(round.waited * 100.0));
        self.note(&format!("{prefix}generator_bound"), round.generator_bound());
        let server = server_us.map_or_else(|| "unknown".into(), |it| format!("{it:.2} µs"));
        let line = format!(
            "{} messages/s; CPU a message: server {server}, generator {:.2} µs ({:.0} % of its core, waited {:.0} %)",
            grouped(round.rate().round() as u64),
            round.generator_us(),
            round.shares.generator * 100.0,
            round.waited * 100.0,
        );
        self.lines.push((label.into(), line));
        self.latency(prefix, "due → other side", &round.latency);
        if round.generator_bound() {
            self.lines.push(("warning".into(), "the generator, not the server, set the pace here".into()));
        }
    }

    pub(crate) fn difference(&mut self, what: String) {
        self.differences.push(what);
    }

    /// Ends a report with what must be nothing; true if it is something.
    pub(crate) fn faults(&mut self, stage: &Stage) -> bool {
        self.count("mismatches", "mismatches", self.differences.len() as u64);
        self.count("errors", "errors", stage.errors());
        for trouble in stage.troubles() {
            self.lines.push(("error".into(), trouble));
        }
        !self.differences.is_empty() || stage.errors() > 0
    }

    pub(crate) fn print(&self) {
        let width = self.lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
        for (label, value) in &self.lines {
            println!("{label:>width$}  {value}");
        }
        for difference in self.differences.iter().take(MOST_PRINTED) {
            println!("{:>width$}  {difference}", "mismatch");
        }
        if self.differences.len() > MOST_PRINTED {
            println!("{:>width$}  and {} more", "", self.differences.len() - MOST_PRINTED);
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let mut json = self.json.clone();
        if !self.differences.is_empty() {
            let first: Vec<Value> = self.differences.iter().take(MOST_PRINTED).cloned().map(Value::from).collect();
            json.insert("first_mismatches".into(), first.into());
        }
        let text = serde_json::to_string_pretty(&json).map_err(|error| error.to_string())?;
        fs::write(path, text + "\n").map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}

fn thousandth(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// Nine tenths: the kernel's accounting and the runtime's sleeping hide the rest.
fn generator_bound(shares: machine::Shares, threads: u16) -> bool {
    shares.generator >= 0.9 * f64::from(threads)
}

/// 12345 as `12,345`.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::{Report, generator_bound, grouped};
    use crate::{machine::Shares, stage::Stage};

    #[test]
    fn figures_stand_under_their_keys() {
        let stage = Stage::new().unwrap();
        stage.measure(true);
        for ms in 1..=1_000 {
            stage.received(false, Duration::from_millis(ms));
            stage.turn();
        }
        stage.trouble("one thing".into());
        let mut report = Report::new("chat", Some("ext4".into()));
        report.turns(&stage, 2.0);
        report.difference("x: turn 1 is lost".into());
        assert!(report.faults(&stage));
        report.print();
        let path = std::env::temp_dir().join(format!("bellhop-report-{}.json", std::process::id()));
        report.write(&path).unwrap();
        let json: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((&json["messages_per_second"], &json["turns"]), (&500.0.into(), &1_000.into()));
        assert_eq!((&json["mismatches"], &json["errors"]), (&1.into(), &1.into()));
        assert_eq!(json["first_mismatches"][0], "x: turn 1 is lost");
        assert!((499.0..=501.0).contains(&json["p50_ms"].as_f64().unwrap()));
        assert!((989.0..=991.0).contains(&json["p99_ms"].as_f64().unwrap()));
        assert!(json.get("first_p50_ms").is_none());
        assert!(report.write(std::path::Path::new("/nowhere/x.json")).unwrap_err().contains("cannot be written"));
    }

    #[test]
    fn a_generator_at_its_limit_is_named() {
        let shares = |generator| Shares { generator, server: None };
        assert!(
            generator_bound(shares(0.95), 1) && !generator_bound(shares(0.95), 2) && !generator_bound(shares(0.5), 1)
        );
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
