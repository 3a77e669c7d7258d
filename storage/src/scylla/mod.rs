//! The CQL store: ScyllaDB, or Apache Cassandra 5, in a keyspace of its own.
//!
//! What the database must be: reads and writes at a quorum (`options.rs`), three copies so that the loss of a node is no
//! outage, and on Cassandra `commitlog_sync: batch` or `group`: its default, `periodic`, acknowledges up to 10 s before
//! it syncs, so that nodes which lose power together lose acknowledged words (measured: 3,699 of 321,000 at one
//! `kill -9`). ScyllaDB's default is periodic as well, per shard; there `commitlog_sync: batch` is a setting, too. On
//! ScyllaDB before 2025.4 the keyspace must be made beforehand `WITH tablets = {'enabled': false}`: LWT needs it.
//!
//! | concept | file |
//! |---|---|
//! | tables and versions | `schema.rs` |
//! | who owns the keyspace, and whether the database answers | `lease.rs`, `standing.rs`, `clock.rs` |
//! | write timestamps | `stamps.rs` |
//! | appends on their way | `journal.rs`, `pace.rs` |
//! | rows of a conversation, and taking it over | `buckets.rs`, `log.rs` |
//! | rows, marks, lists | `projections.rs`, `lists.rs` |
//! | taking away what nothing bears out | `pruning.rs` |
//! | records | `records.rs` |

mod buckets;
mod clock;
mod connect;
mod core;
mod database;
mod journal;
mod lease;
mod lists;
mod log;
pub mod metrics;
mod open_error;
mod options;
mod pace;
mod projections;
mod pruning;
mod records;
mod schema;
mod stamps;
mod standing;
mod statements;

pub use open_error::ScyllaOpenError;
pub use options::{
    CONSISTENCY, LEASE, MIN_LEASE, REPLICATION, ScyllaCertificate, ScyllaConsistency, ScyllaCredentials, ScyllaOptions,
    ScyllaTls,
};

use std::sync::Arc;

use bellhop_engine::domain::{ConversationId, ConversationKey, Epoch, Event, Row, Seq, Shard, WorkspaceId};
use bellhop_engine::ports::{
    Answer, Append, Appended, Audit, ConversationPage, Expect, Loaded, Projection, Range, Reader, Record, RecordKey,
    RecordList, RowList, RowPage, Store, StoreError, Version, Written,
};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

use self::core::Core;
use self::database::Database;
use self::journal::Journal;
use self::projections::Projections;
use self::pruning::Pruning;
use self::schema::Found;
use self::standing::Standing;
use self::statements::Statements;
use crate::fits::fits;

/// Longest part of an append in events and bytes, and the largest event: beyond them an append is refused.
pub const MAX_APPEND_EVENTS: usize = buckets::MAX_APPEND_EVENTS;
/// Stored bytes of one append at most.
pub const MAX_APPEND_BYTES: usize = buckets::MAX_APPEND_BYTES;
/// Stored bytes of one event at most.
pub const MAX_EVENT_BYTES: usize = buckets::MAX_EVENT_BYTES;

/// The trait's bounds of a page.
const PAGE: std::ops::RangeInclusive<usize> = 1..=1_000;

fn page(limit: usize) -> usize {
    limit.clamp(*PAGE.start(), *PAGE.end())
}

/// A conversation's key as its columns.
fn ids(key: ConversationKey) -> ([u8; 16], [u8; 16]) {
    (key.workspace.0.to_be_bytes(), key.conversation.0.to_be_bytes())
}

/// The key in its columns.
fn key(workspace: &[u8], conversation: &[u8]) -> Result<ConversationKey, StoreError> {
    let id = |bytes: &[u8]| bytes.try_into().ok().map(u128::from_be_bytes);
    match (id(workspace), id(conversation)) {
        (Some(workspace), Some(conversation)) => {
            Ok(ConversationKey { workspace: WorkspaceId(workspace), conversation: ConversationId(conversation) })
        }
        _ => Err(StoreError::Damaged("an id of a conversation".to_owned())),
    }
}

