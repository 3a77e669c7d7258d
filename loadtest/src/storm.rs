//! `storm`: the server is killed, and everyone who was there comes back at once, as clients do. Nobody is told to stay
//! away, nobody has lost anything, and everybody gets what was written while they were away.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bellhop_protocol::{CloseCode, Id};
use tokio::time::sleep;

use crate::{
    args::Storm,
    clerk::{ClerkOrder, Desk, desks},
    client::{Manner, PROTOCOL},
    dice::Dice,
    gauges::Memory,
    guest::{Guest, GuestOrder, Seat, Temper, seat},
    house::House,
    ledger::Fault,
    link::Parting,
    machine::Meter,
    report::{Report, grouped},
    run::check_files,
    scene::{Scene, Tally, quantile_ms},
    stage::{Stage, lock},
    verdict::{self, Verdict},
    waiting::{Bystander, leave, report_bystander, until_done},
};

/// Sessions that are being made at the same time before the storm.
const AT_ONCE: u64 = 200;
/// One agent for so many visitors.
const VISITORS_AN_AGENT: u32 = 100;
/// Bytes of each message.
const BYTES: u32 = 100;
/// Everybody talks for this long, and up to this much longer, before the kill: each then has a command in flight.
const MOMENT_MS: u64 = 150;
/// How long the bystander is watched before.
const QUIET: Duration = Duration::from_secs(1);
/// Sessions sleep less finely than when latency is measured: ten thousand of them are there.
const TICK: Duration = Duration::from_secs(2);

pub(crate) async fn storm(options: &Storm) -> Result<bool, String> {
    let outcome = attack(options).await;
    let attack = "kill -9 of the server, everyone reconnecting at once".to_string();
    verdict::tell("G9 G1 G4", attack, &options.target, outcome)
}

