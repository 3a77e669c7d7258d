//! Memory tables that fjall is done with are freed here: beside the writes, and little by little.
//!
//! fjall keeps what was written lately in memory tables, and lets go of one, after it was written out, under the lock
//! that every write to its keyspace takes. It holds up to 200,000 entries of three allocations each, and freeing them took
//! 60 ms, in which nobody was acknowledged: at half of the peak p99 was 43 ms for that alone. So another handle on each
//! table is kept here until fjall has dropped its own, and then the entries are taken out a few at a time: all at once
//! they take a core from those who write (p99.9 at half of the peak 63 for 46 ms in one pair of runs; with mimalloc it was
//! far worse, see gateway/src/main.rs). The thread does not stand back as fjall's do: with it so, p99.9 was 6 and 14 times
//! the bare router's in two runs, and 2 times in two without.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use fjall::AbstractTree;
use lsm_tree::Memtable;

use super::tables::{NAMES, Tables};

/// How often it is looked whether fjall has let go: a table lives for seconds at full load.
const LOOK: Duration = Duration::from_millis(100);

/// Entries that are freed between two pauses, and how long these are: about 100,000 entries a second, twice what a
/// server of two cores writes.
const ENTRIES: usize = 128;
const PAUSE: Duration = Duration::from_millis(1);

/// Tables that wait to be taken over.
const WAITING: usize = 8;

/// The active memory table of each keyspace, as it was after the last commit.
pub(super) struct Memory {
    active: [Arc<Memtable>; NAMES.len()],
    retired: Sender<Arc<Memtable>>,
}

impl Memory {
    pub(super) fn watch(tables: &Tables) -> std::io::Result<Self> {
        let (retired, inbox) = crossbeam_channel::bounded(WAITING);
        std::thread::Builder::new().name("bellhop-memory".to_owned()).spawn(move || free(&inbox))?;
        Ok(Self { active: active(tables), retired })
    }

    /// After a commit: a table that is no longer the active one is kept until fjall has let go of it.
    pub(super) fn look(&mut self, tables: &Tables) {
        for (held, now) in self.active.iter_mut().zip(active(tables)) {
            if !Arc::ptr_eq(held, &now) {
                // If too many wait, it is freed by fjall: slower for those who write, and right as well.
                let _full = self.retired.try_send(std::mem::replace(held, now));
            }
        }
    }
}

fn active(tables: &Tables) -> [Arc<Memtable>; NAMES.len()] {
    tables.all().map(|keyspace| keyspace.tree.active_memtable())
}

/// Frees what nobody else holds any more, until the watching ends.
fn free(inbox: &Receiver<Arc<Memtable>>) {
    let mut held: Vec<Arc<Memtable>> = Vec::new();
    loop {
        let next = match held.is_empty() {
            true => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => inbox.recv_timeout(LOOK),
        };
        match next {
            Ok(table) => held.push(table),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Some(free) = held.iter().position(|table| Arc::strong_count(table) == 1) {
            let table = held.swap_remove(free);
            // Whoever writes so much that others wait already gets the memory back at once.
            while inbox.is_empty() && empty(&table, ENTRIES) {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// Takes so many entries out; false when there are no more.
fn empty(table: &Memtable, entries: usize) -> bool {
    (0..entries).all(|_| table.items.pop_front().is_some())
}

#[cfg(test)]
mod tests {
    use fjall::Database;

    use super::*;

    fn tables(name: &str) -> Tables {
        let path = std::env::temp_dir().join(format!("bellhop-memory-{name}-{}", std::process::id()));
        let database = Database::builder(path).temporary(true).open().unwrap();
        Tables::open(database).unwrap()
    }

    #[test]
    fn a_table_that_was_written_out_is_taken_over_and_no_other_one() {
        let tables = tables("taken");
        let (retired, inbox) = crossbeam_channel::bounded(WAITING);
        let mut memory = Memory { active: active(&tables), retired };
        tables.events.insert("key", "value").unwrap();
        memory.look(&tables);
        assert!(inbox.is_empty(), "it is written to");
        tables.events.rotate_memtable_and_wait().unwrap();
        memory.look(&tables);
        memory.look(&tables);
        assert_eq!(inbox.try_iter().map(|table| table.len()).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_table_is_emptied_once_nobody_else_holds_it() {
        let tables = tables("emptied");
        (0..1_000_u32).for_each(|key| tables.events.insert(key.to_be_bytes(), "value").unwrap());
        let table = tables.events.tree.active_memtable();
        let freed = |table: &Arc<Memtable>| {
            let (retired, inbox) = crossbeam_channel::bounded(WAITING);
            retired.send(Arc::clone(table)).unwrap();
            drop(retired);
            free(&inbox);
        };
        freed(&table);
        assert_eq!(table.len(), 1_000, "fjall holds it, and so do we");
        assert!(empty(&table, 600) && !empty(&table, 600));
        assert!(table.is_empty());
    }
}
