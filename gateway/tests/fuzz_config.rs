//! Configuration files without end: the printed one, spoilt by line, token and byte. Reading it ends in a
//! configuration or in sentences that each name a place; never in a panic. `BELLHOP_CONFIGS` is how many.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(dead_code, reason = "the generator of frames has more than a file of settings needs")]

#[path = "../protocol/tests/fuzz/grammar.rs"]
mod grammar;
#[path = "../protocol/tests/fuzz/random.rs"]
mod random;

use bellhop_gateway::config;
use random::Random;

/// What stands in files of settings, and what does not.
const VALUES: [&str; 24] = [
    "0",
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "1e9",
    "nan",
    "inf",
    "true",
    "\"\"",
    "\"5s\"",
    "\"-5s\"",
    "\"99999999999999999999d\"",
    "\"0ms\"",
    "[]",
    "[[]]",
    "[\"10.0.0.0/33\"]",
    "{}",
    "{ a = 1 }",
    "1979-05-27T07:32:00Z",
    "'''",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"127.0.0.1:99999\"",
    "\"http://\"",
];

fn spoil(random: &mut Random, good: &str) -> String {
    let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
    for _ in 0..=random.below(4) {
        let at = random.below(lines.len());
        match random.below(7) {
            0 => _ = lines.remove(at),
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let to = random.below(lines.len());
                lines.swap(at, to);
            }
            3 | 4 => {
                if let Some((key, _)) = lines[at].clone().split_once('=') {
                    lines[at] = format!("{key}= {}", random.of(&VALUES));
                }
            }
            5 => lines[at] = by_character(random, &lines[at].clone()),
            _ => lines.insert(at, format!("[{}]", random.of(&["server", "nothing", "", "server.listen", "[limits]"]))),
        }
    }
    let text = lines.join(if random.one_in(5) { "\r\n" } else { "\n" });
    if random.one_in(4) { grammar::by_byte(random, &text) } else { text }
}

fn by_character(random: &mut Random, line: &str) -> String {
    let odd = grammar::odd(random, 2);
    if line.is_empty() { odd } else { grammar::by_token(random, line, &odd) }
}

#[test]
fn every_file_is_a_configuration_or_is_refused_by_its_lines() {
    let variable = |name: &str, default| std::env::var(name).map_or(default, |it| it.parse().expect("a number"));
    let (files, seed): (u64, u64) = (variable("BELLHOP_CONFIGS", 10_000), variable("BELLHOP_SEED", 7));
    let printed = std::process::Command::new(env!("CARGO_BIN_EXE_bellhop")).args(["config", "print"]).output().unwrap();
    let whole = String::from_utf8(printed.stdout).unwrap();
    // Comments are most of it and say nothing to the reader.
    let good: String = whole.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).fold(
        String::new(),
        |mut text, line| {
            text += line;
            text.push('\n');
            text
        },
    );
    let path = std::env::temp_dir().join(format!("bellhop-fuzz-{}.toml", std::process::id()));
    let name = path.display().to_string();
    let mut random = Random::new(seed);
    let (mut accepted, mut refused) = (0u64, 0u64);
    for _ in 0..files {
        let text = spoil(&mut random, &good);
        std::fs::write(&path, &text).unwrap();
        match config::load(Some(&path), std::iter::empty(), &Vec::new()) {
            Ok(_) => accepted += 1,
            Err(bad) => {
                assert!(!bad.0.is_empty(), "refused without a word: {text}");
                for sentence in &bad.0 {
                    // Rules between keys may rest on a default, which has no line.
                    let place = sentence.strip_prefix(&name).and_then(|rest| rest.strip_prefix(':'));
                    let line = place.and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
                    let placed = line.is_some_and(|line| (1..=text.lines().count().max(1) + 1).contains(&line));
                    assert!(placed || sentence.starts_with("default: "), "{sentence} of {text}");
                    assert!(sentence.chars().count() < 1_000, "a sentence of {}: {text}", sentence.len());
                }
                refused += 1;
            }
        }
    }
    let _ = std::fs::remove_file(&path);
    println!(
        "PROOF {}",
        serde_json::json!({
            "promise": "Input", "attack": "configuration files, spoilt by line, token and byte", "store": "-",
            "count": format!("{files} files"),
            "result": format!("{accepted} accepted, {refused} refused, each with file and line; 0 panics"),
            "passed": true, "seed": seed,
        })
    );
    assert!(accepted > files / 50 && refused > files / 2, "the generator keeps its balance: {accepted}, {refused}");
}
