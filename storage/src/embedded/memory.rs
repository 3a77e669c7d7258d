//! Memory tables that fjall is done with are freed here: beside the writes, and little by little.
//!
//! fjall keeps what was written lately in memory tables, and lets go of one, after it was written out, under the lock
//! that every write to its keyspace takes. It holds up to 200,000 entries of three allocations each, and freeing them took
//! 60 ms, in which nobody was acknowledged: at half of the peak p99 was 43 ms for that alone. So another handle on each
//! table is kept here until fjall has dropped its own, and then the entries are taken out a few at a time: all at once
//! they take a core from those who write (p99.9 at half of the peak 63 for 46 ms in one pair of runs; with mimalloc it was
//! far worse, see gateway/src/main.rs).

use std::sync::Arc;

use fjall::AbstractTree;
use lsm_tree::Memtable;

use super::janitor::{Janitor, TICK};
use super::tables::{NAMES, Tables};

/// Entries that are freed in a tick: about 100,000 a second, twice what a server of two cores writes.
const ENTRIES: usize = 256;
const _: () = assert!(ENTRIES as u128 * 1_000 / TICK.as_millis() > 100_000);

/// The active memory table of each keyspace, as it was after the last commit.
pub(super) struct Memory {
    active: [Arc<Memtable>; NAMES.len()],
    janitor: Janitor,
}

impl Memory {
    pub(super) fn watch(tables: &Tables, janitor: Janitor) -> Self {
        Self { active: active(tables), janitor }
    }

    /// After a commit: a table that is no longer the active one is kept until fjall has let go of it.
    pub(super) fn look(&mut self, tables: &Tables) {
        for (held, now) in self.active.iter_mut().zip(active(tables)) {
            if !Arc::ptr_eq(held, &now) {
                self.janitor.retire(std::mem::replace(held, now));
            }
        }
    }
}

fn active(tables: &Tables) -> [Arc<Memtable>; NAMES.len()] {
    tables.all().map(|keyspace| keyspace.tree.active_memtable())
}

/// Tables that fjall may still hold, and one that nobody does and that is being emptied.
#[derive(Default)]
pub(super) struct Retired {
    held: Vec<Arc<Memtable>>,
    emptied: Option<Arc<Memtable>>,
}

impl Retired {
    pub(super) fn take(&mut self, table: Arc<Memtable>) {
        self.held.push(table);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.emptied.is_none()
    }

    /// Frees some entries. All of a table `at_once` if others wait to be taken over already: whoever writes so much gets the
    /// memory back.
    pub(super) fn step(&mut self, at_once: bool) {
        if self.emptied.is_none()
            && let Some(free) = self.held.iter().position(|table| Arc::strong_count(table) == 1)
        {
            self.emptied = Some(self.held.swap_remove(free));
        }
        self.emptied.take_if(|table| at_once || !empty(table, ENTRIES));
    }
}

/// Takes so many entries out; false when there are no more.
fn empty(table: &Memtable, entries: usize) -> bool {
    (0..entries).all(|_| table.items.pop_front().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_was_written_out_is_taken_over_and_no_other_one() {
        let tables = Tables::for_test("taken");
        let (janitor, inbox) = Janitor::for_test();
        let mut memory = Memory::watch(&tables, janitor);
        tables.events.insert("key", "value").unwrap();
        memory.look(&tables);
        assert!(inbox.try_recv().is_err(), "it is written to");
        tables.events.rotate_memtable_and_wait().unwrap();
        memory.look(&tables);
        memory.look(&tables);
        assert_eq!(inbox.try_iter().map(|table| table.len()).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_table_is_emptied_little_by_little_once_nobody_else_holds_it() {
        let tables = Tables::for_test("emptied");
        (0..1_000_u32).for_each(|key| tables.events.insert(key.to_be_bytes(), "value").unwrap());
        let table = tables.events.tree.active_memtable();
        let mut retired = Retired::default();
        retired.take(Arc::clone(&table));
        retired.step(false);
        assert_eq!(table.len(), 1_000, "fjall holds it, and so do we");
        tables.events.rotate_memtable_and_wait().unwrap();
        tables.meta.insert("key", "value").unwrap();
        tables.meta.rotate_memtable_and_wait().unwrap();
        drop(table);
        let left = |retired: &Retired| retired.emptied.as_ref().map(|table| table.len());
        retired.step(false);
        assert_eq!(left(&retired), Some(1_000 - ENTRIES));
        retired.step(false);
        assert_eq!(left(&retired), Some(1_000 - 2 * ENTRIES));
        retired.step(true);
        assert!(retired.is_empty());
    }
}
