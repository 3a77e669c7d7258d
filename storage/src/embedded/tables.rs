//! The keyspaces of the embedded store. Plain trees without key-value separation, never cleared (design page); leveled, but
//! for events (`merging.rs`).

use std::sync::Arc;

use fjall::config::{FilterPolicy, PartitioningPolicy};
use fjall::{AbstractTree, Database, Keyspace, KeyspaceCreateOptions};

use super::keys::Place;
use super::merging::{self, Stop};

/// Their names in the order in which a new database makes them; `keyspaces/0` is fjall's own.
pub(super) const NAMES: [&str; 5] = ["meta", EVENTS, "workspaces", "directory", "dirty"];

pub(super) const EVENTS: &str = "events";

/// Memory for `events` before it is written out. Half of it left p99 at half of the peak at 16 to 24 ms for 2 to 7, and
/// that of the peak at 3.4 ms for 2.3: as much is written out, but twice as often; twice as much was no better.
const EVENTS_MEMORY_BYTES: u64 = 64 * 1024 * 1024;

/// Memory for each other keyspace before it is written out: they are written to far less often.
const MEMORY_BYTES: u64 = 32 * 1024 * 1024;

/// Memory for `meta` before it is written out: 30,000 commits, so that it is about once a minute under full load.
const META_MEMORY_BYTES: u64 = 4 * 1024 * 1024;

/// The open database.
pub(super) struct Tables {
    pub(super) db: Database,
    pub(super) meta: Keyspace,
    pub(super) events: Keyspace,
    pub(super) workspaces: Keyspace,
    pub(super) directory: Keyspace,
    pub(super) dirty: Keyspace,
    /// Ends merges of `events`.
    pub(super) stop: Stop,
}

impl Tables {
    /// Opens every keyspace, making those that are missing: the caller has checked that none may be. `stop` ends merges.
    pub(super) fn open(db: Database, stop: Stop) -> fjall::Result<Self> {
        let open = |name| {
            let options = KeyspaceCreateOptions::default();
            db.keyspace(name, || match name {
                // Every commit writes its number there, and only the last one matters.
                "meta" => options.max_memtable_size(META_MEMORY_BYTES),
                EVENTS => options
                    .max_memtable_size(EVENTS_MEMORY_BYTES)
                    .compaction_strategy(Arc::new(merging::never()))
                    // Of what is merged, 4 GiB in each of up to 8 runs and more, only the index of an index lies in memory.
                    .index_block_partitioning_policy(PartitioningPolicy::new([false, true]))
                    // Read by ranges only, which no filter answers: without one a message takes 8 % less of processor.
                    .filter_policy(FilterPolicy::disabled()),
                _ => options.max_memtable_size(MEMORY_BYTES),
            })
        };
        let [meta, events, workspaces, directory, dirty] = NAMES;
        Ok(Self {
            meta: open(meta)?,
            events: open(events)?,
            workspaces: open(workspaces)?,
            directory: open(directory)?,
            dirty: open(dirty)?,
            db,
            stop,
        })
    }

    /// Those of a database that ends with them.
    #[cfg(test)]
    pub(super) fn for_test(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bellhop-tables-{name}-{}", std::process::id()));
        let stop = Stop::default();
        let db = Database::builder(path).temporary(true).with_compaction_filter_factories(stop.filters());
        Self::open(db.open().unwrap(), stop).unwrap()
    }

    /// Every keyspace, in the order of [`NAMES`].
    pub(super) fn all(&self) -> [&Keyspace; NAMES.len()] {
        [&self.meta, &self.events, &self.workspaces, &self.directory, &self.dirty]
    }

    /// The highest sequence number that lies in a table. fjall syncs the journal before it writes a table from memory,
    /// so that no journal can rightly end below.
    pub(super) fn highest_in_tables(&self) -> Option<u64> {
        self.all().into_iter().filter_map(|keyspace| keyspace.tree.get_highest_persisted_seqno()).max()
    }

    pub(super) fn of(&self, place: Place) -> &Keyspace {
        match place {
            Place::Workspaces => &self.workspaces,
            Place::Directory => &self.directory,
        }
    }
}
