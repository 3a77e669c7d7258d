//! `overload`: many times more commands than the server is set to take, offered from a schedule that waits for nobody.
//! Each has an explained outcome, none that was acknowledged is lost, none that was refused took effect.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::{task::yield_now, time::sleep};

use crate::{
    args::Overload,
    client::VISITOR,
    gauges::Memory,
    guest::{Guest, GuestOrder, Seat, Temper, seat},
    house::House,
    ledger::{Fault, Judged},
    machine::Meter,
    report::{Report, grouped},
    run::{check_files, progress},
    scene::{Refusals, Scene, Tally, quantile_ms},
    schedule::{Schedule, Stretch},
    server::Extras,
    stage::Stage,
    verdict::{self, Verdict},
    waiting::{leave, until_done},
};

/// Bytes of each message.
const BYTES: u32 = 100;
/// Sessions that are being made at the same time.
const AT_ONCE: u64 = 100;
/// A step of the timer. What is due sooner is waited for without it: commands sent in bursts of a step would measure how
/// long the generator takes over its own burst.
const STEP: Duration = Duration::from_millis(1);
/// How long the thread rests then. Not to rest at all would take a core from a database on the same machine.
const REST: Duration = Duration::from_micros(50);
/// How long an answer may take after the last command.
const ANSWERS: u32 = 20;
/// "Full speed within 2 s after."
const RECOVERY: Duration = Duration::from_secs(2);
/// What the server admits at once, beside its rate: a quarter of a second's worth (its configuration says so).
const BURST_SECONDS: f64 = 0.25;
/// The accepted ones may take twice as long as without overload.
const TIMES_UNLOADED: f64 = 2.0;

/// Stretches of the run.
const UNLOADED: usize = 0;
const OVERLOADED: usize = 1;
const RECOVERING: usize = 2;
const AFTER: usize = 3;

pub(crate) async fn overload(options: &Overload) -> Result<bool, String> {
    let outcome = attack(options).await;
    let attack = format!(
        "{} commands a second offered to a server set to {}",
        grouped(options.offered.into()),
        grouped(options.admitted.into())
    );
    verdict::tell("G11 G1", attack, &options.target, outcome)
}

/// A little less than is admitted, then the overload, then the same again. So about as many are accepted all the time, and
/// what differs is those that are refused.
fn schedule(options: &Overload) -> Schedule {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let around = if options.measure { seconds(options.seconds) } else { seconds(1) };
    let calm = options.admitted - options.admitted / 10;
    Schedule::new(vec![
        Stretch { per_second: calm, lasts: around },
        Stretch { per_second: options.offered, lasts: seconds(options.seconds) },
        Stretch { per_second: calm, lasts: RECOVERY },
        Stretch { per_second: calm, lasts: around },
    ])
}

/// Figures that the verdict is made of.
struct Outcome<'a> {
    options: &'a Overload,
    tallies: &'a [Arc<Tally>],
    refusals: &'a BTreeMap<String, Refusals>,
    losses: u64,
    gaps: u64,
    judged: &'a Judged,
}

