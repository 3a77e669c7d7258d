//! The tables, and how they come to be.
//!
//! | table | partition | rows in it | asked for |
//! |---|---|---|---|
//! | `events` | workspace, conversation, bucket of 64 seqs | (seq, epoch): one event, with its append's extent | load, history |
//! | `projections` | workspace, conversation | one: row, snapshot, the places in lists that the row may stand in | load, lists |
//! | `read_marks` | workspace, conversation | reader: how far; the write's timestamp is the mark itself | load |
//! | `listed_open` | workspace, slice 0–15 of the conversation | conversation: its row | the start |
//! | `listed` | workspace, list, visitor, hour | (time, latest first, conversation): its row | resolved ones, a visitor's |
//! | `listed_hours` | workspace, list, visitor, year | hours that `listed` has | where a page goes on |
//! | `listed_years` | workspace, list, visitor | years that `listed_hours` has | the same |
//! | `dirty` | shard | conversation | the start |
//! | `records` | kind, id | one: value and version, by LWT only | log-in, settings |
//! | `record_ids` | kind, workspace, slice of the id's highest bits | id | lists of records, in order |
//! | `lease` | one | one, by LWT only: who owns the keyspace, epoch, renewal, bound of timestamps | ownership |
//! | `meta` | name | one: `schema`, `secret` | the start |
//!
//! Ids are blobs of 16 bytes, big-endian: their order as bytes is their order. `dirty` and the lists change all the
//! time, so that their tombstones may go after an hour: what a node that was away longer brings back is a mark too many,
//! which costs a look, or a list's entry, which `bellhop store rebuild` removes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scylla::client::session::Session;
use scylla::cluster::Node;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::statement::Statement;
use scylla::value::CqlValue;

use super::ScyllaOpenError;
use super::options::ScyllaOptions;

/// The version that this binary writes, and the highest that it reads.
pub(super) const VERSION: u32 = 1;

/// The tables of version 1. `{k}` stands for the keyspace.
const TABLES: [&str; 12] = [
    "CREATE TABLE IF NOT EXISTS {k}.meta (name text PRIMARY KEY, number bigint, bytes blob)",
    "CREATE TABLE IF NOT EXISTS {k}.lease (name text PRIMARY KEY, identity blob, holder text, since bigint, \
     renewal bigint, epoch bigint, stamp bigint)",
    "CREATE TABLE IF NOT EXISTS {k}.events (workspace blob, conversation blob, bucket bigint, seq bigint, epoch bigint, \
     first bigint, last bigint, value blob, PRIMARY KEY ((workspace, conversation, bucket), seq, epoch))",
    "CREATE TABLE IF NOT EXISTS {k}.projections (workspace blob, conversation blob, epoch bigint, seq bigint, row blob, \
     state blob, places frozen<list<blob>>, PRIMARY KEY ((workspace, conversation)))",
    "CREATE TABLE IF NOT EXISTS {k}.read_marks (workspace blob, conversation blob, side tinyint, reader blob, \
     value blob, PRIMARY KEY ((workspace, conversation), side, reader))",
    "CREATE TABLE IF NOT EXISTS {k}.listed_open (workspace blob, slice int, conversation blob, row blob, \
     PRIMARY KEY ((workspace, slice), conversation)) WITH gc_grace_seconds = 3600",
    "CREATE TABLE IF NOT EXISTS {k}.listed (workspace blob, list tinyint, visitor blob, hour bigint, at bigint, \
     conversation blob, row blob, PRIMARY KEY ((workspace, list, visitor, hour), at, conversation)) \
     WITH CLUSTERING ORDER BY (at DESC, conversation ASC) AND gc_grace_seconds = 3600",
    "CREATE TABLE IF NOT EXISTS {k}.listed_hours (workspace blob, list tinyint, visitor blob, year bigint, hour bigint, \
     PRIMARY KEY ((workspace, list, visitor, year), hour)) WITH CLUSTERING ORDER BY (hour DESC)",
    "CREATE TABLE IF NOT EXISTS {k}.listed_years (workspace blob, list tinyint, visitor blob, year bigint, \
     PRIMARY KEY ((workspace, list, visitor), year)) WITH CLUSTERING ORDER BY (year DESC)",
    "CREATE TABLE IF NOT EXISTS {k}.dirty (shard int, workspace blob, conversation blob, \
     PRIMARY KEY ((shard), workspace, conversation)) WITH gc_grace_seconds = 3600",
    "CREATE TABLE IF NOT EXISTS {k}.records (kind tinyint, id blob, version bigint, write blob, value blob, \
     PRIMARY KEY ((kind, id)))",
    "CREATE TABLE IF NOT EXISTS {k}.record_ids (kind tinyint, workspace blob, slice int, id blob, \
     PRIMARY KEY ((kind, workspace, slice), id))",
];

