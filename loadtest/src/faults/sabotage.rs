//! Shows that the checker can fail: the same crowd and the same checker against `bellhop-sabotaged`, once with each
//! fault that ends of the server or a slow reader can show, and once with none.

use std::time::{Duration, Instant};

use super::{Came, Mood, Plan, Promise, Run, calm_settings};
use crate::{
    args::{Faults, Target},
    dice::mix,
    proof::Proof,
    server::beside_this,
};

/// What is put in, what the server goes through, and which promise the checker must name; `None`: none at all.
struct Round {
    fault: &'static str,
    plan: Plan,
    before: Duration,
    think: Duration,
    /// A crowd of long texts, and outboxes that are soon full.
    long: bool,
    broken: Option<Promise>,
}

/// `ignore-epoch` is missing: rows of an owner who was fenced off need two owners, whom only the simulation has.
const ROUNDS: [Round; 9] = [
    Round { fault: "none", plan: Plan { kills: 2, terms: 1 }, before: CALM, think: BRISK, long: false, broken: None },
    Round {
        fault: "acknowledge-before-sync",
        plan: Plan { kills: 4, terms: 0 },
        before: CALM,
        think: BRISK,
        long: false,
        broken: Some(Promise::G1),
    },
    Round {
        fault: "skip-dedup-after-restart",
        plan: Plan { kills: 2, terms: 0 },
        before: CALM,
        think: BRISK,
        long: false,
        broken: Some(Promise::G3),
    },
    Round {
        fault: "renumber-on-wake",
        plan: Plan { kills: 1, terms: 0 },
        before: CALM,
        think: BRISK,
        long: false,
        broken: Some(Promise::G2),
    },
    Round { fault: "none", plan: Plan { kills: 0, terms: 0 }, before: FULL, think: BRISK, long: true, broken: None },
    Round {
        fault: "drop-on-full-outbox",
        plan: Plan { kills: 0, terms: 0 },
        before: FULL,
        think: BRISK,
        long: true,
        broken: Some(Promise::G4),
    },
    Round {
        fault: "resume-from-seq-plus-one",
        plan: Plan { kills: 1, terms: 0 },
        before: CALM,
        think: BRISK,
        long: false,
        broken: Some(Promise::G4),
    },
    // The hole is as long as a sync: it takes some kills in a crowd that never pauses.
    Round {
        fault: "fan-out-before-durable",
        plan: Plan { kills: 6, terms: 0 },
        before: CALM,
        think: Duration::from_millis(12),
        long: false,
        broken: Some(Promise::G2),
    },
    Round {
        fault: "lose-last-batch-on-drain",
        plan: Plan { kills: 0, terms: 3 },
        before: CALM,
        think: BRISK,
        long: false,
        broken: Some(Promise::G8),
    },
];

const CALM: Duration = Duration::from_millis(500);
/// Until the slow reader's outbox has been full some times.
const FULL: Duration = Duration::from_secs(8);
/// The slow reader's longest pause, in a crowd of long texts. The kernel's buffers fill first: with 2 s the outbox was full in one
/// run of five.
const STALL: Duration = Duration::from_secs(5);
const BRISK: Duration = Duration::from_millis(50);
/// Less than otherwise: a server with a fault may never become quiet, and is judged all the same.
const PATIENCE: u32 = 8;

/// Runs in which a fault may show, each of another seed: some need a moment that not every run has, such as a kill in the
/// middle of a sync. A run without a fault has one, and must be clean.
const TRIES: u64 = 12;

/// Runs all rounds, or one, and prints what the checker said. Whether it was right each time.
pub(super) async fn rounds(options: &Faults, seed: u64) -> Result<bool, String> {
    let begin = Instant::now();
    let bellhop = match &options.target.bellhop {
        Some(path) => path.clone(),
        None => beside_this("bellhop-sabotaged")?,
    };
    let clean = Target { bellhop: Some(bellhop), ..options.target.clone() };
    let sick = Target { patience: PATIENCE, ..clean.clone() };
    let wanted = |round: &&Round| options.fault.as_ref().is_none_or(|fault| fault == round.fault);
    let rounds: Vec<&Round> = ROUNDS.iter().filter(wanted).collect();
    if rounds.is_empty() {
        let names: Vec<&str> = ROUNDS.iter().map(|round| round.fault).collect();
        return Err(format!("there is no such fault here; there are {}", names.join(", ")));
    }
    let mut missed = Vec::new();
    for round in &rounds {
        let target = if round.broken.is_some() { &sick } else { &clean };
        let tries = if round.broken.is_some() { TRIES } else { 1 };
        let mut right = false;
        for attempt in 0..tries {
            let came = round.run(options, mix(seed + attempt)).run(target).await;
            right = round.judge(came);
            if right {
                break;
            }
        }
        if !right {
            missed.push(round.fault);
        }
    }
    let faults = rounds.iter().filter(|round| round.broken.is_some()).count();
    let clean = rounds.len() - faults;
    let passed = missed.is_empty();
    Proof {
        promise: "G1 G2 G3 G4 G8",
        attack: "faults put into the server on purpose: can the checker of the kill runs fail?".into(),
        store: crate::proof::store(&options.target),
        count: format!("{faults} faults, {clean} runs without one"),
        result: if passed {
            format!(
                "the broken promise named for each fault, nothing without one, in {:.0} s",
                begin.elapsed().as_secs_f64()
            )
        } else {
            format!("wrong about {}", missed.join(", "))
        },
        passed,
        seed: Some(seed),
    }
    .print();
    Ok(passed)
}

impl Round {
    fn run(&self, options: &Faults, seed: u64) -> Run {
        let mut settings = calm_settings();
        if self.long {
            settings.push(("limits", "outbox_bytes = 524288".into()));
        }
        Run {
            plan: self.plan,
            mood: Mood {
                visitors: options.visitors,
                agents: options.agents,
                think: self.think,
                long_texts: if self.long { 600 } else { 15 },
                drops: if self.long { 0 } else { 15 },
                conversations: options.visitors * 2,
                stall: if self.long { STALL } else { Duration::from_secs(2) },
            },
            seed,
            before: self.before,
            environment: match self.broken {
                Some(_) => vec![("BELLHOP_SABOTAGE", self.fault.to_string())],
                None => Vec::new(),
            },
            settings,
            judge_anyway: self.broken.is_some(),
        }
    }

    /// Whether the checker was right.
    fn judge(&self, came: Result<Came, String>) -> bool {
        let came = match came {
            Ok(came) => came,
            Err(why) => {
                println!("fault {}: the run broke off: {why}", self.fault);
                return false;
            }
        };
        let findings = &came.verdict.findings;
        let shown = match self.broken {
            Some(promise) => findings.iter().find(|finding| finding.promise == promise),
            None => findings.first(),
        };
        let right = shown.is_some() == self.broken.is_some();
        println!(
            "fault {}: {}, {} findings, broken {:?}",
            self.fault,
            if right { "right" } else { "WRONG" },
            findings.len(),
            came.verdict.broken()
        );
        for finding in shown.into_iter().chain(findings.iter().take(if right { 0 } else { super::SHOWN })) {
            println!("  {finding}");
        }
        right
    }
}
