//! Every statement, prepared once: each names its whole partition, so that the driver sends it to a node that has it.

use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::statement::prepared::PreparedStatement;

use super::options::ScyllaConsistency;

/// Rows of one page: a page of the longest events is then about 1 MB.
const PAGE_ROWS: i32 = 500;

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $kind:ident $cql:literal;)*) => {
        pub(super) struct Statements {
            $($(#[$doc])* pub(super) $name: PreparedStatement,)*
        }

        impl Statements {
            pub(super) async fn prepare(
                session: &Session,
                keyspace: &str,
                consistency: ScyllaConsistency,
            ) -> Result<Self, PrepareError> {
                Ok(Self {
                    $($name: prepare(session, $cql.replace("{k}", keyspace), Kind::$kind, consistency).await?,)*
                })
            }
        }
    };
}

enum Kind {
    /// A read, or a write with its own timestamp: may be sent twice.
    Plain,
    /// A condition that cannot hold twice, and whose repetition its sender can tell from another's: may be sent twice.
    Guarded,
    /// Sent once; after a time-out it is read back first.
    Once,
    /// A read that sees every condition decided before it.
    Serial,
}

async fn prepare(
    session: &Session,
    cql: String,
    kind: Kind,
    consistency: ScyllaConsistency,
) -> Result<PreparedStatement, PrepareError> {
    let mut statement = session.prepare(cql).await?;
    statement.set_page_size(PAGE_ROWS);
    statement.set_is_idempotent(!matches!(kind, Kind::Once));
    if let Kind::Serial = kind {
        statement.set_consistency(consistency.of_serial_reads());
    }
    Ok(statement)
}

statements! {
    put_event: Plain "INSERT INTO {k}.events (workspace, conversation, bucket, seq, epoch, first, last, value) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    drop_events: Plain "DELETE FROM {k}.events USING TIMESTAMP ? WHERE workspace = ? AND conversation = ? AND \
        bucket = ? AND seq >= ?";
    drop_partition: Plain "DELETE FROM {k}.events USING TIMESTAMP ? WHERE workspace = ? AND conversation = ? AND \
        bucket = ?";
    events_from: Plain "SELECT seq, epoch, first, last, value FROM {k}.events WHERE workspace = ? AND conversation = ? \
        AND bucket = ? AND seq >= ?";
    first_event: Plain "SELECT seq FROM {k}.events WHERE workspace = ? AND conversation = ? AND bucket = 0 LIMIT 1";
    buckets_after: Plain "SELECT DISTINCT workspace, conversation, bucket FROM {k}.events \
        WHERE token(workspace, conversation, bucket) > ?";

    projection: Plain "SELECT epoch, seq, places FROM {k}.projections WHERE workspace = ? AND conversation = ?";
    projected_seq: Plain "SELECT seq FROM {k}.projections WHERE workspace = ? AND conversation = ?";
    projected_state: Plain "SELECT state FROM {k}.projections WHERE workspace = ? AND conversation = ?";
    projected_row: Plain "SELECT row FROM {k}.projections WHERE workspace = ? AND conversation = ?";
    put_places: Plain "INSERT INTO {k}.projections (workspace, conversation, places) VALUES (?, ?, ?) \
        USING TIMESTAMP ?";
    put_projection: Plain "INSERT INTO {k}.projections (workspace, conversation, epoch, seq, row, state, places) \
        VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    drop_projection: Plain "DELETE FROM {k}.projections USING TIMESTAMP ? WHERE workspace = ? AND conversation = ?";
    projections_after: Plain "SELECT DISTINCT workspace, conversation FROM {k}.projections \
        WHERE token(workspace, conversation) > ?";
    read_marks: Plain "SELECT side, reader, value FROM {k}.read_marks WHERE workspace = ? AND conversation = ?";
    put_read_mark: Plain "INSERT INTO {k}.read_marks (workspace, conversation, side, reader, value) \
        VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    dated_read_marks: Plain "SELECT side, reader, value, WRITETIME(value) FROM {k}.read_marks WHERE workspace = ? AND \
        conversation = ?";
    drop_read_mark: Plain "DELETE FROM {k}.read_marks USING TIMESTAMP ? WHERE workspace = ? AND conversation = ? AND \
        side = ? AND reader = ?";

    open_after: Plain "SELECT conversation, row FROM {k}.listed_open WHERE workspace = ? AND slice = ? AND \
        conversation > ? LIMIT ?";
    opens_after: Plain "SELECT DISTINCT workspace, slice FROM {k}.listed_open WHERE token(workspace, slice) > ?";
    open_entries: Plain "SELECT conversation FROM {k}.listed_open WHERE workspace = ? AND slice = ?";
    put_open: Plain "INSERT INTO {k}.listed_open (workspace, slice, conversation, row) VALUES (?, ?, ?, ?) \
        USING TIMESTAMP ?";
    drop_open: Plain "DELETE FROM {k}.listed_open USING TIMESTAMP ? WHERE workspace = ? AND slice = ? AND \
        conversation = ?";
    listed: Plain "SELECT at, conversation, row FROM {k}.listed WHERE workspace = ? AND list = ? AND visitor = ? AND \
        hour = ? LIMIT ?";
    listed_at: Plain "SELECT at, conversation, row FROM {k}.listed WHERE workspace = ? AND list = ? AND visitor = ? AND \
        hour = ? AND at = ? AND conversation > ? LIMIT ?";
    listed_before: Plain "SELECT at, conversation, row FROM {k}.listed WHERE workspace = ? AND list = ? AND \
        visitor = ? AND hour = ? AND at < ? LIMIT ?";
    listeds_after: Plain "SELECT DISTINCT workspace, list, visitor, hour FROM {k}.listed \
        WHERE token(workspace, list, visitor, hour) > ?";
    listed_entries: Plain "SELECT at, conversation FROM {k}.listed WHERE workspace = ? AND list = ? AND visitor = ? AND \
        hour = ?";
    put_listed: Plain "INSERT INTO {k}.listed (workspace, list, visitor, hour, at, conversation, row) \
        VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    drop_listed: Plain "DELETE FROM {k}.listed USING TIMESTAMP ? WHERE workspace = ? AND list = ? AND visitor = ? AND \
        hour = ? AND at = ? AND conversation = ?";
    hours: Plain "SELECT hour FROM {k}.listed_hours WHERE workspace = ? AND list = ? AND visitor = ? AND year = ? AND \
        hour <= ?";
    put_hour: Plain "INSERT INTO {k}.listed_hours (workspace, list, visitor, year, hour) VALUES (?, ?, ?, ?, ?)";
    years: Plain "SELECT year FROM {k}.listed_years WHERE workspace = ? AND list = ? AND visitor = ? AND year <= ?";
    put_year: Plain "INSERT INTO {k}.listed_years (workspace, list, visitor, year) VALUES (?, ?, ?, ?)";

    dirty: Plain "SELECT workspace, conversation FROM {k}.dirty WHERE shard = ?";
    put_dirty: Plain "INSERT INTO {k}.dirty (shard, workspace, conversation) VALUES (?, ?, ?) USING TIMESTAMP ?";
    drop_dirty: Plain "DELETE FROM {k}.dirty USING TIMESTAMP ? WHERE shard = ? AND workspace = ? AND conversation = ?";

    record: Plain "SELECT value FROM {k}.records WHERE kind = ? AND id = ?";
    record_now: Serial "SELECT version, write FROM {k}.records WHERE kind = ? AND id = ?";
    make_record: Once "INSERT INTO {k}.records (kind, id, version, write, value) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
    change_record: Once "UPDATE {k}.records SET version = ?, write = ?, value = ? WHERE kind = ? AND id = ? \
        IF version = ?";
    drop_record: Guarded "DELETE FROM {k}.records WHERE kind = ? AND id = ? IF EXISTS";
    record_ids: Plain "SELECT id FROM {k}.record_ids WHERE kind = ? AND workspace = ? AND slice = ? AND id > ? LIMIT ?";
    put_record_id: Plain "INSERT INTO {k}.record_ids (kind, workspace, slice, id) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    drop_record_id: Plain "DELETE FROM {k}.record_ids USING TIMESTAMP ? WHERE kind = ? AND workspace = ? AND \
        slice = ? AND id = ?";

    lease: Serial "SELECT identity, holder, since, renewal, epoch, stamp FROM {k}.lease WHERE name = 'server'";
    take_lease: Once "UPDATE {k}.lease SET identity = ?, holder = ?, since = ?, renewal = ?, epoch = ?, stamp = ? \
        WHERE name = 'server' IF renewal = ? AND epoch = ?";
    /// Its number only rises, so that a late repetition never makes the row look as it did before.
    renew_lease: Guarded "UPDATE {k}.lease SET renewal = ?, stamp = ? WHERE name = 'server' \
        IF identity = ? AND epoch = ? AND renewal < ?";
    release_lease: Guarded "UPDATE {k}.lease SET identity = 0x, holder = '', renewal = ?, stamp = ? \
        WHERE name = 'server' IF identity = ? AND epoch = ? AND renewal < ?";
    secret: Serial "SELECT bytes FROM {k}.meta WHERE name = 'secret'";
}
