//! A disk that is full, read-only, or fails: after a failed write or sync the store takes nothing more and says so, a
//! restart finds all that was acknowledged, and whoever starts a server on such a disk is told what is wrong with it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod load;
mod place;
mod proof;
mod shim;
mod words;

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use bellhop_engine::ports::{Store, StoreError};
use bellhop_storage::{Embedded, EmbeddedOptions, OpenError};
use load::{CHILD, Load, Said, check, child, line};
use place::Place;
use shim::Disk;
use shim::chance::Chance;
use shim::log::{self, Entry};
use words::{begin_append, key, message};

const LOAD: &str = "BELLHOP_TEST_LOAD";

/// The child: works until the disk fails, or until it has done its load, and says how that ended.
#[tokio::test(flavor = "multi_thread")]
async fn child_on_a_bad_disk() {
    let (Some(path), Ok(load)) = (std::env::var_os(CHILD), std::env::var(LOAD)) else { return };
    let (appends, weight) = load.split_once(' ').unwrap();
    let store = match Embedded::open(&path, EmbeddedOptions::new()) {
        Ok(store) => Arc::new(store),
        Err(error) => {
            let kind = match error {
                OpenError::NotWritable { .. } => "NotWritable",
                OpenError::Full { .. } => "Full",
                OpenError::Io { .. } => "Io",
                _ => "Other",
            };
            return line(format_args!("\nREFUSED {kind} {error}"));
        }
    };
    let load = Load { appends: appends.parse().unwrap(), weight: weight.parse().unwrap(), projects: true };
    load.put_on(Arc::<Embedded>::clone(&store)).await;
    let Some(why) = Store::failed(&*store) else { return line(format_args!("DONE")) };
    assert!(!store.healthy());
    let after = begin_append(&*store, key(99), vec![message(1, store.epoch(), "after")]).await.unwrap();
    assert!(matches!(after, Err(StoreError::Unavailable(_))), "after the failure: {after:?}");
    assert!(matches!(store.load(key(0)).await, Err(StoreError::Unavailable(_))), "nobody can say what the log is now");
    line(format_args!("FAILED {why}"));
    // It must be possible to leave.
    drop(store);
    line(format_args!("LEFT"));
}

fn run(path: &Path, load: &str, disk: Disk<'_>) -> Output {
    let mut command = child("child_on_a_bad_disk", path);
    command.env(LOAD, load).env("RUST_BACKTRACE", "0");
    disk.under(&mut command, path);
    command.output().unwrap()
}

fn heard(before: &Said, words: &str) -> Said {
    let mut said = before.clone();
    words.lines().for_each(|line| said.hear(line));
    said
}

