//! A damaged journal: damage to what was synced is refused and nothing is touched; a torn end that was never
//! acknowledged is cut off; what nobody can tell opens, and says so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod place;
mod proof;
mod reboot;
mod shim;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bellhop_engine::domain::Seq;
use bellhop_engine::ports::Store;
use bellhop_storage::{Embedded, EmbeddedOptions, OpenError, Tail};
use place::Place;
use shim::chance::Chance;
use words::{begin_append, key, message};

/// The issue's: the last 64 KiB.
const STRETCH: usize = 64 * 1024;

fn long() -> bool {
    std::env::var("BELLHOP_LONG").is_ok_and(|long| long == "1")
}

/// A directory in memory: tens of thousands of openings would wear a disk, and no sync matters here.
fn fast(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let path = parent.join(format!("bellhop-{name}-{}", std::process::id()));
    let _old = fs::remove_dir_all(&path);
    path
}

struct Gone(PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A store as `kill -9` leaves it, one append a batch, and where its batches end.
struct Left {
    files: BTreeMap<PathBuf, Vec<u8>>,
    journal: PathBuf,
    /// Ends of the batches in the journal, ascending; the first is the opening's, the others an append each.
    ends: Vec<usize>,
}

/// Appends of the store that is damaged: about twice the stretch.
const APPENDS: Seq = 400;

fn words_of(seq: Seq) -> String {
    format!("word {seq} ").repeat(1 + seq as usize % 40)
}

impl Left {
    async fn make() -> Self {
        let place = Place::new("journal");
        let store = Embedded::open(place.path(), EmbeddedOptions::new()).unwrap();
        for seq in 1..=APPENDS {
            begin_append(&store, key(1), vec![message(seq, store.epoch(), &words_of(seq))]).await.unwrap().unwrap();
        }
        // Nothing is under way: this is what a kill leaves.
        let mut files = BTreeMap::new();
        read_all(place.path(), place.path(), &mut files);
        let journal = PathBuf::from("db/0.jnl");
        let bytes = files.get_mut(&journal).unwrap();
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
        let ends = ends(bytes);
        assert_eq!(*ends.last().unwrap(), bytes.len(), "the format of fjall's journal is not the one that we know");
        assert_eq!(ends.len() as u64, 1 + APPENDS, "one batch for the opening, one an append");
        Self { files, journal, ends }
    }

    fn bytes(&self) -> &[u8] {
        &self.files[&self.journal]
    }

    /// Lays it out anew at `path`, with another journal.
    fn lay(&self, path: &Path, journal: &[u8]) {
        let _old = fs::remove_dir_all(path);
        for (name, bytes) in &self.files {
            fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
            fs::write(path.join(name), if *name == self.journal { journal } else { bytes }).unwrap();
        }
    }

    /// How many batches end at or before a byte.
    fn whole_before(&self, byte: usize) -> u64 {
        self.ends.iter().filter(|end| **end <= byte).count() as u64
    }

    fn stretch(&self) -> Range<usize> {
        self.bytes().len() - STRETCH..self.bytes().len()
    }
}

fn read_all(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(root, &path, files);
        } else if !path.ends_with("lock") || path.parent() != Some(root) {
            files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
}

/// Ends of batches, by fjall 3.1's format, read by other code than the store's.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize, length: usize| {
        bytes[at..at + length].iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let mut ends = Vec::new();
    let mut at = 0;
    while at < bytes.len() && bytes[at] == 1 {
        let count = number(at + 1, 4);
        at += 13;
        for _ in 0..count {
            assert_eq!(bytes[at], 2, "an item at {at}");
            at += 21 + number(at + 11, 2) + number(at + 17, 4);
        }
        assert_eq!((bytes[at], &bytes[at + 9..at + 13]), (3, &b"FJL\x03"[..]), "an end at {at}");
        at += 13;
        ends.push(at);
    }
    ends
}

