//! Embeds what widget and inbox-web built (their `dist/`, with the .br and .gz that stand beside each file)
//! into one table, sorted by path. A missing `dist/` gives an empty table; `http/pages.rs` says so in words.
//! The files are copied first: a front end that is built anew meanwhile must not pull them away from under the compiler.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of files, and the URL path that its files lie under.
const SOURCES: [(&str, &str); 2] = [("../widget/dist", "widget"), ("../inbox-web/dist", "inbox")];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for every build script"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for every build script"));
    let mut files = BTreeMap::new();
    for (folder, name) in SOURCES {
        let folder = here.join(folder);
        // A folder that is not there yet is watched through its parent: cargo compares the time of what it is told.
        let watched = if folder.is_dir() { folder.as_path() } else { folder.parent().unwrap_or(&here) };
        println!("cargo:rerun-if-changed={}", watched.display());
        collect(&folder, name, &mut files);
    }
    let copies = out.join("assets");
    let _ = fs::remove_dir_all(&copies);
    fs::create_dir_all(&copies).expect("cargo's OUT_DIR can be written");
    let mut copied = BTreeMap::new();
    for (number, (name, path)) in files.iter().enumerate() {
        let copy = copies.join(number.to_string());
        // A file that is gone by now belongs to a build that is under way; its end starts this script again.
        if fs::copy(path, &copy).is_ok() {
            copied.insert(name.clone(), copy);
        }
    }
    let files = copied;
    let mut table = String::from("pub(super) static FILES: &[File] = &[\n");
    for (name, path) in &files {
        if name.ends_with(".br") || name.ends_with(".gz") || name.ends_with("/sizes.json") {
            continue;
        }
        let form = |suffix: &str| match files.get(&format!("{name}{suffix}")) {
            Some(path) => format!("Some(include_bytes!({path:?}))"),
            None => "None".to_owned(),
        };
        writeln!(
            table,
            "    File {{ path: {name:?}, raw: include_bytes!({path:?}), br: {}, gz: {} }},",
            form(".br"),
            form(".gz")
        )
        .expect("a String takes every write");
    }
    table.push_str("];\n");
    let file = out.join("assets.rs");
    if fs::read_to_string(&file).ok().as_deref() != Some(table.as_str()) {
        fs::write(&file, table).expect("cargo's OUT_DIR can be written");
    }
}

fn collect(folder: &Path, name: &str, files: &mut BTreeMap<String, PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if path.is_dir() {
            collect(&path, &name, files);
        } else if let Ok(path) = path.canonicalize() {
            files.insert(name, path);
        }
    }
}