/// The store of one server, in a keyspace. Closing it lets the next server in at once; when it is only dropped, the next
/// one waits for the lease.
pub struct Scylla {
    core: Arc<Core>,
    journal: Arc<Journal>,
    projections: Arc<Projections>,
    pruning: Pruning,
    secret: [u8; 32],
    keeper: Mutex<Option<JoinHandle<i64>>>,
    stop: Arc<Notify>,
}

impl Scylla {
    /// Opens the keyspace and takes its next epoch. Waits for a lease of a server that died up to `options.lease`;
    /// refuses when another server renews it. Needs a tokio runtime with time and io, and lives on it.
    pub async fn open(options: ScyllaOptions) -> Result<Self, ScyllaOpenError> {
        schema::check_settings(&options)?;
        let session = connect::connect(&options).await?;
        if options.migrate {
            schema::migrate(&session, &options).await?;
        }
        match schema::find(&session, &options).await? {
            Found::Nothing => return Err(ScyllaOpenError::NotMade { keyspace: options.keyspace }),
            Found::Version(schema::VERSION) => {}
            Found::Version(newer) if newer > schema::VERSION => {
                return Err(schema::newer_than_known(&options, newer));
            }
            Found::Version(found) => {
                let (keyspace, known) = (options.keyspace, schema::VERSION);
                return Err(ScyllaOpenError::Older { keyspace, found, known });
            }
        }
        let unreachable =
            |reason: String| ScyllaOpenError::Unreachable { contact_points: options.contact_points.join(", "), reason };
        let statements = Statements::prepare(&session, &options.keyspace, options.consistency)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let database = Arc::new(Database::new(session, statements));
        let secret: Option<(Option<Vec<u8>>,)> =
            database.row(&database.statements.secret, &()).await.map_err(|error| unreachable(error.to_string()))?;
        let secret =
            secret.and_then(|(secret,)| secret).and_then(|secret| secret.try_into().ok()).ok_or_else(|| {
                ScyllaOpenError::Damaged { keyspace: options.keyspace.clone(), reason: "it has no secret".to_owned() }
            })?;
        metrics::describe();
        let (lease, until) = lease::take(&database, &options).await?;
        let (lease, standing) = (Arc::new(lease), Arc::new(Standing::default()));
        standing.renewed(until);
        tracing::info!(keyspace = options.keyspace, epoch = lease.epoch().0, "store opened");
        let core = Arc::new(Core { database, lease, standing });
        let stop = Arc::new(Notify::new());
        let keeper = lease::keep(
            Arc::clone(&core.lease),
            Arc::clone(&core.database),
            Arc::clone(&core.standing),
            options,
            Arc::clone(&stop),
        );
        Ok(Self {
            journal: Arc::new(Journal::new(Arc::clone(&core))),
            core,
            projections: Arc::new(Projections::new()),
            pruning: Pruning::default(),
            secret,
            keeper: Mutex::new(Some(tokio::spawn(keeper))),
            stop,
        })
    }

    /// Makes the keyspace and its tables, or upgrades older ones. May be repeated, and done by two at once.
    pub async fn migrate(options: &ScyllaOptions) -> Result<(), ScyllaOpenError> {
        schema::check_settings(options)?;
        let session = connect::connect(options).await?;
        schema::migrate(&session, options).await
    }
}

impl Drop for Scylla {
    fn drop(&mut self) {
        // The keeper must not hold a lease for nobody.
        self.stop.notify_one();
    }
}

impl Store for Scylla {
    fn epoch(&self) -> Epoch {
        self.core.lease.epoch()
    }

    fn secret(&self) -> [u8; 32] {
        self.secret
    }

    fn append(&self, append: Append, done: Appended) {
        self.journal.append(append, done);
    }

