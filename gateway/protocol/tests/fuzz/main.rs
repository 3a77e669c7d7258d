//! Frames without end: by grammar, spoilt by structure, by token and by byte, each judged by the table of PROTOCOL.md
//! written down a second time. `BELLHOP_FRAMES` is how many (3,000,000 when absent), `BELLHOP_SEED` the seed.
//!
//! What is checked of each: no panic; it is accepted exactly when the table says so; what is accepted comes back equal
//! when written and read again, and is not larger than it came; what is refused has a short sentence and names its
//! field; the id is told when it can be read. (Work is linear in a frame's bytes by construction, see `decode.rs`; that
//! no answer grows with what was sent is checked here.)
#![allow(clippy::unwrap_used, reason = "helpers of tests, too: a failed unwrap is a failed test")]

mod grammar;
mod random;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bellhop_protocol::{Id, decode_client, decode_server};
use grammar::{KINDS, Kind, by_byte, by_token, frame};
use random::Random;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// The longest sentence of a refusal, characters.
const SENTENCE: usize = 200;
/// The only field that is written when it was absent: `,"to":null`.
const GROWTH: usize = 10;

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |it| it.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn fixtures(name: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    let fixture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let frames = fixture["frames"].as_array().unwrap().iter().map(|case| case["frame"].to_string());
    let bad = fixture["bad"].as_array().into_iter().flatten().map(|case| case["text"].as_str().unwrap().to_owned());
    frames.chain(bad).collect()
}

/// What the table says of a whole JSON object.
enum Verdict {
    Good,
    /// The first of these is at fault.
    Bad(Vec<String>),
}

fn judge(value: &Value) -> Option<Verdict> {
    let object = value.as_object()?;
    let Some(t) = object.get("t").and_then(Value::as_str) else { return Some(Verdict::Bad(vec!["t".to_owned()])) };
    let Some((_, fields)): Option<&Kind> = KINDS.iter().find(|(name, _)| *name == t) else {
        return Some(Verdict::Bad(vec!["t".to_owned()]));
    };
    let wrong: Vec<String> = fields
        .iter()
        .filter(|(name, holds, must)| match object.get(*name) {
            None => *must,
            Some(Value::Null) => *must,
            Some(value) => !holds.fits(value),
        })
        .map(|(name, ..)| (*name).to_owned())
        .collect();
    Some(if wrong.is_empty() { Verdict::Good } else { Verdict::Bad(wrong) })
}

/// Whether two fields of an object have one name.
struct Keys {
    doubled: bool,
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Keys;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let (mut seen, mut doubled) = (BTreeSet::new(), false);
                while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
                    doubled |= !seen.insert(key);
                }
                Ok(Keys { doubled })
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// One frame of a client; true if it was accepted.
fn client(text: &str) -> bool {
    let value = serde_json::from_str::<Value>(text);
    match decode_client(text) {
        Ok(read) => {
            let written = serde_json::to_string(&read).unwrap();
            assert_eq!(decode_client(&written).as_ref(), Ok(&read), "another frame when read again: {text}");
            assert!(written.len() <= text.len() + GROWTH, "it grew: {text}");
            // What serde_json's own tree refuses is deep nesting or a lone surrogate in a field that is skipped.
            if let Ok(value) = &value {
                assert!(matches!(judge(value), Some(Verdict::Good)), "accepted: {text}");
            }
            true
        }
        Err(bad) => {
            assert!(!bad.message.is_empty() && bad.message.chars().count() <= SENTENCE, "{} for {text}", bad.message);
            assert!(bad.field.as_ref().is_none_or(|it| it.chars().count() <= 64), "{:?} for {text}", bad.field);
            assert!(!bad.message.contains("struct "), "a type of ours: {} for {text}", bad.message);
            let Ok(value) = value else { return false };
            let Some(verdict) = judge(&value) else { return false };
            let named = bad.field.as_ref().unwrap_or_else(|| panic!("{bad} names no field: {text}"));
            // serde_json's tree keeps the last of two fields of one name; the protocol knows no doubles.
            if serde_json::from_str::<Keys>(text).unwrap().doubled {
                return false;
            }
            match verdict {
                Verdict::Good => panic!("refused, {bad}: {text}"),
                Verdict::Bad(wrong) => assert!(wrong.contains(named), "{named}, not {wrong:?}: {text}"),
            }
            assert_eq!(bad.id, value["id"].as_str().and_then(|id| Id::parse(id).ok()), "{text}");
            false
        }
    }
}