/// How connections and attempts ended, by what was said.
fn by_kind(partings: &[(Instant, Parting)]) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for (_, how) in partings {
        let kind = match how {
            Parting::Bye { code, .. } => format!("told {}", code.number()),
            Parting::Closed(code) => format!("closed {code}"),
            Parting::Broken => "broken".into(),
            Parting::Refused(status) => format!("HTTP {status}"),
            Parting::Unreachable => "nobody listened".into(),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// What no client may be told in a storm.
fn wrong(how: Parting) -> bool {
    match how {
        Parting::Bye { code: CloseCode::Overloaded, retry_after_ms } => retry_after_ms.is_none(),
        Parting::Bye { .. } => true,
        Parting::Closed(code) => code != CloseCode::Overloaded.number(),
        Parting::Refused(status) => !matches!(status, 429 | 503),
        Parting::Broken | Parting::Unreachable => false,
    }
}

async fn attack(options: &Storm) -> Result<Verdict, String> {
    let agents = options.sessions.div_ceil(VISITORS_AN_AGENT);
    let visitors = u64::from(options.sessions);
    let everyone = visitors + u64::from(agents) + 1;
    check_files(everyone)?;
    let seed = options.seed.map_or_else(|| Dice::random().map(|mut dice| dice.next()), Ok)?;
    let house = House::open(&options.target).await?;
    let patience = options.target.patience;
    let scene = Scene::new(Stage::new()?, house.workspace);
    let seats = gather(options, &house, &scene).await?;
    let desks = desks(&house, &scene, agents, BYTES).await?;
    let bystander = Bystander::new(&house, &scene, options.sessions)?;
    until_done(&house, &scene, patience, "all there", || {
        everyone.saturating_sub(scene.present()) + (visitors + 1).saturating_sub(scene.begun())
    })
    .await?;
    bystander.speak(true);
    sleep(QUIET).await;
    bystander.speak(false);
    let quiet = bystander.turn_over()?;

    // Everybody talks as fast as they are answered, and the server dies among it.
    scene.talk(true);
    for seat in &seats {
        drop(seat.orders.send(GuestOrder::Say));
    }
    sleep(Duration::from_millis(MOMENT_MS + Dice::new(seed).below(MOMENT_MS))).await;
    let rss_before = house.server.resident().unwrap_or_default();
    let in_flight = unanswered(&seats, &[]);
    let killed = Instant::now();
    let welcomes = scene.welcomes();
    house.server.kill()?;
    scene.talk(false);
    // What is written while they are away: commands of agents who are away themselves, said as soon as they are let in.
    let conversations: Vec<Id> =
        (0..options.sessions).filter_map(|it| scene.conversations().get(&it).copied()).collect();
    for (index, desk) in desks.iter().enumerate() {
        let share: Vec<Id> = conversations.iter().skip(index).step_by(desks.len()).copied().collect();
        drop(desk.orders.send(ClerkOrder::Write(share)));
    }
    let answers = scene.answers();
    house.server.start()?;
    house.server.until_up().await?;
    let up = killed.elapsed();
    let pid = house.server.pid().ok_or("the server's process cannot be seen from here")?;
    let (memory, meter, begin) = (Memory::watch(pid), Meter::start(Some(pid)), Instant::now());
    bystander.speak(true);
    let mut there = None;
    until_done(&house, &scene, patience, "all back", || {
        let away = everyone.saturating_sub(scene.welcomes() - welcomes).max(everyone.saturating_sub(scene.present()));
        if away == 0 && there.is_none() {
            there = Some(killed.elapsed());
        }
        let left = away + visitors.saturating_sub(scene.answers() - answers);
        // Looked at last: it asks everyone.
        if left > 0 { left } else { unanswered(&seats, &desks) }
    })
    .await?;
    let whole = killed.elapsed();
    let (shares, seconds) = (meter.read(), begin.elapsed().as_secs_f64());
    bystander.speak(false);
    until_done(&house, &scene, patience, "the bystander's answers", || bystander.unanswered()).await?;
    let stormy = bystander.turn_over()?;
    let peak = memory.peak();
    drop(memory);
    let partings = scene.partings_since(killed);
    let mut seats = seats;
    seats.push(bystander.end());
    let (gaps, judged) = leave(&house, seats, desks, usize::MAX).await;

    let mut report = Report::new("storm", house.server.file_system());
    report.note("seed", seed);
    report.count("visitors", "visitors, a conversation each", visitors);
    report.count("agents", "agents", agents.into());
    report.count("in_flight", "commands without an answer at the kill", in_flight);
    report.figure("up_seconds", "kill → the server answers", up.as_secs_f64(), "s");
    let there = there.unwrap_or(whole);
    report.figure("back_seconds", "kill → all are let in", there.as_secs_f64(), "s");
    report.figure("whole_seconds", "kill → all have everything", whole.as_secs_f64(), "s");
    for (kind, count) in by_kind(&partings) {
        report.count(&format!("ended_{}", kind.replace(' ', "_")), &format!("connections and attempts: {kind}"), count);
    }
    report.count("rss_before", "server's memory before, B", rss_before);
    report.count("rss_peak", "server's memory at most after, B", peak);
    report_bystander(&mut report, "quiet", "before", &quiet);
    report_bystander(&mut report, "storm", "in the storm", &stormy);
    report.cpu(shares, options.target.threads, 0, seconds);
    report.count("compared_messages", "messages compared", judged.messages);
    if in_flight == 0 {
        report.difference("no command was in flight at the kill, so nothing was tried".into());
    }
    for (_, how) in partings.iter().filter(|(_, how)| wrong(*how)) {
        report.difference(format!("a client was told {how:?}"));
    }
    if gaps > 0 {
        report.difference(format!("{gaps} events were left out without a word"));
    }
    if scene.resets() > 0 {
        report.difference(format!("{} conversations began anew instead of going on", scene.resets()));
    }
    for finding in &judged.findings {
        report.difference(finding.to_string());
    }
    let good = crate::finish(report, &scene.stage, &house, &options.target).await?;
    Ok(Verdict {
        good,
        count: format!(
            "{} sessions with {} conversations, {} commands in flight at the kill",
            grouped(everyone),
            grouped(visitors),
            grouped(in_flight)
        ),
        result: format!(
            "server up again after {:.1} s, all back after {:.1} s, all whole after {:.1} s; {} lost, {} not heard; server's memory {} MiB at most; bystander's p99 {:.1} ms, before {:.1} ms",
            up.as_secs_f64(),
            there.as_secs_f64(),
            whole.as_secs_f64(),
            judged.count(&[Fault::Lost, Fault::Misplaced, Fault::Altered]),
            judged.count(&[Fault::Unheard, Fault::HeardWrongly]),
            peak / (1024 * 1024),
            p99(&stormy),
            p99(&quiet),
        ),
        seed: Some(seed),
    })
}

fn p99(tally: &Tally) -> f64 {
    quantile_ms(&tally.accepted(), 0.99)
}

/// Commands of visitors and agents that have no answer yet.
fn unanswered(seats: &[Seat], desks: &[Desk]) -> u64 {
    let diaries = seats.iter().map(|seat| &seat.diary).chain(desks.iter().map(|desk| &desk.diary));
    diaries.map(|diary| lock(diary).unanswered()).sum()
}

async fn gather(options: &Storm, house: &House, scene: &Arc<Scene>) -> Result<Vec<Seat>, String> {
    let temper = Temper { bytes: BYTES, eager: true, patient: true };
    let manner = Manner { read_buffer: 1024, tick: TICK, backoff: PROTOCOL };
    let mut seats = Vec::with_capacity(options.sessions as usize);
    while seats.len() < options.sessions as usize {
        let next = (seats.len() as u64 + AT_ONCE).min(options.sessions.into());
        for number in seats.len() as u64..next {
            seats.push(seat(Guest::new(number as u32, temper, Arc::clone(scene), None), &house.place, manner));
        }
        until_done(house, scene, options.target.patience, "conversations", || next - scene.begun()).await?;
    }
    Ok(seats)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bellhop_protocol::CloseCode;

    use super::{by_kind, wrong};
    use crate::link::Parting;

    #[test]
    fn in_a_storm_a_client_may_be_told_to_wait_and_nothing_else() {
        for (how, bad) in [
            (Parting::Bye { code: CloseCode::Overloaded, retry_after_ms: Some(10) }, false),
            (Parting::Bye { code: CloseCode::Overloaded, retry_after_ms: None }, true),
            (Parting::Bye { code: CloseCode::TokenInvalid, retry_after_ms: None }, true),
            (Parting::Bye { code: CloseCode::SlowReader, retry_after_ms: None }, true),
            (Parting::Closed(4004), false),
            (Parting::Closed(4030), true),
            (Parting::Refused(503), false),
            (Parting::Refused(500), true),
            (Parting::Broken, false),
            (Parting::Unreachable, false),
        ] {
            assert_eq!(wrong(how), bad, "{how:?}");
        }
    }

    #[test]
    fn ends_are_counted_by_what_was_said() {
        let at = Instant::now();
        let kinds = by_kind(&[(at, Parting::Broken), (at, Parting::Refused(503)), (at, Parting::Broken)]);
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [("HTTP 503".into(), 1), ("broken".into(), 2)]);
    }
}
