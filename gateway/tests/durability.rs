//! What was acknowledged is there, once, whatever happens to the process: the real binary under load, killed or told
//! to stop at random moments, and then read by an independent reader: the store itself, against the clients' records.
#![allow(clippy::unwrap_used, reason = "a test")]

mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bellhop_engine::domain::{Body, ConversationId, ConversationKey, Part, WorkspaceId};
use bellhop_engine::ports::{Range, Store};
use bellhop_protocol::Id;
use bellhop_storage::{Embedded, EmbeddedOptions};
use process::{Record, Run, Server, Visitor};

const VISITORS: u64 = 8;

/// A directory on the disk of the build, gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _absent = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A small generator of random numbers: the seed is printed, so that a run can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Runs visitors against a server to which `strike` happens `times` times at random moments; returns the records.
async fn under_load(
    data: &Path,
    times: u64,
    mut dice: Dice,
    strike: impl Fn(&mut Server),
) -> (WorkspaceId, Vec<Record>, Arc<Run>) {
    let mut server = Server::start(data, None);
    let workspace = server.set_up().await;
    let run = Arc::new(Run {
        port: server.port,
        workspace,
        finish: AtomicBool::new(false),
        acknowledged: AtomicU64::new(0),
        farewells: AtomicU64::new(0),
    });
    let visitors: Vec<_> = (1..=VISITORS).map(|name| tokio::spawn(Visitor::new(&run, name).live())).collect();
    for _ in 0..times {
        // Each strike falls on a server that works: some acknowledgements after the last one, then a random moment.
        let goal = run.acknowledged.load(Ordering::Relaxed) + 20 + dice.below(200);
        while run.acknowledged.load(Ordering::Relaxed) < goal {
            assert!(!visitors.iter().any(|visitor| visitor.is_finished()), "a visitor gave up");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(dice.below(20_000))).await;
        tokio::task::block_in_place(|| {
            strike(&mut server);
            server = Server::start(&server.data.clone(), Some(run.port));
        });
    }
    run.finish.store(true, Ordering::Relaxed);
    let mut records = Vec::new();
    for visitor in visitors {
        records.push(visitor.await.unwrap());
    }
    tokio::task::block_in_place(|| server.kill());
    (WorkspaceId(workspace.0), records, run)
}

/// Reads every conversation from the store itself and holds it against what its visitor was told.
async fn check(data: &Path, workspace: WorkspaceId, records: &[Record]) {
    let store = Embedded::open(data, EmbeddedOptions::new()).unwrap();
    for record in records {
        let conversation = ConversationId(record.conversation.expect("every visitor was acknowledged").0);
        let key = ConversationKey { workspace, conversation };
        let (mut stored, mut visible, mut last) = (BTreeMap::<Id, Vec<(u64, String)>>::new(), Vec::new(), 0);
        loop {
            let events = store.events(key, Range::After(last), 1_000).await.unwrap();
            let Some(event) = events.last() else { break };
            let upto = event.seq;
            for event in &events {
                assert_eq!(event.seq, last + 1, "the log has no gap");
                last = event.seq;
                if event.visible_to(bellhop_engine::domain::Audience::All) {
                    visible.push(event.seq);
                }
                if let (Some(mark), Body::Message { parts }) = (event.command, &event.body) {
                    let Part::Text(text) = &parts[0];
                    stored.entry(Id(mark.id.0)).or_default().push((event.seq, text.to_string()));
                }
            }
            assert_eq!(last, upto);
        }
        for (id, (seq, text)) in &record.acknowledged {
            assert_eq!(stored.get(id), Some(&vec![(*seq, text.clone())]), "acknowledged {text:?} is there once");
        }
        for (id, found) in &stored {
            assert_eq!(found.len(), 1, "{found:?} took effect once");
            assert_eq!(record.sent.get(id), Some(&found[0].1), "nothing is there that nobody sent");
        }
        assert_eq!(record.seen, visible[..record.seen.len()], "the reader saw each event once and in order");
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_command_survives_kill_dash_nine() {
    let seed = std::env::var("BELLHOP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_0001);
    let scratch = Scratch::new("kill");
    let (workspace, records, run) = under_load(&scratch.0, 20, Dice(seed), Server::kill).await;
    let resumes: u64 = records.iter().map(|record| record.resumes).sum();
    println!(
        "seed {seed}: 20 kills, {} acknowledged, {resumes} resumes without a gap",
        run.acknowledged.load(Ordering::Relaxed)
    );
    assert!(resumes >= 20, "the visitors were thrown out by the kills");
    check(&scratch.0, workspace, &records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_loses_nothing_acknowledged_and_tells_clients_to_come_back() {
    let scratch = Scratch::new("term");
    let stop = |server: &mut Server| assert_eq!(server.terminate(), Some(0), "a clean exit");
    let (workspace, records, run) = under_load(&scratch.0, 4, Dice(0x5eed_0002), stop).await;
    let farewells = run.farewells.load(Ordering::Relaxed);
    println!("4 stops, {} acknowledged, {farewells} told to come back", run.acknowledged.load(Ordering::Relaxed));
    assert!(farewells >= VISITORS, "clients are told, not dropped");
    check(&scratch.0, workspace, &records).await;
}