/// One frame of a gateway, as a client in Rust reads it.
fn server(text: &str) -> bool {
    match decode_server(text) {
        Ok(read) => {
            let written = serde_json::to_string(&read).unwrap();
            assert_eq!(decode_server(&written).as_ref(), Ok(&read), "another frame when read again: {text}");
            true
        }
        Err(bad) => {
            assert!(!bad.message.is_empty() && bad.message.chars().count() <= SENTENCE, "{} for {text}", bad.message);
            false
        }
    }
}

#[derive(Default)]
struct Counts {
    frames: u64,
    accepted: u64,
}

fn stretch(seed: u64, frames: u64) -> Counts {
    let (of_clients, of_servers) = (fixtures("client.json"), fixtures("server.json"));
    let mut random = Random::new(seed);
    let mut counts = Counts::default();
    while counts.frames < frames {
        let accepted = match random.below(8) {
            0..=3 => client(&frame(&mut random)),
            4 => {
                let (good, other) = (random.of(&of_clients).clone(), frame(&mut random));
                client(&by_token(&mut random, &good, &other))
            }
            5 => {
                let good = if random.one_in(2) { random.of(&of_clients).clone() } else { frame(&mut random) };
                client(&by_byte(&mut random, &good))
            }
            6 => {
                let (good, other) = (random.of(&of_servers).clone(), random.of(&of_servers).clone());
                server(&by_token(&mut random, &good, &other))
            }
            _ => {
                let good = random.of(&of_servers).clone();
                server(&by_byte(&mut random, &good))
            }
        };
        counts.accepted += u64::from(accepted);
        counts.frames += 1;
    }
    counts
}

fn commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        let _ = text.write_char(digit);
    }
    text
}

#[test]
fn every_frame_is_read_as_the_protocol_says_or_refused_by_its_field() {
    let (frames, seed) = (variable("BELLHOP_FRAMES", 3_000_000), variable("BELLHOP_SEED", 7));
    let threads: Vec<_> =
        (0..2).map(|thread| std::thread::spawn(move || stretch(seed * 1_000 + thread, frames / 2))).collect();
    let (mut done, mut accepted, mut passed) = (0, 0, true);
    for thread in threads {
        match thread.join() {
            Ok(counts) => (done, accepted) = (done + counts.frames, accepted + counts.accepted),
            Err(_) => passed = false,
        }
    }
    println!(
        "PROOF {}",
        serde_json::json!({
            "promise": "Input", "attack": "frames by grammar, and spoilt by structure, token and byte", "store": "-",
            "count": format!("{} frames", commas(done)),
            "result": format!("{} accepted, {} refused by field or rule; 0 panics, 0 misread", commas(accepted), commas(done - accepted)),
            "passed": passed, "seed": seed,
        })
    );
    assert!(passed, "see above; BELLHOP_SEED={seed} repeats it");
    assert!(accepted > done / 5 && accepted < done * 4 / 5, "the generator keeps its balance: {accepted} of {done}");
}

/// A refusal must not be larger than what it refuses, or a client could make the gateway write for it.
#[test]
fn a_refusal_never_repeats_a_frame_at_length() {
    for huge in [
        format!(r#"{{"t":"open","conversation":"{}"}}"#, "\u{200B}".repeat(21_000)),
        format!(r#"{{"t":"{}"}}"#, "x".repeat(65_000)),
        format!(r#"{{"t":"list","view":"{}"}}"#, "\\u0001".repeat(10_000)),
        format!(r#"{{"t":"hello","v":1,"as":"{}"}}"#, "\\\"".repeat(30_000)),
    ] {
        let bad = decode_client(&huge).unwrap_err();
        assert!(bad.message.chars().count() <= SENTENCE, "{}", bad.message.len());
        assert!(bad.field.is_some_and(|field| ["conversation", "t", "view", "as"].contains(&field.as_str())));
    }
}
