//! Tables of events are merged in tiers, by threads of our own.
//!
//! fjall merges in levels: what is written out goes into a level whose tables lie side by side, and when that is full, a
//! part of it is written again together with what it overlaps in the next, ten times as large. Ids are hashes, so that
//! everything overlaps: beside 10 million stored events each new one was written about ten times, which took 5 to 10 µs of
//! processor a message where all else of engine and store takes 15. That work buys little here. Events are written once and
//! never changed, so that nothing is outdated that a merge could leave out, and they are read by the few who come back.
//!
//! So [`FANOUT`] runs of a tier are merged into one of the next: 8 tables of 64 MiB into 512 MiB, 8 of those into 4 GiB,
//! and those stay. Each event is written three times, however many are stored: once from memory, and once a merge, 1 µs of
//! processor each. (Cassandra's SizeTieredCompactionStrategy and RocksDB's universal compaction choose so too, for what is
//! written far more than read.) The price is paid by a read, which looks into up to 8 runs of each tier and one more for
//! each 4 GiB, 15 million events: a few microseconds each where the page cache has it.
//!
//! fjall merges in levels or not at all. So it is told never to merge events ([`never`]), which it remembers with a keyspace,
//! and this does, with the two steps of a strategy that lsm-tree has. A directory that was made before goes on with fjall's
//! levels ([`is_ours`]).
//!
//! | fjall's level | |
//! |---|---|
//! | 0 | written from memory: tables of 64 MiB |
//! | 1 | where those are merged to; when the next one comes, the one before moves on, which copies nothing |
//! | 2 | runs of 512 MiB |
//! | 3 | where those are merged to |
//! | 4 | runs of 4 GiB |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use fjall::compaction::Leveled;
use fjall::compaction::filter::{CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict};
use fjall::{AbstractTree, Keyspace};
use lsm_tree::compaction::{CompactionStrategy, MoveDown, PullDown};

use super::background;
use super::tables::{EVENTS, Tables};

/// Runs of a tier that become one of the next. More are fewer copies and more places to look; fjall slows writers down at
/// 20 tables that are not merged.
const FANOUT: usize = 8;

/// The levels in which runs gather until they are merged into the next level. A merge of the last takes and frees 4 GiB,
/// and about ten seconds of a core; one tier more would be 32 GiB and minutes, for a fourth copy of everything.
const TIERS: [u8; 2] = [0, 2];

/// What fjall is told: a level is full with 255 tables of a tebibyte.
pub(super) fn never() -> Leveled {
    Leveled::default().with_l0_threshold(u8::MAX).with_table_target_size(1 << 40)
}

/// Whether the keyspace was made to be merged here.
fn is_ours(keyspace: &Keyspace) -> bool {
    keyspace.config.compaction_strategy.get_config() == never().get_config()
}

/// By the name of a keyspace.
type Filters = Arc<dyn Fn(&str) -> Option<Arc<dyn Factory>> + Send + Sync>;

/// Ends a merge that is under way: what it has written so far is dropped, and what it read stays.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// As fjall takes it: a filter of what goes through a merge, which leaves nothing out.
    pub(super) fn filters(&self) -> Filters {
        let stop = self.clone();
        Arc::new(move |keyspace| match keyspace {
            EVENTS => Some(Arc::new(stop.clone())),
            _ => None,
        })
    }

    fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Factory for Stop {
    fn name(&self) -> &'static str {
        "bellhop-stop"
    }

    fn make_filter(&self, _merge: &Context) -> Box<dyn CompactionFilter> {
        Box::new(self.clone())
    }
}

impl CompactionFilter for Stop {
    fn filter_item(&mut self, _item: ItemAccessor<'_>, _merge: &Context) -> CompactionFilterResult {
        match self.asked() {
            true => Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into()),
            false => Ok(Verdict::Keep),
        }
    }
}

