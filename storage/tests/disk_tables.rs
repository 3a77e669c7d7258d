//! Damaged tables: a flipped bit in any file of fjall's trees is refused at the start or told by the read that meets it.
//! Never wrong words, never the end of the process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod load;
mod place;
mod proof;
mod shim;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellhop_engine::ports::Store;
use bellhop_storage::{Embedded, EmbeddedOptions, OpenError};
use load::{CHILD, CONVERSATIONS, Load, Said, check, child};
use place::Place;
use shim::Disk;
use shim::chance::Chance;

/// Texts of about 22 KB each: 64 MiB of events are soon there, and the tree writes them out.
const WEIGHT: usize = 220;

/// The child: fills a store until it has tables, and closes it.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_fills_tables() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = Arc::new(Embedded::open(path, EmbeddedOptions::new()).unwrap());
    let load = Load { appends: 2_600, weight: WEIGHT, projects: true };
    load.put_on(Arc::<Embedded>::clone(&store)).await;
    store.close().await.unwrap();
}

/// A copy whose tables are the same files: nobody changes one.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else if from.ends_with("tables") {
            fs::hard_link(path, to).unwrap();
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else if fs::metadata(&path).unwrap().len() > 0 {
            all.push(path);
        }
    }
}

/// Where in a file: its last 4 KiB hold what describes the rest.
fn place_in(length: usize, chance: &mut Chance) -> usize {
    match chance.eighths(5) {
        true => length - 1 - chance.below(length.min(4_096)),
        false => chance.below(length),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_table_is_told_and_never_read() {
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let place = Place::new("tables");
    let whole = place.path().join("whole");
    let mut command = child("child_that_fills_tables", &whole);
    Disk::default().under(&mut command, &whole);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut said = Said::default();
    String::from_utf8_lossy(&output.stdout).lines().for_each(|line| said.hear(line));
    said.epoch += 1;
    let mut all = Vec::new();
    files(&whole.join("db/keyspaces"), &mut all);
    let (large, small): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|path| fs::metadata(path).unwrap().len() > 1 << 20);
    assert!(!large.is_empty(), "no table was written");
    let flips = if std::env::var("BELLHOP_LONG").is_ok_and(|long| long == "1") { 400 } else { 14 };
    let (mut refused, mut told, mut harmless) = (0, 0, 0);
    for flip in 0..flips {
        let path = place.path().join("flipped");
        let _old = fs::remove_dir_all(&path);
        copy(&whole, &path);
        let kind = if flip % 2 == 0 { &large } else { &small };
        let file = path.join(kind[chance.below(kind.len())].strip_prefix(&whole).unwrap());
        let mut bytes = fs::read(&file).unwrap();
        let at = place_in(bytes.len(), &mut chance);
        let bit = chance.below(8);
        bytes[at] ^= 1 << bit;
        fs::remove_file(&file).unwrap();
        fs::write(&file, &bytes).unwrap();
        let what = format!("seed {seed}: {}, byte {at} of {}, bit {bit}", file.display(), bytes.len());
        match Embedded::open(&path, EmbeddedOptions::new()) {
            Err(error @ (OpenError::Damaged { .. } | OpenError::HalfDeleted { .. })) => {
                refused += 1;
                assert!(error.to_string().contains("from a backup"), "{what}: {error}");
            }
            Err(error) => panic!("{what}: {error}"),
            Ok(store) => match check(&store, &said, WEIGHT).await {
                Ok(found) => {
                    assert!(found > u64::try_from(CONVERSATIONS).unwrap());
                    harmless += 1;
                }
                Err(error) => {
                    assert!(error.contains("damaged") || error.contains("read of the disk failed"), "{what}: {error}");
                    told += 1;
                }
            },
        }
    }
    println!("{refused} refused, {told} told, {harmless} harmless");
    assert!(refused + told > 0);
    proof::line(&proof::Proof {
        promise: "G1",
        attack: "bits flipped in the tables and their lists",
        count: format!("{flips} flips"),
        result: format!(
            "{refused} refused at the start, {told} told by the read that met them, {harmless} without effect, 0 read wrong"
        ),
        passed: true,
        seed,
    });
}
