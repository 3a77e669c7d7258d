//! The janitor: a thread that takes off fjall's hands, little by little, what fjall would do in one go in front of all
//! writes.
//!
//! What is written lately is written out as a table about every ten seconds under load, and tables are merged (events by
//! [`merging`](super::merging)). Three things of that stood in front of acknowledgements (25,000 messages a second, 2 cores,
//! an ext4 disk of 0.5 GB/s): entries of memory were freed under a lock ([`memory`](super::memory)), a table went to the disk
//! in one burst ([`writeback`](super::writeback)), and merged tables were unlinked under a lock
//! ([`outdated`](super::outdated)).
//! With the latter two taken off, p99.9 over 100 s was 14 and 14 ms for 43 before, and the longest wait 33 and 47 ms for 110.
//!
//! The thread does not stand back as fjall's do: with it so, p99.9 at half of the peak was 6 and 14 times the bare router's
//! in two runs, and 2 times in two without.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fjall::AbstractTree;
use lsm_tree::Memtable;

use super::Closable;
use super::memory::Retired;
use super::merging::Merging;
use super::open::Opened;
use super::outdated::Outdated;
use super::tables::Tables;
use super::writeback::Writeback;

/// Between two looks while there is something to do: a table grows by half a megabyte.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// After the last thing to do it goes on looking for so long: a merge begins a moment after a table is written.
const LINGER: Duration = Duration::from_secs(1);

/// Memory tables that wait to be taken over.
const WAITING: usize = 8;

/// The thread as the one who feeds it holds it. Dropping it ends the thread, and waits for that.
pub(super) struct Janitor {
    retired: Option<SyncSender<Arc<Memtable>>>,
    thread: Option<JoinHandle<()>>,
}

impl Janitor {
    pub(super) fn start(store: Arc<Closable<Opened>>) -> std::io::Result<Self> {
        let (retired, inbox) = sync_channel(WAITING);
        let merging = store.with(|opened| Merging::start(&opened.tables)).map_err(std::io::Error::other)??;
        let thread = std::thread::Builder::new().name("bellhop-janitor".to_owned()).spawn(move || {
            // All the while: the store is closed after this thread has ended, by whoever dropped the janitor.
            let _closed = store.with(|opened| run(&inbox, &opened.tables, merging));
        })?;
        Ok(Self { retired: Some(retired), thread: Some(thread) })
    }

    /// A memory table that is no longer written to. If too many wait, fjall frees it: slower for those who write, and right
    /// as well.
    pub(super) fn retire(&self, table: Arc<Memtable>) {
        if let Some(retired) = &self.retired {
            let _full = retired.try_send(table);
        }
    }

    #[cfg(test)]
    pub(super) fn for_test() -> (Self, Receiver<Arc<Memtable>>) {
        let (retired, inbox) = sync_channel(WAITING);
        (Self { retired: Some(retired), thread: None }, inbox)
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        self.retired = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the janitor of the store panicked; nothing that was acknowledged is lost");
        }
    }
}

fn run(inbox: &Receiver<Arc<Memtable>>, tables: &Tables, mut merging: Option<Merging>) {
    let mut retired = Retired::default();
    let mut writeback = Writeback::new(tables);
    let mut outdated = Outdated::new(tables);
    let mut busy_until = Instant::now() + LINGER;
    loop {
        // A table is written out, and tables are merged, only after one of memory is retired: until then there is nothing.
        let next = match Instant::now() < busy_until {
            true => inbox.recv_timeout(TICK),
            false => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(table) => retired.take(table),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let others = inbox.try_iter().map(|table| retired.take(table)).count();
        writeback.step();
        outdated.step(tables);
        retired.step(others > 0);
        let merges = merging.as_mut().is_some_and(Merging::step);
        if merges || !retired.is_empty() || works(tables) {
            busy_until = Instant::now() + LINGER;
        }
    }
}

/// Whether fjall writes tables.
fn works(tables: &Tables) -> bool {
    tables.db.active_compactions() > 0 || tables.all().iter().any(|it| it.tree.sealed_memtable_count() > 0)
}
