//! The CQL store: ScyllaDB, or Apache Cassandra 5.

mod open_error;
mod options;

pub use open_error::ScyllaOpenError;
pub use options::{
    CONSISTENCY, LEASE, MIN_LEASE, REPLICATION, ScyllaCertificate, ScyllaConsistency, ScyllaCredentials, ScyllaOptions,
    ScyllaTls,
};

use std::convert::Infallible;
use std::sync::Arc;

use bellhop_engine::domain::{ConversationKey, Epoch, Event, Row, Seq, Shard};
use bellhop_engine::ports::{
    Answer, Append, Appended, Audit, ConversationPage, Expect, Loaded, Projection, Range, Reader, Record, RecordKey,
    RecordList, RowList, RowPage, Store, Version, Written,
};

/// The store of one server, in a keyspace. Closing it lets the next server in at once; dropping it does not.
pub struct Scylla(Infallible);

impl Scylla {
    /// Opens the keyspace and takes its next epoch. Waits for a lease of a server that died up to `options.lease`;
    /// refuses when another server renews it.
    pub async fn open(options: ScyllaOptions) -> Result<Self, ScyllaOpenError> {
        Err(ScyllaOpenError::NotMade { keyspace: options.keyspace })
    }

    /// Makes the keyspace and its tables, or upgrades older ones. May be repeated, and done by two at once.
    pub async fn migrate(options: &ScyllaOptions) -> Result<(), ScyllaOpenError> {
        Err(ScyllaOpenError::NotMade { keyspace: options.keyspace.clone() })
    }
}

impl Store for Scylla {
    fn epoch(&self) -> Epoch {
        match self.0 {}
    }
    fn secret(&self) -> [u8; 32] {
        match self.0 {}
    }
    fn append(&self, _: Append, _: Appended) {
        match self.0 {}
    }
    fn load(&self, _: ConversationKey) -> Answer<'_, Option<Loaded>> {
        match self.0 {}
    }
    fn events(&self, _: ConversationKey, _: Range, _: usize) -> Answer<'_, Vec<Arc<Event>>> {
        match self.0 {}
    }
    fn project(&self, _: Projection) -> Answer<'_, ()> {
        match self.0 {}
    }
    fn row(&self, _: ConversationKey) -> Answer<'_, Option<Row>> {
        match self.0 {}
    }
    fn reads(&self, _: ConversationKey) -> Answer<'_, Vec<(Reader, Seq)>> {
        match self.0 {}
    }
    fn rows(&self, _: RowList, _: Option<Vec<u8>>, _: usize) -> Answer<'_, RowPage> {
        match self.0 {}
    }
    fn dirty(&self) -> Answer<'_, Vec<(Shard, ConversationKey)>> {
        match self.0 {}
    }
    fn record(&self, _: RecordKey) -> Answer<'_, Option<(Record, Version)>> {
        match self.0 {}
    }
    fn put_record(&self, _: RecordKey, _: Record, _: Expect) -> Answer<'_, Written> {
        match self.0 {}
    }
    fn delete_record(&self, _: RecordKey) -> Answer<'_, ()> {
        match self.0 {}
    }
    fn records(&self, _: RecordList, _: Option<u128>, _: usize) -> Answer<'_, Vec<(Record, Version)>> {
        match self.0 {}
    }
    fn conversations(&self, _: Option<Vec<u8>>, _: usize) -> Answer<'_, ConversationPage> {
        match self.0 {}
    }
    fn audit(&self, _: ConversationKey) -> Answer<'_, Audit> {
        match self.0 {}
    }
    fn healthy(&self) -> bool {
        match self.0 {}
    }
    fn failed(&self) -> Option<String> {
        match self.0 {}
    }
    fn close(&self) -> Answer<'_, ()> {
        match self.0 {}
    }
}
