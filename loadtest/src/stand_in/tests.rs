use std::{path::PathBuf, time::Duration};

use clap::Parser;

use super::{Sabotage, run};
use crate::args::Arguments;

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Runs a command line against a stand-in; whether all was well, and the figures.
async fn play(name: &str, line: &str, sabotage: Sabotage, cut_one_of: u64) -> (bool, serde_json::Value) {
    let scratch = Scratch(std::env::temp_dir().join(format!("bellhop-loadtest-{name}-{}", std::process::id())));
    let directory = &scratch.0;
    std::fs::create_dir_all(directory).unwrap();
    let path = |name: &str| directory.join(name).display().to_string();
    let turn = |index: usize| {
        // Runs of one side, and the same words twice, as in real ones.
        let side = if index % 5 < 3 && index != 4 { "visitor" } else { "agent" };
        format!(r#"{{"from":"{side}","text":"turn {} \u4f60 \"q\"\n","delay_ms":3000}}"#, index / 2)
    };
    let lines: Vec<String> = (0..40)
        .map(|number| {
            let turns: Vec<String> = (0..12).map(turn).collect();
            format!(r#"{{"id":"t{number}","turns":[{}]}}"#, turns.join(","))
        })
        .collect();
    std::fs::write(path("t.jsonl"), lines.join("\n")).unwrap();
    std::fs::write(path("key"), "bhk_x\n").unwrap();
    let address = run(sabotage, cut_one_of).await;
    let line = line.replace("FILE", &path("t.jsonl"));
    let line = format!("x {line} --server http://{address} --key {} --json {}", path("key"), path("json"));
    let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
    let good = tokio::time::timeout(Duration::from_secs(60), crate::play(&arguments.command)).await.unwrap();
    let json = std::fs::read_to_string(path("json")).unwrap();
    (good.unwrap(), serde_json::from_str(&json).unwrap())
}

#[tokio::test]
async fn a_replay_over_a_faithful_server_finds_nothing() {
    let (good, json) = play("good", "replay --file FILE --parallel 7", Sabotage::None, 0).await;
    assert!(good, "{json}");
    assert_eq!((&json["conversations"], &json["turns"], &json["mismatches"]), (&40.into(), &480.into(), &0.into()));
    assert!(json["p50_ms"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn a_replay_over_links_that_break_loses_and_doubles_nothing() {
    let (good, json) = play("cuts", "replay --file FILE --parallel 9", Sabotage::None, 40).await;
    assert!(good, "{json}");
    assert_eq!((&json["turns"], &json["mismatches"]), (&480.into(), &0.into()));
    assert!(json["reconnects"].as_u64().unwrap() > 5 && json["repeats"].as_u64().unwrap() > 5, "{json}");
}

#[tokio::test]
async fn recorded_pauses_are_kept_at_a_speed() {
    let begin = std::time::Instant::now();
    let (good, _) = play("pace", "replay --file FILE --speed 60 --conversations 3", Sabotage::None, 0).await;
    assert!(good && begin.elapsed() > Duration::from_millis(50 * 11));
}

#[tokio::test]
async fn every_broken_promise_is_found_from_outside() {
    for (sabotage, says) in [
        (Sabotage::Lose, "is lost"),
        (Sabotage::Double, "once more than it was said"),
        (Sabotage::Alter, "was altered"),
        (Sabotage::WrongSide, "by the wrong side"),
        (Sabotage::Reorder, "out of order"),
    ] {
        let (good, json) = play(&format!("{sabotage:?}"), "replay --file FILE", sabotage, 0).await;
        assert!(!good, "{sabotage:?}");
        assert!(json["mismatches"].as_u64().unwrap() >= 40, "{sabotage:?}: {json}");
        let first = json["first_mismatches"].to_string();
        assert!(first.contains(says), "{sabotage:?}: {first}");
    }
    let (good, json) = play("forget", "replay --file FILE --parallel 9", Sabotage::Forget, 30).await;
    assert!(!good && json["first_mismatches"].to_string().contains("once more than it was said"), "{json}");
}

#[tokio::test]
async fn chat_measures_and_compares() {
    let (good, json) = play("chat", "chat --pairs 20 --seconds 1 --warm-up 0", Sabotage::None, 0).await;
    assert!(good, "{json}");
    assert!(json["messages_per_second"].as_f64().unwrap() > 100.0, "{json}");
    assert_eq!((&json["verified_conversations"], &json["errors"]), (&20.into(), &0.into()));
    assert!(json["receipts"].as_u64().unwrap() >= 20 && json["generator_cpu"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn chat_finds_what_was_acknowledged_and_heard_but_not_kept() {
    let (good, json) = play("broken", "chat --pairs 5 --seconds 1 --warm-up 0", Sabotage::Lose, 0).await;
    assert!(!good && json["mismatches"].as_u64().unwrap() >= 5, "{json}");
}

#[tokio::test]
async fn idle_sessions_are_counted_and_weighed() {
    let (good, json) = play("idle", "idle --sessions 50 --seconds 1", Sabotage::None, 0).await;
    assert!(good, "{json}");
    assert_eq!((&json["sessions"], &json["reconnects"]), (&50.into(), &0.into()));
    assert!(json["bytes_per_session"].as_f64().is_some());
}
