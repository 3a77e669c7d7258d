//! `faults`: a crowd talks over real sockets while the server is killed, stopped and starved; then a checker that knows
//! nothing but the clients' own records decides whether every promise was kept.
//!
//! A run: [`guest`]s play ([`conduct`], [`visit`]) in a [`scene`] and write [`record`]s; [`attack`] deals the blows; all
//! settle; the server is killed a last time and started anew; [`last`] reads what is there; [`checker`] decides.

mod attack;
mod checker;
mod conduct;
mod guest;
mod last;
mod record;
mod sabotage;
mod scene;
mod visit;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bellhop_protocol::Id;
use tokio::task::JoinHandle;

use crate::{
    args::{Faults, Target},
    dice::{Dice, mix},
    house::House,
    proof::Proof,
    report::grouped,
    run::progress,
    server::Extras,
};
use attack::{Attack, Done, Plan};
use checker::{Promise, Verdict, check};
use guest::{Guest, Part};
use record::{Evidence, Record};
use scene::{Mood, Phase, Scene, Token};

/// Nobody waits and nobody heard anything for so long: all is quiet. List changes come at most 250 ms late, an offer
/// that was declined is made again after 250 ms.
const QUIET: Duration = Duration::from_millis(1_200);
/// Findings that are printed; the rest is counted.
const SHOWN: usize = 12;
/// Source addresses of agents, above those of the visitors.
const AGENTS_FROM: u32 = 14_500_000;

