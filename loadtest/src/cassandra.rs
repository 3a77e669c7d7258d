//! A running `cargo xtask cassandra`, as its directory tells of it: the contacts, and each node's process and the
//! command that starts it again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::{net::TcpStream, time::sleep};

/// A node's way back on a busy machine; measured 6 s on a quiet one.
const BACK: Duration = Duration::from_secs(90);
/// Between looks.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub(crate) struct Cassandra {
    directory: PathBuf,
    /// `address:port` of each node.
    contacts: Vec<String>,
    keyspace: String,
}

impl Cassandra {
    /// The servers of a directory, with a keyspace for this run.
    pub(crate) fn find(directory: &Path) -> Result<Self, String> {
        let file = directory.join("contacts");
        let missing = |why: &dyn std::fmt::Display| {
            format!(
                "{}: {why}; start a CQL server (cargo xtask cassandra --nodes 3) or name its directory with --cassandra",
                file.display()
            )
        };
        let text = fs::read_to_string(&file).map_err(|error| missing(&error))?;
        let number = crate::dice::Dice::random()?.next() % 1_000_000;
        Self::of(&text, directory, format!("bellhop_load_{}_{number}", std::process::id()))
            .ok_or_else(|| missing(&"it names no server"))
    }

    /// From a contacts file's text; `None` if that names no server.
    pub(crate) fn of(contacts: &str, directory: &Path, keyspace: String) -> Option<Self> {
        let contacts: Vec<String> =
            contacts.split([',', '\n']).map(str::trim).filter(|it| !it.is_empty()).map(str::to_string).collect();
        (!contacts.is_empty()).then(|| Self { directory: directory.to_path_buf(), contacts, keyspace })
    }

    /// The lines of the section `[scylla]`: as many copies as there are nodes, three at most.
    pub(crate) fn settings(&self) -> Vec<String> {
        vec![
            format!("contact_points = {:?}", self.contacts),
            format!("keyspace = {:?}", self.keyspace),
            format!("replication = {}", self.nodes().min(3)),
            // A keyspace of the run's own has no tables yet.
            "migrate = true".into(),
        ]
    }

    pub(crate) fn nodes(&self) -> usize {
        self.contacts.len()
    }

    /// `kill -9` of a node, counted from 1; returns once it is gone.
    pub(crate) async fn kill(&self, node: usize) -> Result<(), String> {
        let file = self.node(node).join("pid");
        let bad = |why: &dyn std::fmt::Display| format!("node {node}: {}: {why}", file.display());
        let text = fs::read_to_string(&file).map_err(|error| bad(&error))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(|| bad(&"no process id"))?;
        kill_process(pid, Signal::KILL).map_err(|error| bad(&error))?;
        let begin = Instant::now();
        while test_kill_process(pid).is_ok() && !zombie(pid) {
            if begin.elapsed() > BACK {
                return Err(bad(&"the node does not die"));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Starts a killed node again; does not wait for it.
    pub(crate) fn start(&self, node: usize) -> Result<(), String> {
        let program = self.node(node).join("start");
        let bad = |why: &dyn std::fmt::Display| format!("node {node}: {}: {why}", program.display());
        let status = Command::new(&program)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| bad(&error))?;
        if status.success() { Ok(()) } else { Err(bad(&status)) }
    }

    /// Waits until a node takes connections of clients, which it does once it knows its neighbours.
    pub(crate) async fn until_up(&self, node: usize) -> Result<(), String> {
        let contact = self.contacts.get(node - 1).ok_or_else(|| format!("there is no node {node}"))?;
        let begin = Instant::now();
        while TcpStream::connect(contact).await.is_err() {
            if begin.elapsed() > BACK {
                return Err(format!("node {node} ({contact}) did not come back within {} s", BACK.as_secs()));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn node(&self, node: usize) -> PathBuf {
        self.directory.join(format!("node-{node}"))
    }
}

/// Dead, but its parent has not looked yet.
fn zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}