impl Outcome<'_> {
    /// What was not as promised, a sentence each.
    fn broken(&self) -> Vec<String> {
        let mut broken: Vec<String> = self.judged.findings.iter().map(ToString::to_string).collect();
        let unanswered: u64 = self.tallies.iter().map(|tally| tally.unanswered()).sum();
        if unanswered > 0 {
            broken.push(format!("{unanswered} commands were never answered"));
        }
        for (code, refusals) in self.refusals {
            if code != "overloaded" {
                broken.push(format!("{} commands were refused with {code}", refusals.all));
            }
            if refusals.without_time > 0 {
                broken.push(format!("{} refusals ({code}) did not say when to repeat", refusals.without_time));
            }
        }
        if self.losses > 0 {
            broken.push(format!("{} connections were lost", self.losses));
        }
        if self.gaps > 0 {
            broken.push(format!("{} events were left out without a word", self.gaps));
        }
        let Overload { admitted, offered, seconds, measure, .. } = self.options;
        let (admitted, seconds) = (f64::from(*admitted), f64::from(*seconds));
        let accepted = self.tallies[OVERLOADED].acknowledgements() as f64;
        let most = admitted * (seconds + BURST_SECONDS) * 1.05;
        if accepted > most {
            broken.push(format!("{accepted} commands were accepted, the limit allows {most:.0}"));
        }
        // A short run beside a busy neighbour may not reach what the server would take; a measured one must.
        let least = admitted * seconds * if *measure { 0.9 } else { 0.25 };
        if accepted < least.min(f64::from(*offered) * seconds) {
            broken.push(format!("{accepted} commands were accepted, at least {least:.0} should be"));
        }
        if *measure {
            broken.extend(self.slow());
        }
        broken
    }

    /// What took too long.
    fn slow(&self) -> Vec<String> {
        let mut slow = Vec::new();
        let p99 = |stretch: usize| quantile_ms(&self.tallies[stretch].accepted(), 0.99);
        let bound = TIMES_UNLOADED * p99(UNLOADED);
        for (stretch, when) in [(OVERLOADED, "under overload"), (AFTER, "2 s after it")] {
            if p99(stretch) > bound {
                slow.push(format!("p99 {when} is {:.2} ms, {bound:.2} ms are allowed", p99(stretch)));
            }
        }
        let after = &self.tallies[AFTER];
        if after.refusals() > 0 {
            slow.push(format!("{} of {} commands were refused 2 s after", after.refusals(), after.offered()));
        }
        slow
    }
}

async fn attack(options: &Overload) -> Result<Verdict, String> {
    check_files(options.sessions.into())?;
    let settings = vec![("limits", format!("commands_per_second = {}", options.admitted))];
    let house = House::open_with(&options.target, Extras { settings, ..Extras::default() }).await?;
    let pid = house.server.pid().ok_or("the server's process cannot be seen from here")?;
    let scene = Scene::new(Stage::new()?, house.workspace);
    let seats = gather(options, &house, &scene).await?;
    let losses = house.place.losses.load(Ordering::Relaxed);
    let starting = scene.refusals();

    let schedule = schedule(options);
    let tallies: Vec<Arc<Tally>> = (0..4).map(|_| Tally::new()).collect::<Result<_, _>>()?;
    let memory = Memory::watch(pid);
    let mut shares = None;
    let mut meter = Meter::start(Some(pid));
    let mut stretch = UNLOADED;
    let bar = progress(schedule.lasts().as_secs(), "seconds");
    let begin = Instant::now();
    let mut sent = 0;
    'offering: loop {
        let elapsed = begin.elapsed();
        loop {
            let Some(due) = schedule.due(sent) else { break 'offering };
            if due.at > elapsed {
                break;
            }
            if due.stretch != stretch {
                if stretch == OVERLOADED {
                    shares = Some(meter.read());
                }
                stretch = due.stretch;
                meter = Meter::start(Some(pid));
            }
            let seat = &seats[(sent % seats.len() as u64) as usize];
            drop(seat.orders.send(GuestOrder::SayAt(begin + due.at, Arc::clone(&tallies[due.stretch]))));
            sent += 1;
        }
        bar.set_position(elapsed.as_secs());
        house.server.alive()?;
        match schedule.due(sent) {
            Some(next) if next.at > begin.elapsed() + 2 * STEP => sleep(STEP).await,
            _ => {
                std::thread::sleep(REST);
                yield_now().await;
            }
        }
    }
    bar.finish_and_clear();
    let left = || sent - tallies.iter().map(|tally| tally.acknowledgements() + tally.refusals()).sum::<u64>();
    // What is not answered then is counted and found below.
    drop(until_done(&house, &scene, ANSWERS, "answers", left).await);
    let peak = memory.peak();
    drop(memory);
    let refusals = since(&scene.refusals(), &starting);
    let losses = house.place.losses.load(Ordering::Relaxed) - losses;

    let (gaps, judged) = leave(&house, seats, Vec::new(), usize::MAX).await;

    let mut report = Report::new("overload", house.server.file_system());
    report.count("sessions", "sessions", options.sessions.into());
    report.count("admitted", "set to admit, a second", options.admitted.into());
    for (stretch, key, when) in [
        (UNLOADED, "unloaded", "unloaded"),
        (OVERLOADED, "overloaded", "overloaded"),
        (RECOVERING, "recovering", "the 2 s after"),
        (AFTER, "after", "after them"),
    ] {
        let tally = &tallies[stretch];
        report.count(&format!("{key}_offered"), &format!("{when}: offered"), tally.offered());
        report.count(&format!("{key}_accepted"), "accepted", tally.acknowledgements());
        report.count(&format!("{key}_refused"), "refused", tally.refusals());
        report.latency(&format!("{key}_"), "said → acknowledged", &tally.accepted());
        report.latency(&format!("{key}_late_"), "generator late by", &tally.late());
    }
    for (code, count) in &refusals {
        report.count(&format!("refused_{code}"), &format!("refused: {code}"), count.all);
    }
    if let Some(shares) = shares {
        let offered = tallies[OVERLOADED].offered();
        report.cpu(shares, options.target.threads, offered, options.seconds.into());
    }
    report.count("rss_peak", "server's memory at most, B", peak);
    report.count("compared_messages", "messages compared", judged.messages);
    let outcome = Outcome { options, tallies: &tallies, refusals: &refusals, losses, gaps, judged: &judged };
    for what in outcome.broken() {
        report.difference(what);
    }
    let good = crate::finish(report, &scene.stage, &house, &options.target).await?;
    Ok(Verdict {
        good,
        count: count(&tallies, options),
        result: result(&tallies, &judged, options.measure),
        seed: None,
    })
}

