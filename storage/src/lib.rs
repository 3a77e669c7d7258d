//! What keeps Bellhop's words: implementations of the engine's [`Store`](bellhop_engine::ports::Store).
//!
//! - [`Embedded`]: fjall in a directory, one commit thread, one sync a batch. The default.
//! - [`Scylla`]: ScyllaDB or Apache Cassandra 5 in a keyspace, many appends in flight, each at quorum.
//! - [`Model`]: in memory, with exactly the faults that the trait permits, from a seed. For tests.
//! - [`conformance`]: one suite of cases that every implementation passes.

mod codec;
pub mod conformance;
mod embedded;
mod fits;
mod model;
mod reading;
pub mod scylla;
pub mod verify;

pub use embedded::{
    CACHE_BYTES, Embedded, EmbeddedOptions, JOURNAL_BYTES, LOCK_WAIT, MIN_CACHE_BYTES, MIN_JOURNAL_BYTES, OpenError,
    Recovery, Tail, metrics,
};
pub use model::{Fate, Faults, Model};
pub use scylla::{
    Scylla, ScyllaCertificate, ScyllaConsistency, ScyllaCredentials, ScyllaOpenError, ScyllaOptions, ScyllaTls,
};