/// A read that waits this long for one of its copies asks the third as well. The database's own choice is made of the
/// table's measured reads, and is 2.5 s before there are any: longer than an attempt, so that while one node of three
/// hung (SIGSTOP), every read that had chosen it failed until the others noticed, 16 s and more.
const THIRD_COPY_AFTER: &str = "50ms";

/// A change of the schema takes about 0.1 s a table on one node, and seconds on many that are busy.
const CHANGING: Duration = Duration::from_secs(30);

/// How long a start asks: Cassandra takes up to 10 s to take a node that was killed for gone.
const ASKING: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(100);

/// What lies in the keyspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Version(u32),
}

fn failed(options: &ScyllaOptions, error: impl std::fmt::Display) -> ScyllaOpenError {
    ScyllaOpenError::Unreachable { contact_points: options.contact_points.join(", "), reason: error.to_string() }
}

/// A statement that may be repeated, until it is answered: a start right after the loss of a node must not fail because
/// the others have not noticed it yet.
async fn ask(
    session: &Session,
    options: &ScyllaOptions,
    cql: &str,
    values: Vec<CqlValue>,
) -> Result<QueryResult, ScyllaOpenError> {
    let mut statement = Statement::new(cql);
    statement.set_is_idempotent(true);
    let until = Instant::now() + ASKING;
    loop {
        match session.query_unpaged(statement.clone(), &values).await {
            Ok(result) => return Ok(result),
            Err(error) if Instant::now() > until => return Err(failed(options, error)),
            Err(error) => tracing::debug!(%error, "the database is asked again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn rows(options: &ScyllaOptions, result: QueryResult) -> Result<QueryRowsResult, ScyllaOpenError> {
    result.into_rows_result().map_err(|error| failed(options, error))
}

/// The keyspace's name goes into statements as it is.
pub(super) fn check_settings(options: &ScyllaOptions) -> Result<(), ScyllaOpenError> {
    let wrong = |setting, reason: &str| Err(ScyllaOpenError::Setting { setting, reason: reason.to_owned() });
    let name = options.keyspace.as_bytes();
    let plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if name.len() > 48 || !name.first().is_some_and(u8::is_ascii_lowercase) || !name.iter().all(plain) {
        return wrong(
            "the keyspace",
            "it is a lower-case letter, then lower-case letters, digits and underscores, 48 at most",
        );
    }
    if options.datacentre.is_empty() || options.datacentre.contains(['\'', '"', '\\']) {
        return wrong("the datacentre", "it is empty or holds quotes");
    }
    if options.contact_points.is_empty() {
        return wrong("the list of contact points", "it is empty");
    }
    if options.replication == 0 {
        return wrong("the replication", "it is 0 copies");
    }
    if options.lease < super::options::MIN_LEASE {
        return wrong("the lease", "it is shorter than half a second");
    }
    Ok(())
}

/// Which version lies there, if any.
pub(super) async fn find(session: &Session, options: &ScyllaOptions) -> Result<Found, ScyllaOpenError> {
    let keyspace = options.keyspace.as_str();
    let name = vec![CqlValue::Text(keyspace.to_owned())];
    let made = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'meta'";
    let made = rows(options, ask(session, options, made, name).await?)?;
    if made.rows_num() == 0 {
        return Ok(Found::Nothing);
    }
    check_replication(session, options).await?;
    let version = format!("SELECT number FROM {keyspace}.meta WHERE name = 'schema'");
    let version = rows(options, ask(session, options, &version, vec![]).await?)?;
    let version = version.maybe_first_row::<(Option<i64>,)>().map_err(|error| failed(options, error))?;
    match version {
        None => Ok(Found::Nothing),
        Some((version,)) => match version.and_then(|version| u32::try_from(version).ok()) {
            Some(version) => Ok(Found::Version(version)),
            None => Err(ScyllaOpenError::Damaged {
                keyspace: keyspace.to_owned(),
                reason: format!("its version is {version:?}"),
            }),
        },
    }
}

/// An existing keyspace must have as many copies as the operator believes it has.
async fn check_replication(session: &Session, options: &ScyllaOptions) -> Result<(), ScyllaOpenError> {
    let name = vec![CqlValue::Text(options.keyspace.clone())];
    let found = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let found = rows(options, ask(session, options, found, name).await?)?;
    let found = found.maybe_first_row::<(HashMap<String, String>,)>().map_err(|error| failed(options, error))?;
    let Some((found,)) = found else { return Ok(()) };
    let by_datacentre = found.get("class").is_some_and(|class| class.ends_with("NetworkTopologyStrategy"));
    // Cassandra writes "3", or "3/1" with transient copies, which do not hold rows of their own.
    let copies = found.get(&options.datacentre).and_then(|copies| copies.parse::<u16>().ok());
    if by_datacentre && copies == Some(options.replication) {
        return Ok(());
    }
    let mut shown: Vec<_> = found.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    shown.sort();
    Err(ScyllaOpenError::Replication {
        keyspace: options.keyspace.clone(),
        found: format!("{{{}}}", shown.join(", ")),
        wanted: format!("NetworkTopologyStrategy with {}: {}", options.datacentre, options.replication),
    })
}

/// Makes what is missing. Every statement may be repeated; two at once send theirs to the same node, where one goes after
/// the other: on Cassandra two nodes that make one table at once would make two of one name.
pub(super) async fn migrate(session: &Session, options: &ScyllaOptions) -> Result<(), ScyllaOpenError> {
    let keyspace = options.keyspace.as_str();
    if let Found::Version(found) = find(session, options).await? {
        return match found {
            VERSION => Ok(()),
            newer if newer > VERSION => Err(newer_than_known(options, newer)),
            // Each later version adds its step here, from the one before it.
            older => Err(ScyllaOpenError::Damaged {
                keyspace: keyspace.to_owned(),
                reason: format!("no Bellhop ever wrote version {older}"),
            }),
        };
    }
    let state = session.get_cluster_state();
    let node: Option<Arc<Node>> = state
        .get_nodes_info()
        .iter()
        .filter(|node| node.datacenter.as_deref() == Some(options.datacentre.as_str()) && node.is_connected())
        .min_by_key(|node| node.host_id)
        .cloned();
    let change = |statement: String| {
        let mut statement = Statement::new(statement);
        if let Some(node) = &node {
            let target = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(Arc::clone(node)), None);
            statement.set_load_balancing_policy(Some(target));
        }
        statement.set_request_timeout(Some(CHANGING));
        async move { session.query_unpaged(statement, ()).await.map_err(|error| failed(options, error)) }
    };
    change(format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', '{}': {}}}",
        options.datacentre, options.replication
    ))
    .await?;
    check_replication(session, options).await?;
    for table in TABLES {
        let options = if table.contains(" WITH ") { "AND" } else { "WITH" };
        let table = table.replace("{k}", keyspace);
        change(format!("{table} {options} speculative_retry = '{THIRD_COPY_AFTER}'")).await?;
    }
    let secret = CqlValue::Blob(random::<32>(options)?.to_vec());
    let inserts: [(String, Vec<CqlValue>); 3] = [
        (format!("INSERT INTO {keyspace}.meta (name, bytes) VALUES ('secret', ?) IF NOT EXISTS"), vec![secret]),
        (
            format!(
                "INSERT INTO {keyspace}.lease (name, identity, holder, since, renewal, epoch, stamp) VALUES ('server', \
                 0x, '', 0, 0, 0, 0) IF NOT EXISTS"
            ),
            vec![],
        ),
        // The last one: whoever sees it finds everything else.
        (
            format!("INSERT INTO {keyspace}.meta (name, number) VALUES ('schema', ?) IF NOT EXISTS"),
            vec![CqlValue::BigInt(i64::from(VERSION))],
        ),
    ];
    for (insert, values) in inserts {
        // May be repeated: the first to insert wins, and the others find it there.
        ask(session, options, &insert, values).await?;
    }
    tracing::info!(keyspace, version = VERSION, "tables made");
    Ok(())
}

pub(super) fn newer_than_known(options: &ScyllaOptions, found: u32) -> ScyllaOpenError {
    ScyllaOpenError::Newer { keyspace: options.keyspace.clone(), found, known: VERSION }
}

/// Random bytes from the system.
pub(super) fn random<const N: usize>(options: &ScyllaOptions) -> Result<[u8; N], ScyllaOpenError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| failed(options, error))?;
    Ok(bytes)
}