/// A thread for each tier, so that small merges need not wait for a large one. Dropping it ends what they do.
pub(super) struct Merging {
    tiers: Vec<Tier>,
    events: Keyspace,
    stop: Stop,
    /// Merges that were asked for and have not ended.
    under_way: Arc<AtomicUsize>,
    /// The number of the list of tables that was looked at last.
    seen: Option<u64>,
}

struct Tier {
    level: u8,
    asked: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Merging {
    /// `None` where fjall merges.
    pub(super) fn start(tables: &Tables) -> std::io::Result<Option<Self>> {
        if !is_ours(&tables.events) {
            return Ok(None);
        }
        let (events, stop) = (tables.events.clone(), tables.stop.clone());
        let mut merging = Self { tiers: Vec::new(), events, stop, under_way: Arc::default(), seen: None };
        for level in TIERS {
            let (asked, inbox) = sync_channel(1);
            let (events, stop) = (merging.events.clone(), merging.stop.clone());
            let under_way = Arc::clone(&merging.under_way);
            let thread = std::thread::Builder::new()
                .name("bellhop-merge".to_owned())
                .spawn(move || run(&inbox, level, &events, &stop, &under_way))?;
            merging.tiers.push(Tier { level, asked, thread });
        }
        Ok(Some(merging))
    }

    /// Asks for what is to be merged. Returns whether something is.
    pub(super) fn step(&mut self) -> bool {
        let version = self.events.tree.current_version().id();
        if self.seen.replace(version) != Some(version) {
            for tier in self.tiers.iter().filter(|tier| is_full(&self.events, tier.level)) {
                self.under_way.fetch_add(1, Ordering::Relaxed);
                if tier.asked.try_send(()).is_err() {
                    // It was asked already.
                    self.under_way.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        self.under_way.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::Relaxed);
        for Tier { asked, thread, .. } in self.tiers.drain(..) {
            drop(asked);
            if thread.join().is_err() {
                tracing::error!("a merge of tables panicked; nothing that was acknowledged is lost");
            }
        }
    }
}

fn run(inbox: &Receiver<()>, level: u8, events: &Keyspace, stop: &Stop, under_way: &AtomicUsize) {
    background::stand_back();
    for () in inbox {
        // lsm-tree asserts that its blocks are what it once wrote.
        match catch_unwind(AssertUnwindSafe(|| merge(events, level))) {
            Ok(Ok(())) => {}
            _ if stop.asked() => {}
            Ok(Err(error)) => tracing::error!(%error, level, "tables of events could not be merged; reads take longer"),
            Err(_) => tracing::error!(level, "a table of events breaks an assumption of its reader, and is not merged"),
        }
        under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes one run of a level's in the level below it, if it is full.
fn merge(events: &Keyspace, level: u8) -> lsm_tree::Result<()> {
    // No row is ever changed, so that none is older than somebody's snapshot of it: with 0 all are kept.
    let compact = |strategy: Arc<dyn CompactionStrategy>| events.tree.compact(strategy, 0);
    if !is_full(events, level) {
        return Ok(());
    }
    if runs(events, level + 1) > 0 {
        compact(Arc::new(MoveDown(level + 1, level + 2)))?;
    }
    compact(Arc::new(PullDown(level, level + 1)))
}

fn is_full(events: &Keyspace, level: u8) -> bool {
    runs(events, level) >= FANOUT
}

fn runs(events: &Keyspace, level: u8) -> usize {
    events.tree.current_version().level(usize::from(level)).map_or(0, |level| level.run_count())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use fjall::{Database, KeyspaceCreateOptions};

    use super::*;

    /// Written out of memory so often: nine merges of the first tier and one of the second, whether or not fjall moved the
    /// first table, which nothing lay beside, out of the way.
    const TABLES: usize = 79;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("bellhop-merging-{name}-{}", std::process::id()));
            let _old = std::fs::remove_dir_all(&path);
            Self(path)
        }

        fn open(&self) -> Tables {
            let stop = Stop::default();
            let db = Database::builder(&self.0).with_compaction_filter_factories(stop.filters()).open().unwrap();
            Tables::open(db, stop).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A table of two rows that lie around those of all others.
    fn write_out(events: &Keyspace, number: usize) {
        for key in [format!("a{number:03}"), format!("z{number:03}")] {
            events.insert(key, number.to_string()).unwrap();
        }
        events.rotate_memtable_and_wait().unwrap();
    }

    fn rows(events: &Keyspace) -> Vec<(String, String)> {
        let text = |slice: fjall::Slice| String::from_utf8(slice.to_vec()).unwrap();
        events
            .range::<&str, _>(..)
            .map(|row| {
                let (key, value) = row.into_inner().unwrap();
                (text(key), text(value))
            })
            .collect()
    }

    fn written(count: usize) -> Vec<(String, String)> {
        let all = |side: char| (0..count).map(move |number| (format!("{side}{number:03}"), number.to_string()));
        all('a').chain(all('z')).collect()
    }

    fn settle(merging: &mut Merging) {
        while merging.step() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn runs_become_one_of_the_next_tier_and_every_row_stays() {
        let scratch = Scratch::new("tiers");
        let tables = scratch.open();
        let mut merging = Merging::start(&tables).unwrap().unwrap();
        for number in 0..TABLES {
            write_out(&tables.events, number);
            settle(&mut merging);
            assert!(TIERS.iter().all(|level| !is_full(&tables.events, *level)), "after {number}");
        }
        assert_eq!([1, 2, 3].map(|level| runs(&tables.events, level)), [1, 0, 1]);
        tables.events.remove("a001").unwrap();
        let mut expected = written(TABLES);
        expected.retain(|(key, _)| key != "a001");
        assert_eq!(rows(&tables.events), expected);
        drop((merging, tables));

        let tables = scratch.open();
        assert_eq!(rows(&tables.events), expected, "after a start");
        assert_eq!([1, 2, 3].map(|level| runs(&tables.events, level)), [1, 0, 1], "and they lie as before");
        let mut merging = Merging::start(&tables).unwrap().expect("fjall remembers that they are ours");
        for number in TABLES..TABLES + 2 * FANOUT {
            write_out(&tables.events, number);
            settle(&mut merging);
        }
        let mut expected = written(TABLES + 2 * FANOUT);
        expected.retain(|(key, _)| key != "a001");
        assert_eq!(rows(&tables.events), expected, "what was removed is gone, wherever it lies by now");
    }

    #[test]
    fn a_merge_that_is_told_to_stop_changes_nothing() {
        let scratch = Scratch::new("stop");
        let tables = scratch.open();
        (0..=FANOUT).for_each(|number| write_out(&tables.events, number));
        assert!(is_full(&tables.events, 0));
        tables.stop.0.store(true, Ordering::Relaxed);
        assert!(merge(&tables.events, 0).is_err());
        assert!(is_full(&tables.events, 0));
        assert_eq!(rows(&tables.events), written(FANOUT + 1));
        drop(tables);

        let tables = scratch.open();
        let files = std::fs::read_dir(tables.events.path().join(lsm_tree::file::TABLES_FOLDER)).unwrap().count();
        assert_eq!(files, tables.events.tree.table_count(), "nothing of it is left");
        assert!(merge(&tables.events, 0).is_ok());
        assert!(!is_full(&tables.events, 0));
        assert_eq!(rows(&tables.events), written(FANOUT + 1));
    }

    #[test]
    fn fjall_goes_on_merging_what_was_made_before() {
        let scratch = Scratch::new("before");
        let db = Database::builder(&scratch.0).open().unwrap();
        db.keyspace(EVENTS, KeyspaceCreateOptions::default).unwrap();
        drop(db);
        let tables = scratch.open();
        assert!(Merging::start(&tables).unwrap().is_none());
    }
}