    fn load(&self, key: ConversationKey) -> Answer<'_, Option<Loaded>> {
        Box::pin(async move {
            self.core.standing.open()?;
            self.journal.settle_unknown(key).await?;
            log::load(&self.core, key).await
        })
    }

    fn events(&self, key: ConversationKey, range: Range, limit: usize) -> Answer<'_, Vec<Arc<Event>>> {
        Box::pin(async move {
            self.core.standing.open()?;
            log::events(&self.core, key, range, limit).await
        })
    }

    fn project(&self, projection: Projection) -> Answer<'_, ()> {
        Box::pin(self.projections.write(&self.core, projection))
    }

    fn restore(&self, projection: Projection) -> Answer<'_, ()> {
        Box::pin(async move {
            self.pruning.restored().await;
            self.projections.restore(&self.core, projection).await
        })
    }

    /// Prunes every workspace at once, and says what went of this one: a sweep for each would cost the whole store each.
    fn prune(&self, workspace: WorkspaceId) -> Answer<'_, u64> {
        Box::pin(self.pruning.prune(&self.core, workspace))
    }

    fn row(&self, key: ConversationKey) -> Answer<'_, Option<Row>> {
        Box::pin(async move {
            self.core.standing.open()?;
            projections::row(&self.core, key).await
        })
    }

    fn reads(&self, key: ConversationKey) -> Answer<'_, Vec<(Reader, Seq)>> {
        Box::pin(async move {
            self.core.standing.open()?;
            projections::read_marks(&self.core, key).await
        })
    }

    fn rows(&self, list: RowList, after: Option<Vec<u8>>, limit: usize) -> Answer<'_, RowPage> {
        Box::pin(async move {
            self.core.standing.open()?;
            lists::rows(&self.core, list, after, limit).await
        })
    }

    fn dirty(&self) -> Answer<'_, Vec<(Shard, ConversationKey)>> {
        Box::pin(async move {
            self.core.standing.open()?;
            projections::dirty(&self.core).await
        })
    }

    fn record(&self, key: RecordKey) -> Answer<'_, Option<(Record, Version)>> {
        Box::pin(async move {
            self.core.standing.open()?;
            records::record(&self.core, &key).await
        })
    }

    fn put_record(&self, key: RecordKey, record: Record, expect: Expect) -> Answer<'_, Written> {
        if !fits(&key, &record) {
            let error = StoreError::Unavailable(format!("{key:?} is not the key of such a record"));
            return Box::pin(std::future::ready(Err(error)));
        }
        Box::pin(async move { records::put(&self.core, &key, &record, expect).await })
    }

    fn delete_record(&self, key: RecordKey) -> Answer<'_, ()> {
        Box::pin(async move { records::delete(&self.core, &key).await })
    }

    fn records(&self, list: RecordList, after: Option<u128>, limit: usize) -> Answer<'_, Vec<(Record, Version)>> {
        Box::pin(async move {
            self.core.standing.open()?;
            records::records(&self.core, list, after, limit).await
        })
    }

    fn conversations(&self, after: Option<Vec<u8>>, limit: usize) -> Answer<'_, ConversationPage> {
        Box::pin(async move {
            self.core.standing.open()?;
            log::conversations(&self.core, after, limit).await
        })
    }

    fn audit(&self, key: ConversationKey) -> Answer<'_, Audit> {
        Box::pin(async move {
            self.core.standing.open()?;
            log::audit(&self.core, key).await
        })
    }

    fn healthy(&self) -> bool {
        self.core.standing.healthy()
    }

    fn failed(&self) -> Option<String> {
        self.core.standing.lost()
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.core.standing.close();
            // The lease is renewed until the last append is answered.
            self.journal.drain().await;
            let mut keeper = self.keeper.lock().await;
            let Some(keeper) = keeper.take() else { return Ok(()) };
            self.stop.notify_one();
            let renewal = keeper.await.map_err(|error| StoreError::Unknown(format!("the keeper ended: {error}")))?;
            if self.core.standing.lost().is_none()
                && let Err(error) = self.core.lease.release(&self.core.database, renewal + 1).await
            {
                tracing::warn!(%error, "the lease was not given up: the next start waits for it to run out");
            }
            tracing::info!("store closed");
            Ok(())
        })
    }
}
