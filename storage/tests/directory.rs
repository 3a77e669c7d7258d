//! Data directories that must not be opened, each with its sentence, and nothing in them changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod place;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bellhop_engine::ports::Store;
use bellhop_storage::{Embedded, EmbeddedOptions, OpenError};
use place::Place;
use words::{begin_append, key, message};

fn options() -> EmbeddedOptions {
    EmbeddedOptions { lock_wait: Duration::from_millis(50), ..EmbeddedOptions::new() }
}

fn open(path: &Path) -> Result<Embedded, OpenError> {
    Embedded::open(path, options())
}

/// A directory in which three starts have left something.
async fn used() -> Place {
    let place = Place::new("directory");
    for seq in 1..=3 {
        let store = open(place.path()).unwrap();
        begin_append(&store, key(1), vec![message(seq, store.epoch(), "word")]).await.unwrap().unwrap();
        store.close().await.unwrap();
    }
    place
}

/// Every file with its content, but for the lock's pid.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                all.insert(entry.path(), Vec::new());
                folders.push(entry.path());
            } else if entry.path() != path.join("lock") {
                all.insert(entry.path(), fs::read(entry.path()).unwrap());
            }
        }
    }
    all
}

fn refused(path: &Path) -> OpenError {
    match open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => {
            println!("{error}");
            let words = error.to_string();
            assert!(words.starts_with(&path.display().to_string()) && !words.contains('\n'), "{words}");
            error
        }
    }
}