/// Says in the side file that batches up to `number` are synced, before this boot.
fn settle(path: &Path, number: u64) {
    let file = fs::OpenOptions::new().write(true).open(path.join("settled")).unwrap();
    for at in [0, 512] {
        let mut slot = [0_u8; 72];
        slot[..8].copy_from_slice(b"BELLHOP1");
        slot[8..16].copy_from_slice(&number.to_be_bytes());
        let sum = xxhash_rust::xxh3::xxh3_64(&slot[..64]);
        slot[64..].copy_from_slice(&sum.to_be_bytes());
        file.write_all_at(&slot, at).unwrap();
    }
    reboot::reboot(path);
}

fn options() -> EmbeddedOptions {
    EmbeddedOptions { cache_bytes: 8 << 20, ..EmbeddedOptions::new() }
}

/// Opens a damaged store that must be refused, and looks whether it was touched.
fn refused(path: &Path, what: &str) -> OpenError {
    let mut before = BTreeMap::new();
    read_all(path, path, &mut before);
    let error = match Embedded::open(path, options()) {
        Ok(_) => panic!("{what}: it was opened"),
        Err(error) => error,
    };
    let mut after = BTreeMap::new();
    read_all(path, path, &mut after);
    assert!(before == after, "{what}: something was changed");
    let sentence = error.to_string();
    assert!(sentence.contains("restore the whole directory from a backup") && !sentence.contains('\n'), "{sentence}");
    error
}

