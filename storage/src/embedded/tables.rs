//! The keyspaces of the embedded store. Plain leveled trees without key-value separation, never cleared (design page).

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::keys::Place;

/// Their names in the order in which a new database makes them; `keyspaces/0` is fjall's own.
pub(super) const NAMES: [&str; 5] = ["meta", "events", "workspaces", "directory", "dirty"];

/// The open database.
pub(super) struct Tables {
    pub(super) db: Database,
    pub(super) meta: Keyspace,
    pub(super) events: Keyspace,
    pub(super) workspaces: Keyspace,
    pub(super) directory: Keyspace,
    pub(super) dirty: Keyspace,
}

impl Tables {
    /// Opens every keyspace, making those that are missing: the caller has checked that none may be.
    pub(super) fn open(db: Database) -> fjall::Result<Self> {
        let open = |name| db.keyspace(name, KeyspaceCreateOptions::default);
        let [meta, events, workspaces, directory, dirty] = NAMES;
        Ok(Self {
            meta: open(meta)?,
            events: open(events)?,
            workspaces: open(workspaces)?,
            directory: open(directory)?,
            dirty: open(dirty)?,
            db,
        })
    }

    pub(super) fn of(&self, place: Place) -> &Keyspace {
        match place {
            Place::Workspaces => &self.workspaces,
            Place::Directory => &self.directory,
        }
    }
}
