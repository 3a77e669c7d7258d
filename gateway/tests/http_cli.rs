//! The binary's first and last words: every bad start is one clear sentence and a code.
#![allow(clippy::unwrap_used)] // To panic is how a test fails.

mod http_support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use http_support::{Folder, House};

fn bellhop(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellhop"));
    command.args(arguments).env("BELLHOP_LOG__LEVEL", "error").envs(environment.iter().copied()).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_start_is_one_sentence_and_a_code() {
    let house = House::open().await;
    let (taken, held) = (house.address.to_string(), house.folder.0.display().to_string());
    let folder = Folder::new();
    std::fs::create_dir_all(folder.0.join("foreign")).unwrap();
    std::fs::write(folder.0.join("foreign/letters.txt"), "not Bellhop's").unwrap();
    std::fs::write(folder.0.join("bad.toml"), "[server]\nlisten = \"127.0.0.1:0\"\nport = 3\n").unwrap();
    let path = |name: &str| folder.0.join(name).display().to_string();
    let free = ["--admin-listen", "127.0.0.1:0"];
    let (new, foreign, bad, absent) = (path("new"), path("foreign"), path("bad.toml"), path("absent.toml"));
    for (arguments, code, words) in [
        (
            vec!["serve", "--data", &new, "--listen", &taken],
            1,
            "is in use by another program: stop it, or set server.listen",
        ),
        (vec!["serve", "--data", &held, "--listen", "127.0.0.1:0"], 1, "is in use by process"),
        (vec!["serve", "--data", &foreign, "--listen", "127.0.0.1:0"], 1, "not a Bellhop data directory"),
        (vec!["serve", "--data", &new, "--listen", "127.0.0.2"], 2, "server.listen must be an address and a port"),
        (vec!["serve", "--config", &bad], 2, "bad.toml:3: there is no key server.port."),
        (vec!["serve", "--config", &absent], 2, "the file cannot be read"),
    ] {
        let output = bellhop(&[arguments.as_slice(), &free].concat(), &[]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
        assert_eq!(text.trim().lines().count(), 1, "{arguments:?}: {text}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(!folder.0.join("new").exists(), "who cannot bind its port makes no data directory");
    house.close().await;
}

/// Every file below a folder with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else if path.file_name().is_some_and(|it| it != "lock") {
            // The lock holds the number of whoever looked last.
            all.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_whole_or_too_new_is_named_and_left_alone() {
    type Spoil = fn(&Path);
    let newer: Spoil = |folder| {
        let marker = folder.join("BELLHOP");
        let text = std::fs::read_to_string(&marker).unwrap();
        let lines: Vec<&str> =
            text.lines().map(|line| if line.starts_with("format ") { "format 4000" } else { line }).collect();
        std::fs::write(&marker, lines.join("\n") + "\n").unwrap();
    };
    let without_database: Spoil = |folder| std::fs::remove_dir_all(folder.join("db")).unwrap();
    let without_keyspace: Spoil = |folder| std::fs::remove_dir_all(folder.join("db/keyspaces/2")).unwrap();
    let without_marker: Spoil = |folder| std::fs::remove_file(folder.join("BELLHOP")).unwrap();
    for (what, spoil, words) in [
        ("a newer version's", newer, "was written by a newer Bellhop (its format is 4000"),
        ("without its database", without_database, "is a Bellhop data directory with parts missing"),
        ("without a keyspace", without_keyspace, "is a Bellhop data directory with parts missing"),
        ("without its marker", without_marker, "is a Bellhop data directory with parts missing"),
    ] {
        let house = House::open().await;
        house.set_up().await;
        let folder = house.close().await;
        spoil(&folder.0);
        let before = contents(&folder.0);
        let data = folder.0.display().to_string();
        for (arguments, words) in [
            (vec!["serve", "--data", &data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], words),
            (vec!["setup-link", "--data", &data], words),
            (vec!["user", "reset-password", "--data", &data, "--email", "olive@example.org"], words),
        ] {
            let output = bellhop(&arguments, &[]);
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{what}, {arguments:?}: {text}");
            assert!(text.contains(&data) && text.contains(words), "{what}, {arguments:?}: {text}");
            assert_eq!(text.trim().lines().count(), 1, "{what}, {arguments:?}: {text}");
            assert!(output.stdout.is_empty(), "{what}, {arguments:?}");
        }
        assert!(contents(&folder.0) == before, "{what}: something was changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_with_and_without_a_running_server() {
    let house = House::open().await;
    let link = |folder: &Folder| {
        let output = bellhop(&["setup-link", "--data", &folder.0.display().to_string()], &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(link(&house.folder).starts_with(&format!("{}/setup#bhl_", house.url())), "by the server that runs");
    let folder = house.close().await;
    assert!(link(&folder).starts_with("http://127.0.0.1:8080/setup#bhl_"), "by opening the store");

    let data = folder.0.display().to_string();
    let output =
        bellhop(&["workspace", "create", "--data", &data, "--name", "Harbour", "--owner-email", "o@x.org"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let workspace = text.lines().next().unwrap().strip_prefix("workspace ").unwrap();
    let output = bellhop(&["key", "create", "--data", &data, "--workspace", workspace, "--name", "tests"], &[]);
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("bhk_"));
    let output = bellhop(&["user", "invite", "--data", &data, "--workspace", workspace], &[]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("/invite#bhl_"));
    let output = bellhop(&["user", "reset-password", "--data", &data, "--email", "nobody@x.org"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let output = bellhop(&["key", "create", "--data", &data, "--workspace", "7", "--name", "x"], &[]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_printed_configuration_is_good() {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    let file = folder.0.join("bellhop.toml");
    std::fs::write(&file, bellhop(&["config", "print"], &[]).stdout).unwrap();
    let file = file.display().to_string();
    assert!(bellhop(&["config", "check", &file], &[]).status.success());
    assert!(bellhop(&["config", "check", "--config", &file], &[]).status.success());
    let output = bellhop(&["config", "check"], &[("BELLHOP_LIMITS__SESSIONS", "0")]);
    assert_eq!(output.status.code(), Some(2));
}
