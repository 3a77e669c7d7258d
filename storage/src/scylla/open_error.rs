//! Every way in which opening a keyspace fails: one sentence and its remedy each.

use std::path::PathBuf;

/// Why a keyspace was not opened.
#[derive(Debug, thiserror::Error)]
pub enum ScyllaOpenError {
    #[error("{setting} of the store cannot be used: {reason}")]
    Setting { setting: &'static str, reason: String },

    #[error("{} cannot be read as {what} ({reason}); name a PEM file that the server may read", path.display())]
    Tls { path: PathBuf, what: &'static str, reason: String },

    #[error("no CQL server answers at {contact_points} ({reason}); start it, or correct the contact points")]
    Unreachable { contact_points: String, reason: String },

    #[error("the CQL server at {contact_points} refused ({reason}); correct user name, password or rights")]
    Refused { contact_points: String, reason: String },

    #[error("no node of datacentre {datacentre} was found; those found are in {found}: correct `datacentre`")]
    Datacentre { datacentre: String, found: String },

    #[error("keyspace {keyspace} is not a Bellhop store yet; make it with `bellhop store migrate`")]
    NotMade { keyspace: String },

    #[error(
        "keyspace {keyspace} holds a store of version {found}, this binary knows {known}; upgrade it with `bellhop store \
         migrate`"
    )]
    Older { keyspace: String, found: u32, known: u32 },

    #[error(
        "keyspace {keyspace} was written by a newer Bellhop (its version is {found}, this one reads up to {known}); start \
         the newer version"
    )]
    Newer { keyspace: String, found: u32, known: u32 },

    #[error(
        "keyspace {keyspace} has replication {found}, and not {wanted} as configured; ALTER KEYSPACE and repair, or \
         correct `datacentre` and `replication`"
    )]
    Replication { keyspace: String, found: String, wanted: String },

    #[error("keyspace {keyspace} is in use by {holder}, since {since} (UTC); stop it, or choose another keyspace")]
    InUse { keyspace: String, holder: String, since: String },

    #[error("keyspace {keyspace} is damaged ({reason}); restore it from a backup")]
    Damaged { keyspace: String, reason: String },
}
