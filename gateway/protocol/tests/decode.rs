//! Whatever comes over a socket, reading it ends in a frame or in a sentence, never in a panic.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too: a failed unwrap is a failed test")]

use bellhop_protocol::{Id, decode_client, decode_server};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

fn config() -> Config {
    // The seed is fixed so that a failure repeats; raise `cases` to look further.
    Config { cases: 3_000, rng_seed: RngSeed::Fixed(0x0BE1_1808), failure_persistence: None, ..Config::default() }
}

fn fixture_texts() -> Vec<String> {
    ["client.json", "server.json"]
        .into_iter()
        .flat_map(|name| {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
            let fixture: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            fixture["frames"].as_array().unwrap().iter().map(|case| case["frame"].to_string()).collect::<Vec<_>>()
        })
        .collect()
}

fn try_both(text: &str) {
    for error in [decode_client(text).err(), decode_server(text).err()].into_iter().flatten() {
        assert!(!error.message.is_empty());
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        try_both(&text);
    }

    #[test]
    fn any_object_with_a_known_kind_is_read_or_refused(
        kind in prop::sample::select(vec![
            "hello", "start", "send", "note", "assign", "resolve", "reopen", "status", "open", "close", "page", "read",
            "typing", "conversations", "list", "unlist", "more", "ping",
        ]),
        fields in prop::collection::vec(("(id|conversation|seen|text|to|seq|on|view|v|as|after|before|limit)", json()), 0..6),
    ) {
        let mut text = format!(r#"{{"t":"{kind}""#);
        for (name, value) in fields {
            text.push_str(&format!(r#","{name}":{value}"#));
        }
        text.push('}');
        try_both(&text);
    }

    #[test]
    fn a_good_frame_with_damage_is_read_or_refused(
        text in prop::sample::select(fixture_texts()),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        for (place, character) in places {
            let place = place.index(characters.len());
            characters[place] = character;
        }
        try_both(&characters.iter().collect::<String>());
        try_both(&characters[..cut.index(characters.len())].iter().collect::<String>());
    }

    #[test]
    fn an_id_has_one_text(value in any::<u128>(), other in ".{0,40}") {
        prop_assert_eq!(Id::parse(&Id(value).to_string()), Ok(Id(value)));
        if let Ok(id) = Id::parse(&other) {
            prop_assert_eq!(id.to_string(), other);
        }
    }
}

fn json() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|it| it.to_string()),
        any::<f64>().prop_filter("JSON has no NaN", |it| it.is_finite()).prop_map(|it| it.to_string()),
        any::<bool>().prop_map(|it| it.to_string()),
        any::<String>().prop_map(|it| serde_json::Value::from(it).to_string()),
        any::<u128>().prop_map(|it| format!("\"{}\"", Id(it))),
        Just("[[[{}]]]".to_owned()),
        Just("\"\\ud800\"".to_owned()),
    ]
}

#[test]
fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
    let deep = format!(r#"{{"t":"ping","x":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    try_both(&deep);
}