fn count(tallies: &[Arc<Tally>], options: &Overload) -> String {
    let over = &tallies[OVERLOADED];
    format!(
        "{} commands offered in {} s over {} connections, {} accepted, {} refused",
        grouped(over.offered()),
        options.seconds,
        grouped(options.sessions.into()),
        grouped(over.acknowledgements()),
        grouped(over.refusals())
    )
}

fn result(tallies: &[Arc<Tally>], judged: &Judged, measured: bool) -> String {
    let p99 = |stretch: usize| quantile_ms(&tallies[stretch].accepted(), 0.99);
    let p99_late = |histogram: Histogram<u64>| quantile_ms(&histogram, 0.99);
    format!(
        "{} acknowledged lost, {} refused took effect, {} unanswered; p99 of the accepted {:.1} ms{}, unloaded {:.1} ms, 2 s after {:.1} ms (generator late by {:.1} ms at p99)",
        judged.count(&[Fault::Lost, Fault::Misplaced, Fault::Altered]),
        judged.count(&[Fault::RefusedButDone]),
        tallies.iter().map(|tally| tally.unanswered()).sum::<u64>(),
        p99(OVERLOADED),
        if measured { "" } else { " (short run, not judged)" },
        p99(UNLOADED),
        p99(AFTER),
        p99_late(tallies[OVERLOADED].late()),
    )
}

/// Refusals that were added.
fn since(now: &BTreeMap<String, Refusals>, before: &BTreeMap<String, Refusals>) -> BTreeMap<String, Refusals> {
    let less = |(code, count): (&String, &Refusals)| {
        let old = before.get(code).copied().unwrap_or_default();
        let left = Refusals { all: count.all - old.all, without_time: count.without_time - old.without_time };
        (left.all > 0).then(|| (code.clone(), left))
    };
    now.iter().filter_map(less).collect()
}