async fn reopened(path: &Path, said: &mut Said, weight: usize, what: &str) -> u64 {
    let store = Embedded::open(path, EmbeddedOptions::new()).unwrap_or_else(|error| panic!("{what}: {error}"));
    said.epoch = store.epoch().0;
    let found = check(&store, said, weight).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    store.close().await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_write_or_sync_the_store_stops_and_nothing_acknowledged_is_lost() {
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let mut from = |least: usize, most: usize| least + chance.below(most - least);
    let small = "100000 1";
    let cases: Vec<(&str, String, &str)> = vec![
        ("a write of the journal fails", format!("write:.jnl=5@{}", from(20, 600)), small),
        ("a sync of the journal fails", format!("sync:.jnl=5@{}", from(20, 300)), small),
        ("the first sync of the journal fails", "sync:.jnl=5@1".to_owned(), small),
        ("the disk fills", format!("space=28@{}b", from(50_000, 500_000)), small),
        ("the disk fills, writes being short", format!("halves,space=28@{}b", from(50_000, 500_000)), small),
        ("the disk becomes read-only", format!("change=30@{}", from(60, 900)), small),
        ("a write of the side file fails", format!("write:settled=5@{}", from(20, 300)), small),
        ("there is no room for tables", "space:tables/=28@0,write:tables/=28@0".to_owned(), "100000 400"),
    ];
    let (mut acknowledged, mut found) = (0, 0);
    for (what, fault, load) in &cases {
        let place = Place::new("fault");
        let weight = load.split_once(' ').unwrap().1.parse().unwrap();
        drop(Embedded::open(place.path(), EmbeddedOptions::new()).unwrap());
        let log = place.path().with_extension("log");
        let before = shim::disk::Disk::of(place.path());
        // A disk that has no room for tables is never full here but for them; all of its writes need no record.
        let record = (weight == 1).then_some(log.as_path());
        let output = run(place.path(), load, Disk { log: record, fault, lies: "" });
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{what} ({fault}): {words}\n{errors}");
        let opened = words.contains("OPEN ");
        assert_eq!(words.contains("\nFAILED The store"), opened, "{what} ({fault}): {}", words.len());
        assert!(words.contains("\nLEFT") || words.contains("REFUSED "), "{what} ({fault}): it did not end");
        let mut said = heard(&Said::default(), &words);
        println!("{what}: {} appends acknowledged", said.count);
        if record.is_some() {
            // What failed to be synced is gone, though the page cache still shows it.
            let mut disk = before;
            log::read(&log).iter().for_each(|entry| disk.apply(entry));
            let cut = Place::new("fault-cut");
            disk.cut(&mut Chance::new(seed), cut.path());
            reopened(cut.path(), &mut said.clone(), weight, what).await;
            std::fs::remove_file(&log).unwrap();
        }
        acknowledged += said.count;
        found += reopened(place.path(), &mut said, weight, what).await;
    }
    let place = Place::new("halves");
    let output = run(place.path(), "500 1", Disk { log: None, fault: "halves", lies: "" });
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(words.contains("\nDONE"), "short writes are no failure: {words}");
    reopened(place.path(), &mut heard(&Said::default(), &words), 1, "short writes").await;
    assert!(acknowledged > 500, "under load: {acknowledged}");
    proof::line(&proof::Proof {
        promise: "G1 G11",
        attack: "disk full, read-only, error from write or sync, under load",
        count: format!("{} faults, {} appends acknowledged", cases.len() + 1, proof::thousands(acknowledged)),
        result: format!("each stops the store, 0 lost after the restart; {} events read back", proof::thousands(found)),
        passed: true,
        seed,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_sync_left_in_the_page_cache_is_written_again_before_it_is_served() {
    let place = Place::new("again");
    drop(Embedded::open(place.path(), EmbeddedOptions::new()).unwrap());
    let log = place.path().with_extension("log");
    run(place.path(), "100000 1", Disk { log: None, fault: "sync:.jnl=5@60", lies: "" });
    let mut disk = shim::disk::Disk::of(place.path());
    let output = run(place.path(), "0 1", Disk { log: Some(&log), fault: "", lies: "" });
    assert!(output.status.success());
    let entries = log::read(&log);
    std::fs::remove_file(log).unwrap();
    let opened = entries.iter().position(|it| matches!(it, Entry::Said { words } if words.starts_with(b"\nOPEN")));
    let entries = &entries[..opened.unwrap()];
    // The journal is opened for that before fjall opens it, written where the batch lies, and synced.
    let journal = |inode: &u64| {
        entries.iter().any(|it| matches!(it, Entry::Open { inode: of, path } if of == inode && path.ends_with(".jnl")))
    };
    let written = entries.iter().position(|it| matches!(it, Entry::Write { inode, .. } if journal(inode))).unwrap();
    let synced = entries.iter().position(|it| matches!(it, Entry::Sync { inode } if journal(inode))).unwrap();
    assert!(written < synced, "synced before it was written again: {written}, {synced}");
    entries.iter().for_each(|entry| disk.apply(entry));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_read_only_or_failing_disk_is_told_at_the_start_and_harms_nothing() {
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let used = Place::new("used");
    let output = run(used.path(), "200 1", Disk::default());
    let mut said = heard(&Said::default(), &String::from_utf8_lossy(&output.stdout));
    let mut refused = 0;
    let mut start = |path: &Path, fault: &str| {
        let output = run(path, "0 1", Disk { log: None, fault, lies: "" });
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{fault}: {words}\n{}", String::from_utf8_lossy(&output.stderr));
        let line = words.lines().find_map(|line| line.strip_prefix("REFUSED ")).map(str::to_owned);
        if let Some(line) = &line {
            refused += 1;
            assert!(line.contains(&path.display().to_string()) && !line.starts_with("Other"), "{fault}: {line}");
        }
        line
    };
    let cases = [
        ("change=30@0", "NotWritable", "cannot be written (Read-only file system"),
        ("space=28@0", "Full", "is full (No space left on device"),
        ("sync=5@0", "Io", "cannot be opened (Input/output error"),
        ("write=5@0", "Io", "cannot be opened (Input/output error"),
    ];
    for (fault, kind, sentence) in cases {
        let new = Place::new("new");
        for path in [used.path(), &new.path().join("a")] {
            let line = start(path, fault).unwrap_or_else(|| panic!("{fault}: it opened {}", path.display()));
            println!("{line}");
            assert!(line.starts_with(kind) && line.contains(sentence), "{fault}: {line}");
        }
        reopened(&new.path().join("a"), &mut Said::default(), 1, fault).await;
    }
    // At every operation of an opening, sampled.
    let samples = if std::env::var("BELLHOP_LONG").is_ok_and(|long| long == "1") { 120 } else { 8 };
    for _ in 0..samples {
        let what = ["change=30", "space=28", "sync=5", "write=5"][chance.below(4)];
        let fault = format!("{what}@{}", chance.below(70));
        start(used.path(), &fault);
        reopened(used.path(), &mut said, 1, &fault).await;
        let new = Place::new("new");
        start(new.path(), &fault);
        reopened(new.path(), &mut Said::default(), 1, &fault).await;
    }
    proof::line(&proof::Proof {
        promise: "G1 G11",
        attack: "a start on a full, read-only or failing disk",
        count: format!("{} starts, {refused} refused with a sentence", (cases.len() + samples) * 2),
        result: "0 lost, each opens when the disk is well again".to_owned(),
        passed: true,
        seed,
    });
}
