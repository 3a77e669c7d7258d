//! A `cargo xtask cassandra` that belongs to this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::places::Places;

/// Stopping takes about 0.3 s.
const STOP_LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// Ends with this value, and with this process however that ends.
pub(crate) struct Running {
    child: Child,
    pub(crate) dir: PathBuf,
    /// As `BELLHOP_CQL` wants them.
    pub(crate) contacts: String,
}

impl Running {
    /// Returns when every node answers.
    pub(crate) fn start(nodes: usize, dir: &Path) -> Result<Self, String> {
        let xtask = Places::xtask()?;
        let mut command = Command::new(xtask);
        command.args(["cassandra", "--tied", "--nodes", &nodes.to_string(), "--dir"]).arg(dir).stdin(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("cargo xtask cassandra could not be started: {error}"))?;
        let mut running = Self { child, dir: dir.to_path_buf(), contacts: String::new() };
        // It gives up by itself when the nodes do not answer. What lies in the folder may be an earlier run's until it
        // has written its own process id.
        loop {
            if let Ok(Some(status)) = running.child.try_wait() {
                return Err(format!("cargo xtask cassandra ended at once ({status}); its own words are above"));
            }
            if running.is_ready() {
                let contacts = fs::read_to_string(dir.join("contacts"));
                running.contacts = contacts.map_err(|error| format!("{}: {error}", dir.display()))?.trim().to_owned();
                return Ok(running);
            }
            thread::sleep(LOOK);
        }
    }

    fn is_ready(&self) -> bool {
        let owner = fs::read_to_string(self.dir.join("pid")).unwrap_or_default();
        owner.trim() == self.child.id().to_string() && self.dir.join("ready").exists()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its end of input is our word to stop.
        drop(self.child.stdin.take());
        let deadline = Instant::now() + STOP_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        // Too late is too late: its guard cleans then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