async fn gather(options: &Overload, house: &House, scene: &Arc<Scene>) -> Result<Vec<Seat>, String> {
    let temper = Temper { bytes: BYTES, eager: false, patient: false };
    let mut seats = Vec::with_capacity(options.sessions as usize);
    while seats.len() < options.sessions as usize {
        let next = (seats.len() as u64 + AT_ONCE).min(options.sessions.into());
        for number in seats.len() as u64..next {
            seats.push(seat(Guest::new(number as u32, temper, Arc::clone(scene), None), &house.place, VISITOR));
        }
        until_done(house, scene, options.target.patience, "conversations", || next - scene.begun()).await?;
    }
    Ok(seats)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Duration};

    use clap::Parser;

    use super::{AFTER, OVERLOADED, Outcome, RECOVERY, UNLOADED, schedule, since};
    use crate::{
        args::{Arguments, Command, Overload},
        ledger::{Fault, Finding, Judged},
        scene::{Refusals, Tally},
    };

    fn options(line: &str) -> Overload {
        let words = ["bellhop-loadtest", "overload", "--spawn", "--admitted", "100", "--offered", "1000"];
        match Arguments::parse_from(words.into_iter().chain(line.split_whitespace())).command {
            Command::Overload(options) => options,
            other => panic!("{other:?}"),
        }
    }

    /// So many accepted and refused in each stretch, with these latencies.
    fn tallies(accepted: [u64; 4], refused: [u64; 4], ms: [u64; 4]) -> Vec<Arc<Tally>> {
        (0..4)
            .map(|stretch| {
                let tally = Tally::new().unwrap();
                for index in 0..accepted[stretch] + refused[stretch] {
                    tally.said(Duration::ZERO);
                    match index < accepted[stretch] {
                        true => tally.acknowledged(Duration::from_millis(ms[stretch])),
                        false => tally.refused(),
                    }
                }
                tally
            })
            .collect()
    }

    #[test]
    fn the_overload_lies_between_two_calm_stretches() {
        let schedule = schedule(&options("--seconds 3 --measure"));
        let count = |stretch| (0..).map_while(|it| schedule.due(it)).filter(|due| due.stretch == stretch).count();
        assert_eq!((count(UNLOADED), count(OVERLOADED), count(AFTER)), (270, 3_000, 270));
        assert_eq!(schedule.begins(AFTER), Duration::from_secs(6) + RECOVERY);
    }

    #[test]
    fn every_broken_promise_is_named() {
        let overloaded =
            |all, without_time| BTreeMap::from([("overloaded".to_string(), Refusals { all, without_time })]);
        let clean = Judged::default();
        let lost = Finding { fault: Fault::Lost, conversation: None, what: "x".into() };
        let lossy = Judged { findings: vec![lost], ..Judged::default() };
        let check = |line: &str, tallies: Vec<Arc<Tally>>, refusals, losses, judged: &Judged| {
            let options = options(line);
            Outcome { options: &options, tallies: &tallies, refusals: &refusals, losses, gaps: 0, judged }.broken()
        };
        let good = || tallies([50, 310, 100, 90], [0, 2_690, 0, 0], [2, 3, 3, 2]);
        let short = "--seconds 3";
        let long = "--seconds 3 --measure";
        assert!(check(short, good(), overloaded(2_690, 0), 0, &clean).is_empty());
        assert!(check(long, good(), overloaded(2_690, 0), 0, &clean).is_empty());
        let says = |found: Vec<String>, text: &str| assert!(found.len() == 1 && found[0].contains(text), "{found:?}");
        says(check(short, good(), overloaded(2_690, 4), 0, &clean), "when to repeat");
        says(check(short, good(), overloaded(2_690, 0), 1, &clean), "connections were lost");
        says(check(short, good(), overloaded(2_690, 0), 0, &lossy), "Lost");
        let many = tallies([50, 900, 100, 90], [0, 100, 0, 0], [2, 3, 3, 2]);
        says(check(short, many, overloaded(100, 0), 0, &clean), "the limit allows");
        let few = tallies([50, 20, 100, 90], [0, 2_980, 0, 0], [2, 3, 3, 2]);
        says(check(short, few, overloaded(2_980, 0), 0, &clean), "at least");
        let slow = || tallies([50, 310, 100, 90], [0, 2_690, 0, 0], [2, 9, 3, 2]);
        assert!(check(short, slow(), overloaded(2_690, 0), 0, &clean).is_empty(), "not judged in a short run");
        says(check(long, slow(), overloaded(2_690, 0), 0, &clean), "p99 under overload");
        let weary = tallies([50, 310, 100, 80], [0, 2_690, 0, 10], [2, 3, 3, 2]);
        says(check(long, weary, overloaded(2_700, 0), 0, &clean), "refused 2 s after");
        let silent = good();
        silent[OVERLOADED].said(Duration::ZERO);
        says(check(short, silent, overloaded(2_690, 0), 0, &clean), "never answered");
        let odd = BTreeMap::from([("rate_limited".to_string(), Refusals { all: 3, without_time: 0 })]);
        says(check(short, good(), odd, 0, &clean), "rate_limited");
    }

    #[test]
    fn refusals_of_the_beginning_are_left_out() {
        let of = |all| BTreeMap::from([("overloaded".to_string(), Refusals { all, without_time: 0 })]);
        assert_eq!(since(&of(5), &of(2)), of(3));
        assert_eq!(since(&of(5), &of(5)), BTreeMap::new());
    }
}