#[tokio::test]
async fn a_locked_directory_names_the_process_that_holds_it() {
    let place = used().await;
    let held = open(place.path()).unwrap();
    let error = refused(place.path());
    assert!(matches!(error, OpenError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{error:?}");
    // The holder does not feel it.
    begin_append(&held, key(2), vec![message(1, held.epoch(), "word")]).await.unwrap().unwrap();
    drop(held);
    open(place.path()).unwrap();
}

#[tokio::test]
async fn a_directory_that_is_let_go_in_time_is_opened() {
    let place = used().await;
    let held = open(place.path()).unwrap();
    let path = place.path().to_owned();
    let waiting = std::thread::spawn(move || {
        Embedded::open(path, EmbeddedOptions { lock_wait: Duration::from_secs(20), ..options() }).map(drop)
    });
    std::thread::sleep(Duration::from_millis(100));
    drop(held);
    waiting.join().unwrap().unwrap();
}

#[tokio::test]
async fn a_newer_directory_is_left_alone() {
    let place = used().await;
    let marker = place.path().join("BELLHOP");
    let newer = fs::read_to_string(&marker).unwrap().replace("format 1\n", "format 2\nshape odd\n");
    fs::write(&marker, newer).unwrap();
    let before = contents(place.path());
    let error = refused(place.path());
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error:?}");
    assert!(contents(place.path()) == before);
}

#[tokio::test]
async fn a_half_deleted_directory_is_never_made_anew() {
    let journal = |path: &Path| {
        let journals = fs::read_dir(path.join("db")).unwrap().map(|entry| entry.unwrap().path());
        journals.filter(|path| path.extension().is_some_and(|it| it == "jnl")).max().unwrap()
    };
    type Remove<'a> = (&'a str, &'a dyn Fn(&Path));
    let file = |name: &'static str| move |path: &Path| fs::remove_file(path.join(name)).unwrap();
    let folder = |name: &'static str| move |path: &Path| fs::remove_dir_all(path.join(name)).unwrap();
    let cases: &[Remove<'_>] = &[
        ("the database", &folder("db")),
        ("the marker", &file("BELLHOP")),
        ("all keyspaces", &folder("db/keyspaces")),
        ("fjall's own keyspace", &folder("db/keyspaces/0")),
        ("a keyspace", &folder("db/keyspaces/2")),
        ("a keyspace's current version", &file("db/keyspaces/3/current")),
        ("fjall's version", &file("db/version")),
        ("fjall's lock", &file("db/lock")),
        ("the journal", &|path| fs::remove_file(journal(path)).unwrap()),
        ("the journal's content", &|path| fs::write(journal(path), b"").unwrap()),
        ("a journal in between", &|path| {
            let last = journal(path);
            fs::rename(&last, last.with_file_name("900.jnl")).unwrap();
            fs::write(last.with_file_name("898.jnl"), b"").unwrap();
        }),
    ];
    for (what, remove) in cases {
        let place = used().await;
        remove(place.path());
        let before = contents(place.path());
        let error = refused(place.path());
        assert!(matches!(error, OpenError::HalfDeleted { .. }), "{what}: {error:?}");
        assert!(contents(place.path()) == before, "{what}: something was changed");
    }
}

#[tokio::test]
async fn a_database_put_back_from_an_older_copy_is_refused() {
    let place = used().await;
    let copy = contents(&place.path().join("db"));
    drop(open(place.path()).unwrap());
    drop(open(place.path()).unwrap());
    fs::remove_dir_all(place.path().join("db")).unwrap();
    for (path, content) in copy {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !content.is_empty() {
            fs::write(path, content).unwrap();
        }
    }
    let lock = place.path().join("db/lock");
    if !lock.exists() {
        fs::write(lock, b"").unwrap();
    }
    let error = refused(place.path());
    assert!(matches!(error, OpenError::HalfDeleted { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_directory_says_so() {
    let cases: &[(&str, &str, &[u8])] = &[
        ("a marker of other words", "BELLHOP", b"hello\n"),
        ("a marker that is no text", "BELLHOP", &[0xFF, 0xFE]),
        ("an empty marker", "BELLHOP", b""),
        ("fjall's version", "db/version", b"FJL\x09"),
        ("a keyspace's version", "db/keyspaces/2/current", b"?"),
        ("a stray folder", "db/keyspaces/notes/x", b"x"),
        ("a stray journal", "db/notes.jnl", b"x"),
    ];
    for (what, file, content) in cases {
        let place = used().await;
        let file = place.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
        let error = refused(place.path());
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn a_foreign_directory_is_left_alone() {
    let place = Place::new("foreign");
    fs::write(place.path().join("thesis.tex"), b"\\begin").unwrap();
    let before = contents(place.path());
    assert!(matches!(refused(place.path()), OpenError::Foreign { .. }));
    assert!(contents(place.path()) == before && !place.path().join("lock").exists());
    // A file where the directory should be.
    let error = refused(&place.path().join("thesis.tex"));
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
}

#[tokio::test]
async fn an_empty_volume_and_a_missing_path_are_made() {
    let place = Place::new("empty");
    fs::create_dir(place.path().join("lost+found")).unwrap();
    drop(open(place.path()).unwrap());
    drop(open(place.path()).unwrap());
    drop(open(&place.path().join("lost+found/a/b")).unwrap());
}

#[tokio::test]
async fn an_interrupted_making_is_begun_anew() {
    let place = Place::new("interrupted");
    drop(open(place.path()).unwrap());
    let marker = place.path().join("BELLHOP");
    let made = fs::read_to_string(&marker).unwrap();
    // As a power cut leaves it: marked as being made, the database half there.
    fs::write(&marker, made.replace("ready true", "ready false").replace("epoch 1", "epoch 0")).unwrap();
    fs::remove_dir_all(place.path().join("db/keyspaces")).unwrap();
    let store = open(place.path()).unwrap();
    assert_eq!(store.epoch().0, 1);
    drop(store);
    // And before there was a marker at all.
    let place = Place::new("interrupted");
    fs::write(place.path().join("BELLHOP.new"), b"bellhop da").unwrap();
    fs::write(place.path().join("lock"), b"").unwrap();
    drop(open(place.path()).unwrap());
}

const CHILD: &str = "BELLHOP_TEST_CHILD";

/// The child: opens as a user without rights.
#[tokio::test]
async fn child_without_rights() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let error = refused(Path::new(&path));
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    println!("REFUSED");
}

#[tokio::test]
async fn a_read_only_directory_says_who_needs_what() {
    let place = used().await;
    // A copy of this program where anybody may run it, for tests that run as root: root may write anywhere, so that the
    // child is nobody.
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let shared = std::env::temp_dir().join(format!("bellhop-rights-{}", std::process::id()));
    fs::create_dir_all(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
    let program = shared.join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let data = shared.join("data");
    fs::rename(place.path(), &data).or_else(|_| fs::create_dir(&data)).unwrap();
    let empty = shared.join("empty");
    fs::create_dir(&empty).unwrap();
    for (path, mode) in [(&data, 0o555), (&empty, 0o555)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        if path.join("lock").exists() {
            fs::set_permissions(path.join("lock"), fs::Permissions::from_mode(0o444)).unwrap();
        }
    }
    for path in [data.clone(), empty, data.join("below")] {
        let mut child = Command::new(&program);
        child.args(["child_without_rights", "--exact", "--nocapture"]).env(CHILD, &path);
        if root {
            child.uid(65_534).gid(65_534);
        }
        let output = child.output().unwrap();
        let words = String::from_utf8_lossy(&output.stdout);
        print!("{words}");
        assert!(output.status.success() && words.contains("REFUSED"), "{}: {words}", path.display());
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_dir_all(shared).unwrap();
}