/// One run.
struct Run {
    plan: Plan,
    mood: Mood,
    seed: u64,
    /// How long the crowd is left alone before the first blow.
    before: Duration,
    environment: Vec<(&'static str, String)>,
    settings: Vec<(&'static str, String)>,
    /// A run that breaks off is judged by what there is, and its data are not kept: something was broken on purpose.
    judge_anyway: bool,
}

struct Came {
    verdict: Verdict,
    done: Done,
    /// Where records and data are kept, if something was found.
    kept: Option<PathBuf>,
}

/// Runs, checks, prints. Whether all was as it should be; an error is a sentence.
pub(crate) async fn faults(options: &Faults) -> Result<bool, String> {
    if let Some(directory) = &options.check {
        let evidence = Evidence::read(directory)?;
        let verdict = check(&evidence);
        print(&verdict);
        return Ok(verdict.findings.is_empty());
    }
    let seed = match options.seed {
        Some(seed) => seed,
        None => Dice::random()?.next() % 1_000_000,
    };
    if options.sabotage {
        return sabotage::rounds(options, seed).await;
    }
    let begin = Instant::now();
    let blows = options.kills + options.terms;
    let mood = Mood {
        visitors: options.visitors,
        agents: options.agents,
        think: Duration::from_millis(120),
        long_texts: 15,
        drops: 15,
        conversations: options.visitors * 2 + blows,
        stall: Duration::from_millis(1_500),
    };
    let run = Run {
        plan: Plan { kills: options.kills, terms: options.terms },
        mood,
        seed,
        before: Duration::ZERO,
        environment: Vec::new(),
        settings: calm_settings(),
        judge_anyway: false,
    };
    let came = run.run(&options.target).await?;
    print(&came.verdict);
    tell(options, seed, &came, begin.elapsed());
    Ok(came.verdict.findings.is_empty())
}

/// So that a SIGTERM costs the run little, and nothing moves by itself while the last readers read.
fn calm_settings() -> Vec<(&'static str, String)> {
    vec![
        ("drain", "over = \"300ms\"".into()),
        ("drain", "reconnect_window = \"200ms\"".into()),
        ("drain", "deadline = \"10s\"".into()),
        ("routing", "release_after = \"30m\"".into()),
    ]
}

impl Run {
    async fn run(self, target: &Target) -> Result<Came, String> {
        let extras = Extras { settings: self.settings.clone(), environment: self.environment.clone() };
        let house = House::open_with(target, extras).await?;
        let outcome = self.play(&house, target).await;
        if !self.judge_anyway && outcome.as_ref().map_or(true, |came| came.kept.is_some()) {
            house.server.keep();
        }
        outcome
    }

    async fn play(&self, house: &House, target: &Target) -> Result<Came, String> {
        let (scene, reader) = self.scene(house).await?;
        let mut crowd = Crowd::enter(&scene, self.seed)?;
        let bar = progress(u64::from(self.plan.kills + self.plan.terms), "faults");
        tokio::time::sleep(self.before).await;
        let patience = Duration::from_secs(target.patience.into());
        let attack = Attack::new(&scene, &house.server, self.plan, mix(self.seed), patience);
        let dealt = tokio::select! {
            dealt = attack.run(|blows| bar.set_position(blows)) => dealt,
            why = crowd.somebody_gone(&scene) => Err(why),
        };
        bar.finish_and_clear();
        // Records are kept of a run that broke off, too.
        let settled = match &dealt {
            Ok(_) => settle(&scene, patience).await,
            Err(_) => Ok(()),
        };
        scene.set_phase(Phase::Over);
        let records = crowd.leave().await;
        let mut evidence = Evidence { records, last: record::Last::default() };
        let done = match (dealt, settled) {
            (Ok(done), Ok(())) => done,
            _ if self.judge_anyway => Done::default(),
            (Err(why), _) | (_, Err(why)) => return Err(self.broke_off(house, &evidence, &why)),
        };
        // What is read is what the store kept, not what a process remembers.
        house.server.kill_and_restart(Duration::ZERO).await?;
        evidence.last = last::over_the_api(&scene, &evidence.records).await?;
        match last::over_sockets(&scene, reader, &crowd.tokens, &evidence.last, self.seed).await {
            Ok(read) => evidence.records.extend(read),
            Err(_) if self.judge_anyway => {}
            Err(why) => return Err(self.broke_off(house, &evidence, &why)),
        }
        let mut verdict = check(&evidence);
        for trouble in scene.troubles() {
            verdict.sent_away(trouble);
        }
        let mut kept = None;
        if !verdict.findings.is_empty()
            && !self.judge_anyway
            && let Some(directory) = house.server.directory()
        {
            let directory = directory.join("records");
            evidence.write(&directory)?;
            kept = Some(directory);
        }
        house.server.stop().await?;
        Ok(Came { verdict, done, kept })
    }

    fn broke_off(&self, house: &House, evidence: &Evidence, why: &str) -> String {
        let kept = house.server.directory().map(|directory| directory.join("records"));
        let written = kept.as_ref().map(|directory| evidence.write(directory));
        match (kept, written) {
            (Some(directory), Some(Ok(()))) => {
                format!("{why} (seed {}; the records are in {})", self.seed, directory.display())
            }
            _ => format!("{why} (seed {})", self.seed),
        }
    }

    async fn scene(&self, house: &House) -> Result<(Arc<Scene>, Id), String> {
        let mut names: Vec<String> = (1..=self.mood.agents).map(|number| format!("agent-{number}")).collect();
        names.extend(["slow".to_string(), "reader".to_string()]);
        let mut members = house.members(&names, 1_000).await?;
        // The last reader is no member of the crowd: nothing is ever given to it.
        let reader = members.pop().ok_or("no members were made")?;
        let scene = Scene::new(house.place.clone(), Arc::clone(&house.rest), house.workspace, members, self.mood);
        Ok((scene, reader))
    }
}

struct Crowd {
    tasks: Vec<JoinHandle<Record>>,
    /// Who the visitors are, by number.
    tokens: Vec<Token>,
}

impl Crowd {
    fn enter(scene: &Arc<Scene>, seed: u64) -> Result<Self, String> {
        let mut crowd = Self { tasks: Vec::new(), tokens: Vec::new() };
        let mut dice = Dice::new(seed);
        for number in 0..scene.mood.visitors {
            let token = Token::default();
            crowd.tokens.push(Arc::clone(&token));
            let part = Part::Visitor { token: Arc::clone(&token), first: true };
            crowd.one(format!("visitor-{number}"), part, scene, dice.next(), number)?;
            if number % 4 == 0 {
                let part = Part::Visitor { token, first: false };
                crowd.one(format!("visitor-{number}-tab"), part, scene, dice.next(), number)?;
            }
        }
        for (number, member) in scene.members.iter().enumerate() {
            let slow = number + 1 == scene.members.len();
            let (name, part) = if slow {
                ("slow".to_string(), Part::Slow { member: *member })
            } else {
                (format!("agent-{number}"), Part::Agent { member: *member })
            };
            crowd.one(name, part, scene, dice.next(), AGENTS_FROM + number as u32)?;
        }
        Ok(crowd)
    }

    fn one(&mut self, name: String, part: Part, scene: &Arc<Scene>, seed: u64, number: u32) -> Result<(), String> {
        let guest = Guest::new(name, part, Arc::clone(scene), seed)?;
        self.tasks.push(tokio::spawn(visit::visit(guest, number)));
        Ok(())
    }

    /// Ends when a guest has ended, which none should while the run lasts.
    async fn somebody_gone(&self, scene: &Scene) -> String {
        while !self.tasks.iter().any(JoinHandle::is_finished) {
            tokio::time::sleep(crate::run::LOOK).await;
        }
        scene.troubles().first().cloned().unwrap_or_else(|| "a guest ended and did not say why".into())
    }

    /// Everybody's records.
    async fn leave(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        for task in std::mem::take(&mut self.tasks) {
            if let Ok(record) = task.await {
                records.push(record);
            }
        }
        records
    }
}

/// Everyone finishes what they began; then it must become quiet.
async fn settle(scene: &Scene, patience: Duration) -> Result<(), String> {
    scene.set_phase(Phase::Settling);
    let begin = Instant::now();
    while !scene.quiet_for(QUIET) {
        if begin.elapsed() > patience {
            return Err(format!(
                "it did not become quiet within {} s of the last blow: {} clients still wait for an answer",
                patience.as_secs(),
                scene.waiting()
            ));
        }
        tokio::time::sleep(crate::run::LOOK).await;
    }
    Ok(())
}

fn print(verdict: &Verdict) {
    let looked = verdict.looked;
    println!(
        "looked at {} conversations with {} events; {} commands acknowledged, {} of their repeats, {} refusals;",
        grouped(looked.conversations),
        grouped(looked.events),
        grouped(looked.acknowledged),
        grouped(looked.repeats),
        grouped(looked.refusals)
    );
    println!(
        "{} events heard over {} connections, {} resumes ({} with something missed), {} resets",
        grouped(looked.heard),
        grouped(looked.connections),
        grouped(looked.resumes),
        grouped(looked.caught_up),
        grouped(looked.resets)
    );
    for finding in verdict.findings.iter().take(SHOWN) {
        println!("BROKEN {finding}");
    }
    let more = verdict.findings.len().saturating_sub(SHOWN);
    if more > 0 {
        println!("and {more} more findings");
    }
}

/// Figures, the proof, and what to do about a failure.
fn tell(options: &Faults, seed: u64, came: &Came, took: Duration) {
    let Came { verdict, done, kept } = came;
    println!(
        "seed {seed}: {} kills of the server ({} while it started, {} without a node), {} SIGTERMs, {} kills of nodes, in {:.0} s",
        done.kills,
        done.while_starting,
        done.without_node,
        done.terms,
        done.nodes,
        took.as_secs_f64()
    );
    println!(
        "commands were accepted again at most {:.2} s after the end of a server; the longest pause with a node away was {:.2} s; SIGTERM took {:.2} s at most",
        done.longest.as_secs_f64(),
        done.longest_node.as_secs_f64(),
        done.longest_term.as_secs_f64()
    );
    let passed = verdict.findings.is_empty();
    let nodes = if done.nodes > 0 { format!(", {} kills of a database node", done.nodes) } else { String::new() };
    let attack = if done.nodes > 0 {
        "kill -9 of the server or one of three database nodes at random moments, SIGTERM mixed in"
    } else {
        "kill -9 of the server at random moments, SIGTERM mixed in"
    };
    let result = if passed {
        format!(
            "0 lost, 0 doubled, 0 out of order, {} resumes without a gap; accepting again within {:.1} s",
            grouped(verdict.looked.resumes),
            done.longest.max(done.longest_node).as_secs_f64()
        )
    } else {
        format!("{} findings, broken: {:?}", verdict.findings.len(), verdict.broken())
    };
    Proof {
        promise: "G1 G2 G3 G4 G8 G10 G11",
        attack: attack.into(),
        store: crate::proof::store(&options.target),
        count: format!(
            "{} kills{nodes}, {} SIGTERMs, {} acknowledged commands, {} repeats",
            done.kills,
            done.terms,
            grouped(verdict.looked.acknowledged),
            grouped(verdict.looked.repeats)
        ),
        result,
        passed,
        seed: Some(seed),
    }
    .print();
    if let Some(directory) = kept {
        let Faults { kills, terms, visitors, agents, target, .. } = options;
        let store = if target.store == crate::args::StoreKind::Scylla {
            format!(" --store scylla --cassandra {}", target.cassandra.display())
        } else {
            String::new()
        };
        println!("The records are in {}; look again: bellhop-loadtest faults --spawn --check {0}", directory.display());
        println!(
            "Repeat: bellhop-loadtest faults --spawn --kills {kills} --terms {terms} --seed {seed} --visitors {visitors} --agents {agents}{store}"
        );
    }
}
