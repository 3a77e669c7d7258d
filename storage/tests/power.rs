//! The power is cut: what was synced stays, of the rest whatever chance keeps. `kill -9` proves nothing about that,
//! because it leaves the page cache alive; here a library under the store writes down every change and every sync, and
//! the disk after a cut is made from that record (`shim/disk.rs`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod load;
mod place;
mod proof;
mod reboot;
mod shim;
mod words;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use bellhop_engine::ports::Store;
use bellhop_storage::{Embedded, EmbeddedOptions, Tail};
use load::{CHILD, Load, Said, check, child};
use place::Place;
use shim::chance::Chance;
use shim::log::Entry;
use shim::{Disk, disk, log};
use words::{begin_append, key, message};

/// Tells a child how much to write: appends, weight of texts, and whether it closes the store.
const LOAD: &str = "BELLHOP_TEST_LOAD";

/// The child: goes on where the logs end, says what was acknowledged, and ends without closing, or in peace.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_works() {
    let (Some(path), Ok(load)) = (std::env::var_os(CHILD), std::env::var(LOAD)) else { return };
    #[cfg(feature = "sabotage")]
    if std::env::var("BELLHOP_TEST_SABOTAGE").is_ok() {
        use bellhop_engine::sabotage::{Fault, choose};
        choose(Some(Fault::AcknowledgeBeforeSync));
    }
    let numbers: Vec<u64> = load.split(' ').map(|number| number.parse().unwrap()).collect();
    let [appends, weight, closes] = numbers[..] else { panic!("{load}") };
    let store = Arc::new(Embedded::open(path, EmbeddedOptions::new()).unwrap());
    let load = Load { appends, weight: weight as usize, projects: true };
    load.put_on(Arc::<Embedded>::clone(&store)).await;
    match closes {
        1 => store.close().await.unwrap(),
        _ => std::process::exit(0),
    }
}

/// One run of a child.
#[derive(Clone, Copy)]
struct Run {
    appends: u64,
    weight: usize,
    closes: bool,
    /// The fault `acknowledge-before-sync`: of the store where it is built in, else of the disk.
    broken: bool,
}

