//! The golden frames in `fixtures/`: what this crate reads and writes is what they say. The TypeScript client reads the
//! same files (`gateway/client`, test `fixtures`), and so should a client in any other language.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too: a failed unwrap is a failed test")]

use std::collections::BTreeSet;

use bellhop_protocol::{CloseCode, RefusalCode, ServerFrame, decode_client, decode_server};
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn cases<'a>(fixture: &'a Value, list: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    fixture[list].as_array().unwrap().iter().map(|case| (case["name"].as_str().unwrap(), case))
}

/// The kinds of a tagged enum as its source declares them, read off the error that names an unknown one.
fn kinds_of<T: for<'de> serde::Deserialize<'de>>() -> BTreeSet<String> {
    let error = serde_json::from_str::<T>(r#"{"t":"?"}"#).err().unwrap().to_string();
    error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

#[test]
fn client_frames_are_read_and_written_as_the_fixtures_say() {
    let fixture = fixture("client.json");
    let mut kinds = BTreeSet::new();
    for (name, case) in cases(&fixture, "frames") {
        let frame = decode_client(&case["frame"].to_string()).unwrap_or_else(|bad| panic!("{name}: {bad}"));
        assert_eq!(serde_json::to_value(&frame).unwrap(), case["frame"], "{name}");
        kinds.insert(case["frame"]["t"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds, kinds_of::<bellhop_protocol::ClientFrame>(), "every kind has a fixture");
    for (name, case) in cases(&fixture, "accepted") {
        let frame = decode_client(case["text"].as_str().unwrap()).unwrap_or_else(|bad| panic!("{name}: {bad}"));
        assert_eq!(serde_json::to_value(&frame).unwrap(), case["frame"], "{name}");
    }
    for (name, case) in cases(&fixture, "bad") {
        let bad = decode_client(case["text"].as_str().unwrap()).expect_err(name);
        assert_eq!(bad.id.map(|id| id.to_string()).as_deref(), case["id"].as_str(), "{name}");
        assert!(!bad.message.is_empty(), "{name}");
    }
}

#[test]
fn server_frames_are_read_and_written_as_the_fixtures_say() {
    let fixture = fixture("server.json");
    let (mut kinds, mut refusals, mut closes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (name, case) in cases(&fixture, "frames") {
        let frame = decode_server(&case["frame"].to_string()).unwrap_or_else(|bad| panic!("{name}: {bad}"));
        assert_eq!(serde_json::to_value(&frame).unwrap(), case["frame"], "{name}");
        kinds.insert(case["frame"]["t"].as_str().unwrap().to_owned());
        match frame {
            ServerFrame::Refused(it) => _ = refusals.insert(format!("{:?}", it.code)),
            ServerFrame::Bye(it) => {
                assert_eq!(it.reconnect, it.code.reconnect(), "{name}");
                closes.insert(it.code.number());
            }
            _ => {}
        }
    }
    assert_eq!(kinds, kinds_of::<ServerFrame>(), "every kind has a fixture");
    assert_eq!(closes, CloseCode::ALL.map(CloseCode::number).into(), "every close code has a fixture");
    let error = serde_json::from_str::<RefusalCode>("\"?\"").unwrap_err().to_string();
    assert_eq!(refusals.len(), error.split('`').skip(3).step_by(2).count(), "every refusal code has a fixture");
    for (name, case) in cases(&fixture, "unknown") {
        assert!(decode_server(&case["frame"].to_string()).is_err(), "{name}");
    }
}

#[test]
fn every_optional_field_is_there_in_one_fixture_and_absent_in_another() {
    // (frame kind, pointer to the field)
    for (file, kind, field) in [
        ("client.json", "hello", "/workspace"),
        ("client.json", "hello", "/token"),
        ("client.json", "hello", "/client"),
        ("client.json", "start", "/page"),
        ("client.json", "open", "/after"),
        ("client.json", "page", "/limit"),
        ("client.json", "list", "/feed"),
        ("client.json", "list", "/at"),
        ("server.json", "welcome", "/token"),
        ("server.json", "welcome", "/team"),
        ("server.json", "welcome", "/available"),
        ("server.json", "welcome", "/team/answers_in_secs"),
        ("server.json", "ack", "/conversation"),
        ("server.json", "ack", "/seq"),
        ("server.json", "ack", "/prev"),
        ("server.json", "ack", "/at"),
        ("server.json", "ack", "/again"),
        ("server.json", "refused", "/id"),
        ("server.json", "refused", "/conversation"),
        ("server.json", "refused", "/field"),
        ("server.json", "refused", "/retry_after_ms"),
        ("server.json", "opened", "/reset"),
        ("server.json", "opened", "/conversation/assignee"),
        ("server.json", "opened", "/conversation/page"),
        ("server.json", "opened", "/conversation/visitor_online"),
        ("server.json", "opened", "/conversation/position"),
        ("server.json", "event", "/event/cmd"),
        ("server.json", "position", "/position"),
        ("server.json", "list", "/next"),
        ("server.json", "list_page", "/next"),
        ("server.json", "bye", "/retry_after_ms"),
    ] {
        let fixture = fixture(file);
        let of_kind: Vec<bool> = cases(&fixture, "frames")
            .filter(|(_, case)| case["frame"]["t"] == kind)
            .map(|(_, case)| case["frame"].pointer(field).is_some())
            .collect();
        assert!(of_kind.contains(&true) && of_kind.contains(&false), "{file} {kind} {field}");
    }
}