/// Opens a store that must open: its first `appends` events are there and no other.
async fn opened(path: &Path, appends: u64, what: &str) -> Embedded {
    let store = Embedded::open(path, options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let tail = store.load(key(1)).await.unwrap().map_or(Vec::new(), |loaded| loaded.tail);
    assert_eq!(tail.len() as u64, appends, "{what}");
    for (event, seq) in tail.iter().zip(1..) {
        assert_eq!(**event, *message(seq, event.epoch, &words_of(seq)), "{what}");
    }
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_cut_anywhere_loses_nothing_acknowledged_in_silence() {
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let left = Left::make().await;
    let path = fast("cut");
    let _gone = Gone(path.clone());
    let places: Vec<usize> = match long() {
        true => left.stretch().collect(),
        // Around every kind of border, and anywhere.
        false => {
            let ends = left.ends.iter().rev().take(3).flat_map(|end| [end - 1, *end]);
            let anywhere = (0..300).map(|_| left.stretch().start + chance.below(STRETCH));
            ends.chain(anywhere).collect()
        }
    };
    let all = left.ends.len() as u64;
    let (mut refusals, mut reports) = (0, 0);
    for at in &places {
        let at = *at;
        let journal = &left.bytes()[..at];
        let whole = left.whole_before(at);
        // After a kill all is known: any cut takes away what was acknowledged.
        left.lay(&path, journal);
        if whole < all {
            let error = refused(&path, &format!("killed, cut at {at}"));
            assert!(matches!(error, OpenError::HalfDeleted { .. } | OpenError::Damaged { .. }), "{error:?}");
            refusals += 1;
        }
        // After a power cut the side file may be behind: here by up to 30 batches.
        let known = all - chance.below(30) as u64;
        left.lay(&path, journal);
        settle(&path, known);
        if whole < known {
            refused(&path, &format!("power cut, {known} known, cut at {at}"));
            refusals += 1;
            continue;
        }
        let store = opened(&path, whole - 1, &format!("power cut, cut at {at}")).await;
        let recovery = store.recovery();
        assert_eq!(recovery.last_write, Some(whole), "cut at {at}: {recovery:?}");
        // Zeros at the end are not told from those of a new journal.
        let begun = &journal[left.ends[whole as usize - 1]..];
        let begun = &begun[..begun.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)];
        let torn = begun.len() as u64;
        assert_eq!(recovery.tail, if torn == 0 { Tail::Whole } else { Tail::Undetermined { bytes: torn } }, "at {at}");
        reports += u64::from(torn > 0);
        if torn > 0 {
            let kept = fs::read(path.join("cut-off")).unwrap();
            assert!(kept.ends_with(begun), "what was cut off is kept");
        }
    }
    // A write that was begun when the process was killed: known to be nothing that anybody heard of.
    let begun = [left.bytes(), &left.bytes()[left.ends[5]..left.ends[6] - 9]].concat();
    left.lay(&path, &begun);
    let store = opened(&path, APPENDS, "killed while it wrote").await;
    assert!(matches!(store.recovery().tail, Tail::NeverSynced { bytes } if bytes > 100), "{:?}", store.recovery());
    drop(store);
    proof::line(&proof::Proof {
        promise: "G1",
        attack: "the journal is cut within its last 64 KiB, after a kill and after a power cut",
        count: format!("{} places{}", proof::thousands(places.len() as u64), if long() { ", every byte" } else { "" }),
        result: format!(
            "{} refused and nothing touched, {} opened with a report of the last write, 0 lost in silence",
            proof::thousands(refusals),
            proof::thousands(reports)
        ),
        passed: true,
        seed,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_journal_is_refused_or_reported_and_never_read() {
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let left = Left::make().await;
    let path = fast("flip");
    let _gone = Gone(path.clone());
    let all = left.ends.len() as u64;
    let flips = if long() { 20_000 } else { 600 };
    let (mut refusals, mut reports, mut harmless) = (0, 0, 0);
    for flip in 0..flips {
        let from = left.stretch().start;
        // Every fourth in the head of a batch, which fjall takes on trust.
        let at = match flip % 4 {
            0 => left.ends[left.ends.len() - 2 - chance.below(100)] + chance.below(13),
            // And every fourth in the last batch, which nothing follows.
            1 => left.ends[left.ends.len() - 2] + chance.below(200),
            _ => from + chance.below(STRETCH),
        };
        let bit = chance.below(8);
        let mut journal = left.bytes().to_vec();
        journal[at] ^= 1 << bit;
        left.lay(&path, &journal);
        let cut = chance.eighths(4);
        if cut {
            settle(&path, all - 1 - chance.below(5) as u64);
        }
        let what = format!("byte {at}, bit {bit}, power cut {cut}");
        let last = left.whole_before(at) == all - 1;
        match Embedded::open(&path, options()) {
            Err(_) => {
                left.lay(&path, &journal);
                if cut {
                    settle(&path, all);
                }
                refused(&path, &what);
                refusals += 1;
            }
            Ok(store) => {
                let recovery = store.recovery();
                drop(store);
                let lost = recovery.last_write != Some(all);
                assert!(last, "{what}: writes follow it, {recovery:?}");
                assert!(!lost || (cut && matches!(recovery.tail, Tail::Undetermined { .. })), "{what}: {recovery:?}");
                drop(opened(&path, APPENDS - u64::from(lost), &what).await);
                if lost { reports += 1 } else { harmless += 1 }
            }
        }
    }
    proof::line(&proof::Proof {
        promise: "G1",
        attack: "bits flipped in the last 64 KiB of the journal",
        count: format!("{} flips", proof::thousands(flips)),
        result: format!(
            "{} refused and nothing touched, {reports} of the last write opened with a report, {harmless} without effect, 0 \
             read wrong",
            proof::thousands(refusals)
        ),
        passed: true,
        seed,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_were_never_synced_may_be_torn_though_a_later_one_is_whole() {
    let left = Left::make().await;
    let path = fast("reordered");
    let _gone = Gone(path.clone());
    // A batch like the last but one's, which says that it came before the sync of the one in the middle.
    let (first, middle) = (left.ends[APPENDS as usize - 2], left.ends[APPENDS as usize - 1]);
    let mut journal = left.bytes().to_vec();
    journal[first..first + 40].fill(0);
    // The last batch says that the one before it was synced: refused, whatever the side file knows.
    left.lay(&path, &journal);
    settle(&path, APPENDS - 10);
    let error = refused(&path, "the last batch says so");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    println!("{error}");
    // The same bytes as a batch that knows of no sync: torn, not damaged.
    let last = journal.split_off(middle);
    let mut note = last.clone();
    let at = note.windows(5).position(|window| window == b"batch").unwrap() + 5;
    note[at + 8..at + 16].copy_from_slice(&(APPENDS - 10).to_be_bytes());
    let end = note.len() - 13;
    let sum = xxhash_rust::xxh3::xxh3_64(&note[13..end]);
    note[end + 1..end + 9].copy_from_slice(&sum.to_le_bytes());
    journal.extend(note);
    left.lay(&path, &journal);
    settle(&path, APPENDS - 10);
    let store = opened(&path, APPENDS - 2, "never synced").await;
    assert!(matches!(store.recovery().tail, Tail::Undetermined { .. }));
}

/// fjall's checksum does not cover a write's sequence number: one that has grown would make the next write, which is whole,
/// look like a torn one.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_sequence_number_grew_is_refused_and_the_next_one_is_not_cut_off() {
    let left = Left::make().await;
    let path = fast("grown");
    let _gone = Gone(path.clone());
    let head = left.ends[left.ends.len() - 3];
    for bit in 0..13 {
        let mut journal = left.bytes().to_vec();
        // The number's lowest bytes stand behind the tag and the count.
        let grown = &mut journal[head + 5 + bit / 8];
        if *grown & (1 << (bit % 8)) != 0 {
            continue;
        }
        *grown |= 1 << (bit % 8);
        left.lay(&path, &journal);
        settle(&path, APPENDS - 3);
        refused(&path, &format!("bit {bit}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_ended_is_never_cut() {
    let left = Left::make().await;
    let path = fast("ended");
    let _gone = Gone(path.clone());
    for at in [left.bytes().len() - 1, left.bytes().len() - 300, left.ends[3] + 1] {
        left.lay(&path, &left.bytes()[..at]);
        fs::write(path.join("db/1.jnl"), b"").unwrap();
        settle(&path, 0);
        refused(&path, "ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_its_side_file_opens_and_tells_a_torn_end() {
    let left = Left::make().await;
    let path = fast("without");
    let _gone = Gone(path.clone());
    left.lay(&path, &left.bytes()[..left.bytes().len() - 5]);
    fs::remove_file(path.join("settled")).unwrap();
    let store = opened(&path, APPENDS - 1, "no side file").await;
    assert!(matches!(store.recovery().tail, Tail::Undetermined { .. }));
    drop(store);
    assert!(path.join("settled").exists());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 40,000 commits until their numbers are in a table; run with BELLHOP_LONG=1 and --ignored"]
async fn a_journal_cut_below_what_the_tables_hold_is_refused() {
    let path = fast("below");
    let _gone = Gone(path.clone());
    let store = Embedded::open(&path, options()).unwrap();
    let tables = path.join("db/keyspaces/1/tables");
    let mut seq = 0;
    while fs::read_dir(&tables).unwrap().count() == 0 {
        seq += 1;
        assert!(seq < 400_000, "the numbers were never written out");
        begin_append(&store, key(1), vec![message(seq, store.epoch(), &words_of(seq))]).await.unwrap().unwrap();
    }
    // The file is there before the table stands in it; closing waits for that.
    store.close().await.unwrap();
    drop(store);
    let mut files = BTreeMap::new();
    read_all(&path, &path, &mut files);
    let journal = PathBuf::from("db/0.jnl");
    let cut = Left { ends: ends(&files[&journal]), files, journal };
    cut.lay(&path, &cut.bytes()[..cut.ends[20]]);
    settle(&path, 3);
    // Only the open database knows of its tables, so that files of its own may have changed by then.
    let error = Embedded::open(&path, options()).err().expect("below the tables: refused");
    assert!(matches!(error, OpenError::HalfDeleted { .. } | OpenError::Damaged { .. }), "{error:?}");
    println!("{error}");
}
