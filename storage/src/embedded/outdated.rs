//! Tables whose rows lie in newer ones are unlinked here, one by one.
//!
//! fjall unlinks a table when it lets go of the last list that names it, and does so under the lock that every write
//! to its keyspace takes. Unlinking 64 MiB takes ext4 about 13 ms, and a merge leaves up to a dozen: nobody was
//! acknowledged for 60 to 110 ms. So another handle on each table is kept here until fjall has dropped its own.

use std::collections::{BTreeSet, VecDeque};

use fjall::{AbstractTree, Keyspace};
use lsm_tree::{Table, TableId};

use super::tables::{NAMES, Tables};

/// Tables of a keyspace that wait: if fjall keeps old lists for so long, whoever lets go last unlinks them. 8 GiB.
const WAITING: usize = 128;

/// The tables of a keyspace.
struct Held {
    /// The number of the list that names them.
    version: u64,
    tables: Vec<Table>,
    /// No longer in the list.
    outdated: VecDeque<Table>,
}

pub(super) struct Outdated([Held; NAMES.len()]);

impl Outdated {
    pub(super) fn new(tables: &Tables) -> Self {
        Self(tables.all().map(|keyspace| {
            let (version, tables) = listed(keyspace);
            Held { version, tables, outdated: VecDeque::new() }
        }))
    }

    /// Lets go of one table of each keyspace at most.
    pub(super) fn step(&mut self, tables: &Tables) {
        for (held, keyspace) in self.0.iter_mut().zip(tables.all()) {
            held.step(keyspace);
        }
    }
}

impl Held {
    fn step(&mut self, keyspace: &Keyspace) {
        if keyspace.tree.current_version().id() != self.version {
            let (version, tables) = listed(keyspace);
            let named: BTreeSet<TableId> = tables.iter().map(|table| table.id()).collect();
            let before = std::mem::replace(&mut self.tables, tables);
            self.outdated.extend(before.into_iter().filter(|table| !named.contains(&table.id())));
            self.version = version;
        }
        // While fjall holds older lists, it is not the last one here who would unlink. It drops them when a memory table
        // of any keyspace is full: under load every few seconds.
        let ours = !self.outdated.is_empty() && keyspace.tree.version_free_list_len() == 0;
        if ours || self.outdated.len() > WAITING {
            drop(self.outdated.pop_front());
        }
    }
}

fn listed(keyspace: &Keyspace) -> (u64, Vec<Table>) {
    let version = keyspace.tree.current_version();
    (version.id(), version.iter_tables().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(keyspace: &Keyspace) -> usize {
        std::fs::read_dir(keyspace.path().join(lsm_tree::file::TABLES_FOLDER)).unwrap().count()
    }

    fn write_out(keyspace: &Keyspace, key: &str) {
        keyspace.insert(key, "value").unwrap();
        keyspace.rotate_memtable_and_wait().unwrap();
    }

    #[test]
    fn merged_tables_are_unlinked_here_and_not_by_fjall() {
        let tables = Tables::for_test("outdated");
        ["a", "b", "c"].iter().for_each(|key| write_out(&tables.events, key));
        let mut outdated = Outdated::new(&tables);
        assert_eq!(files(&tables.events), 3);
        tables.events.major_compact().unwrap();
        outdated.step(&tables);
        assert_eq!(files(&tables.events), 4, "fjall still holds the old list");
        // fjall lets go of old lists when a memory table is full.
        write_out(&tables.meta, "key");
        assert_eq!(files(&tables.events), 4, "and did not unlink the last handles' files");
        outdated.step(&tables);
        assert_eq!(files(&tables.events), 3, "one at a time");
        (0..2).for_each(|_| outdated.step(&tables));
        assert_eq!(files(&tables.events), 1);
        assert_eq!(tables.events.get("b").unwrap().as_deref(), Some(&b"value"[..]));
    }
}
