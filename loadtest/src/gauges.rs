//! What a server of our own says of itself on its admin port, and how much memory it takes.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};

use crate::{machine, rest::Rest, server::Server};

/// Between looks at memory.
const LOOK: Duration = Duration::from_millis(50);

/// The server's `/metrics`.
pub(crate) struct Gauges(Rest);

impl Gauges {
    /// Finds the admin port of a server of our own, which says in its data directory where it is.
    pub(crate) fn find(server: &Server) -> Result<Self, String> {
        let directory = server.directory().ok_or("only a server of our own shows its metrics here (--spawn)")?;
        let file = directory.join("data/admin.address");
        let address = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Rest::new(&format!("http://{}", address.trim())).map(Self)
    }

    pub(crate) async fn read(&self) -> Result<Figures, String> {
        self.0.text("/metrics").await.map(Figures).map_err(|trouble| format!("the server's metrics: {trouble}"))
    }
}

/// One reading, in Prometheus' text form.
pub(crate) struct Figures(String);

impl Figures {
    /// The value of a series; 0 if it does not stand there.
    pub(crate) fn value(&self, series: &str) -> f64 {
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok();
        self.0.lines().find_map(value).unwrap_or_default()
    }

    /// Connections that the server closed with this code.
    pub(crate) fn closes(&self, code: bellhop_protocol::CloseCode) -> u64 {
        self.value(&format!("bellhop_closes_total{{code=\"{}\"}}", code.number())) as u64
    }
}

/// Watches a process' resident memory until dropped.
pub(crate) struct Memory {
    peak: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Memory {
    pub(crate) fn watch(pid: u32) -> Self {
        let (peak, end) = (Arc::new(AtomicU64::new(machine::resident(pid).unwrap_or_default())), Arc::default());
        let (top, stop): (Arc<AtomicU64>, Arc<AtomicBool>) = (Arc::clone(&peak), Arc::clone(&end));
        let task = tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                top.fetch_max(machine::resident(pid).unwrap_or_default(), Ordering::Relaxed);
                sleep(LOOK).await;
            }
        });
        Self { peak, end, task }
    }

    /// The most so far, bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use bellhop_protocol::CloseCode;

    use super::Figures;

    #[test]
    fn series_are_found_by_their_whole_name() {
        let text = "# TYPE a counter\na 3\nab 4\nbellhop_closes_total{code=\"4001\"} 12\nc 1.5e3\n";
        let figures = Figures(text.into());
        assert_eq!(["a", "ab", "b", "c"].map(|series| figures.value(series)), [3.0, 4.0, 0.0, 1_500.0]);
        assert_eq!((figures.closes(CloseCode::SlowReader), figures.closes(CloseCode::OutboxBudget)), (12, 0));
    }
}
