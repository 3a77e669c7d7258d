//! What can be set about the CQL store.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the CQL store. Every default is named below, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScyllaOptions {
    /// `host:port` of some nodes; the others are found through them. At least one.
    pub contact_points: Vec<String>,
    /// The datacentre that this server asks, as the database names it (`nodetool status`).
    pub datacentre: String,
    /// The keyspace: a letter, then letters, digits and underscores, at most 48; lower case.
    pub keyspace: String,
    /// Copies of each row in the datacentre, at least 1. A keyspace that exists must have as many.
    pub replication: u16,
    pub credentials: Option<ScyllaCredentials>,
    pub tls: Option<ScyllaTls>,
    pub consistency: ScyllaConsistency,
    /// Whether `open` makes the tables, or upgrades older ones, before it uses them.
    pub migrate: bool,
    /// How long ownership lasts without a renewal; also how long the next start waits after a `kill -9`.
    pub lease: Duration,
    /// Who this server is, as a person who is refused should read it: host and process.
    pub holder: String,
}

/// What the database knows this server by.
#[derive(Clone, PartialEq, Eq)]
pub struct ScyllaCredentials {
    pub username: String,
    pub password: String,
}

impl fmt::Debug for ScyllaCredentials {
    /// Without the password: options are logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScyllaCredentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Encrypted connections. The nodes' certificates must name their IP addresses: nodes are found by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScyllaTls {
    /// PEM file with the authorities that the nodes' certificates must come from. Databases have authorities of their
    /// own, so the public ones are not trusted.
    pub authorities: PathBuf,
    /// This server's own certificate, where the database asks for one.
    pub certificate: Option<ScyllaCertificate>,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScyllaCertificate {
    /// PEM file with the certificate, and those between it and the authority.
    pub chain: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

/// How many copies must have a write, and be asked for a read. Both read what any earlier acknowledged write wrote,
/// and outlive the loss of a minority of the copies; nothing weaker can be chosen, since acknowledged words could go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScyllaConsistency {
    /// Most of the copies in the server's datacentre: the others follow.
    LocalQuorum,
    /// Most of all copies in all datacentres: outlives the loss of a whole one, at the price of its distance.
    Quorum,
}

/// `local_quorum`: a word between two people on one continent need not wait for another.
pub const CONSISTENCY: ScyllaConsistency = ScyllaConsistency::LocalQuorum;

/// Three copies outlive the loss of one.
pub const REPLICATION: u16 = 3;

/// A restart after `kill -9` waits this long, and a node's death must cost less than 5 s in all (G5); below it a
/// garbage collection of the database (often 0.5 s, sometimes 2 s) would look like a death.
pub const LEASE: Duration = Duration::from_secs(3);

/// Renewals come ten in a lease, and one may take a quarter of it: below this they would not get through.
pub const MIN_LEASE: Duration = Duration::from_millis(500);

impl ScyllaOptions {
    /// [`REPLICATION`], [`CONSISTENCY`] and [`LEASE`], without credentials and TLS; the tables must be there.
    pub fn new(contact_points: Vec<String>, datacentre: String, keyspace: String) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() { "an unnamed host" } else { host.trim() };
        Self {
            contact_points,
            datacentre,
            keyspace,
            replication: REPLICATION,
            credentials: None,
            tls: None,
            consistency: CONSISTENCY,
            migrate: false,
            lease: LEASE,
            holder: format!("{host}, process {}", std::process::id()),
        }
    }
}
