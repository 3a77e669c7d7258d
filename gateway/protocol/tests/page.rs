//! `PROTOCOL.md` is what people write clients from, so it must name everything that the crate knows.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too: a failed unwrap is a failed test")]

use bellhop_protocol::{ClientFrame, CloseCode, RefusalCode, ServerFrame, limits};
use serde::Deserialize;

fn page() -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("PROTOCOL.md")).unwrap()
}

/// The part of the page under a heading.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let level = heading.split(' ').next().unwrap();
    let rest = &page[start + heading.len() + 2..];
    let end = rest.find(&format!("\n{level} ")).unwrap_or(rest.len());
    &rest[..end]
}

/// The names that serde knows, read off the error for one that it does not.
fn names<'de, T: Deserialize<'de>>(json: &'de str) -> Vec<String> {
    let error = serde_json::from_str::<T>(json).err().unwrap().to_string();
    let names: Vec<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert!(!names.is_empty(), "{error}");
    names
}

#[test]
fn every_frame_kind_has_a_row() {
    let page = page();
    for (heading, kinds) in [
        ("### What a client says", names::<ClientFrame>(r#"{"t":"?"}"#)),
        ("### What a gateway says", names::<ServerFrame>(r#"{"t":"?"}"#)),
        ("### Events", names::<bellhop_protocol::Body>(r#"{"kind":"?"}"#)),
    ] {
        let section = section(&page, heading);
        for kind in kinds {
            assert!(section.contains(&format!("\n| `{kind}` |")), "{heading}: {kind} has no row");
        }
    }
}

#[test]
fn every_frame_names_every_field() {
    let page = page();
    for (file, heading) in [("client.json", "### What a client says"), ("server.json", "### What a gateway says")] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(file);
        let fixture: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for case in fixture["frames"].as_array().unwrap() {
            let frame = case["frame"].as_object().unwrap();
            let kind = frame["t"].as_str().unwrap();
            let row = section(&page, heading).lines().find(|line| line.starts_with(&format!("| `{kind}` |"))).unwrap();
            for field in frame.keys().filter(|field| *field != "t") {
                let named = row.contains(&format!("`{field}`")) || row.contains(&format!("`{field}?`"));
                assert!(named, "{heading}: the row of {kind} does not name {field}");
            }
        }
    }
}

#[test]
fn every_close_code_and_refusal_has_a_row() {
    let page = page();
    let closes = section(&page, "## Closes");
    for code in CloseCode::ALL {
        let back = if code.reconnect() { "yes" } else { "no" };
        let row = format!("\n| {} | {code:?} | {back} |", code.number());
        assert!(closes.contains(&row), "the page should say {row}");
    }
    let refusals = section(&page, "## Refusals");
    for code in names::<RefusalCode>("\"?\"") {
        assert!(refusals.contains(&format!("\n| `{code}` |")), "{code} has no row");
    }
}

#[test]
fn every_limit_is_told_with_its_value() {
    let page = page();
    let told = section(&page, "## Limits");
    let source = include_str!("../src/limits.rs");
    let names: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let values: [(&str, u64); 16] = [
        ("MAX_FRAME_BYTES", limits::MAX_FRAME_BYTES as u64),
        ("MAX_TEXT_BYTES", limits::MAX_TEXT_BYTES as u64),
        ("MAX_PAGE_BYTES", limits::MAX_PAGE_BYTES as u64),
        ("MAX_NAME_CHARS", limits::MAX_NAME_CHARS as u64),
        ("MAX_BATCH_EVENTS", limits::MAX_BATCH_EVENTS as u64),
        ("MAX_BATCH_BYTES", limits::MAX_BATCH_BYTES as u64),
        ("DEFAULT_BATCH_EVENTS", limits::DEFAULT_BATCH_EVENTS as u64),
        ("MAX_RESUME_EVENTS", limits::MAX_RESUME_EVENTS),
        ("MAX_LIST_ROWS", limits::MAX_LIST_ROWS as u64),
        ("MAX_OPEN_CONVERSATIONS", limits::MAX_OPEN_CONVERSATIONS as u64),
        ("MAX_OUTBOX_BYTES", limits::MAX_OUTBOX_BYTES as u64),
        ("HELLO_TIMEOUT_SECS", limits::HELLO_TIMEOUT_SECS),
        ("HEARTBEAT_MS", limits::HEARTBEAT_MS),
        ("IDLE_TIMEOUT_MS", limits::IDLE_TIMEOUT_MS),
        ("MAX_BAD_FRAMES", u64::from(limits::MAX_BAD_FRAMES)),
        ("MAX_CONTROL_FRAMES_PER_10S", u64::from(limits::MAX_CONTROL_FRAMES_PER_10S)),
    ];
    assert_eq!(names, values.map(|(name, _)| name), "a limit was added: add it here and to the page");
    for (name, value) in values {
        let digits = value.to_string();
        let grouped: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
        let row = format!("\n| `{name}` | {} |", grouped.join(","));
        assert!(told.contains(&row), "the page should say {row}");
    }
}