/// Runs a child on `path` and gives the record of its disk; else what the child said when it could not open.
fn record(path: &Path, run: Run) -> Result<Vec<Entry>, String> {
    let file = path.with_extension("log");
    let _old = std::fs::remove_file(&file);
    let mut command = child("child_that_works", path);
    command.env(LOAD, format!("{} {} {}", run.appends, run.weight, u8::from(run.closes)));
    let sabotage = run.broken && cfg!(feature = "sabotage");
    if sabotage {
        command.env("BELLHOP_TEST_SABOTAGE", "1");
    }
    Disk { log: Some(&file), fault: "", lies: if run.broken && !sabotage { ".jnl" } else { "" } }
        .under(&mut command, path);
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    let entries = log::read(&file);
    std::fs::remove_file(file).unwrap();
    match output.status.success() {
        true => Ok(entries),
        false => Err(format!("it does not open: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Hears what was said in the first `count` entries.
fn heard(before: &Said, entries: &[Entry]) -> Said {
    let mut said = before.clone();
    let mut words = Vec::new();
    for entry in entries {
        if let Entry::Said { words: more } = entry {
            words.extend_from_slice(more);
        }
    }
    String::from_utf8(words).unwrap().lines().for_each(|line| said.hear(line));
    said
}

/// Figures of many cuts.
#[derive(Default, Debug)]
struct Figures {
    cuts: u64,
    again: u64,
    acknowledged: u64,
    found: u64,
    torn: u64,
    making: u64,
    operations: u64,
}

/// A store after a cut, looked at by an outsider; then it must go on. Says what is not as promised.
async fn look(path: &Path, said: &mut Said, run: Run, figures: &mut Figures) -> Result<(), String> {
    reboot::reboot(path);
    let store = match Embedded::open(path, EmbeddedOptions::new()) {
        Ok(store) => store,
        Err(error) => return Err(format!("it does not open: {error}")),
    };
    match store.recovery().tail {
        Tail::Whole => {}
        Tail::Undetermined { .. } | Tail::NeverSynced { .. } => figures.torn += 1,
    }
    if store.epoch().0 <= said.epoch {
        return Err(format!("epoch {} again", said.epoch));
    }
    said.epoch = store.epoch().0;
    figures.found += check(&store, said, run.weight).await?;
    let after = begin_append(&store, key(9_999 + u128::from(said.epoch)), vec![message(1, store.epoch(), "after")]);
    after.await.unwrap().map_err(|error| format!("it takes no more appends: {error}"))?;
    store.close().await.map_err(|error| error.to_string())
}

/// A cut; `again`: and a second one while the store recovers and goes on.
async fn cut_once_or_twice(
    place: &Place,
    disk: &disk::Disk,
    mut said: Said,
    run: Run,
    again: bool,
    chance: &mut Chance,
    figures: &mut Figures,
) -> Result<(), String> {
    let path = fresh(place, "cut");
    disk.cut(chance, &path);
    figures.cuts += 1;
    figures.acknowledged += said.count;
    if again {
        // The recovery itself is cut, before anybody has looked.
        reboot::reboot(&path);
        let more = disk::Disk::of(&path);
        let entries = record(&path, Run { appends: 60, closes: false, broken: false, ..run })?;
        figures.operations += entries.len() as u64;
        let at = chance.below(entries.len() + 1);
        let mut disk = more;
        entries[..at].iter().for_each(|entry| disk.apply(entry));
        said = heard(&said, &entries[..at]);
        figures.again += 1;
        let path = fresh(place, "again");
        disk.cut(chance, &path);
        return look(&path, &mut said, run, figures).await;
    }
    look(&path, &mut said, run, figures).await
}

fn fresh(place: &Place, name: &str) -> PathBuf {
    let path = place.path().join(name);
    let _old = std::fs::remove_dir_all(&path);
    std::fs::create_dir(&path).unwrap();
    path
}

/// Cuts a run of a child `cuts` times. The store is new, or has been served and closed before.
async fn cut_run(
    place: &Place,
    run: Run,
    new: bool,
    cuts: usize,
    chance: &mut Chance,
    figures: &mut Figures,
) -> Result<(), String> {
    let path = fresh(place, "data");
    let mut before = Said::default();
    if !new {
        let closes = chance.eighths(4);
        before = heard(&before, &record(&path, Run { appends: 200, closes, broken: false, ..run })?);
    }
    let mut disk = disk::Disk::of(&path);
    let entries = record(&path, run)?;
    figures.operations += entries.len() as u64;
    // Of a new store a third of the cuts fall while it is made; of any, a third while something is written and not synced.
    let opened =
        entries.iter().position(|entry| matches!(entry, Entry::Said { words } if words.starts_with(b"\nOPEN")));
    let mut places: Vec<(usize, bool)> = (0..cuts)
        .map(|cut| match (cut % 3, opened) {
            (0, Some(opened)) if new => (chance.below(opened), chance.eighths(4)),
            (1, _) => {
                // Before the sync of a write that is longer than a sector.
                let from = chance.below(entries.len());
                let long = |pair: &[Entry]| match pair {
                    [Entry::Write { bytes, .. }, Entry::Sync { .. }] => bytes.len() > 1_024,
                    _ => false,
                };
                (from + entries[from..].windows(2).position(long).map_or(0, |before| before + 1), false)
            }
            _ => (chance.below(entries.len() + 1), chance.eighths(4)),
        })
        .collect();
    figures.making += places.iter().filter(|(at, _)| new && opened.is_some_and(|opened| *at < opened)).count() as u64;
    places.sort_unstable();
    let mut done = 0;
    for (at, again) in places {
        entries[done..at].iter().for_each(|entry| disk.apply(entry));
        done = at;
        let said = heard(&before, &entries[..at]);
        cut_once_or_twice(place, &disk, said, run, again, chance, figures)
            .await
            .map_err(|what| format!("cut at operation {at}: {what}"))?;
    }
    Ok(())
}

fn long() -> bool {
    std::env::var("BELLHOP_LONG").is_ok_and(|long| long == "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_power_is_cut() {
    let (rounds, cuts) = if long() { (12, 12) } else { (8, 5) };
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let mut figures = Figures::default();
    let place = Place::new("power");
    for round in 0..rounds {
        let appends = 100 + chance.below(500) as u64;
        let run = Run { appends, weight: 4, closes: round % 3 == 2, broken: false };
        cut_run(&place, run, round % 2 == 0, cuts, &mut chance, &mut figures)
            .await
            .unwrap_or_else(|what| panic!("seed {seed}, round {round}: {what}"));
    }
    // Enough that memory is written out to tables and the journal is ended and a new one begun.
    let run = Run { appends: 2_600, weight: 220, closes: false, broken: false };
    cut_run(&place, run, true, if long() { 12 } else { 2 }, &mut chance, &mut figures)
        .await
        .unwrap_or_else(|what| panic!("seed {seed}, large: {what}"));
    println!("{figures:?}");
    assert!(figures.torn > 0, "no cut tore a write: the disk is too kind");
    proof::line(&proof::Proof {
        promise: "G1",
        attack: "the power is cut at random moments: what was not synced is dropped, reordered and torn, also while it recovers",
        count: format!(
            "{} cuts, {} of them cut again while recovering, {} with a torn write, {} while the directory was made; {} appends \
             acknowledged before the cuts",
            figures.cuts,
            figures.again,
            figures.torn,
            figures.making,
            proof::thousands(figures.acknowledged)
        ),
        result: format!("0 lost, 0 in part, 0 out of order; {} events read back", proof::thousands(figures.found)),
        passed: true,
        seed,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_acknowledges_before_it_syncs_is_caught() {
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let place = Place::new("caught");
    let mut figures = Figures::default();
    let run = Run { appends: 400, weight: 1, closes: false, broken: true };
    let what = cut_run(&place, run, false, 12, &mut chance, &mut figures).await;
    let what = what.expect_err("twelve power cuts, and nobody missed the syncs");
    println!("caught after {} cuts: {what}", figures.cuts);
    assert!(what.contains("lost") || what.contains("does not open"), "{what}");
    proof::line(&proof::Proof {
        promise: "G1",
        attack: "the fault acknowledge-before-sync under power cuts: the checker must catch it",
        count: format!("{} cuts until it was caught", figures.cuts),
        result: "caught".to_owned(),
        passed: true,
        seed,
    });
}
