//! `slow`: readers that take nothing, or 100 bytes a second, while their conversations get far more than is queued for
//! one of them. What they cost the server in memory, that each is told to come back, and that each then has everything.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bellhop_protocol::{
    CloseCode, Id,
    limits::{MAX_RESUME_EVENTS, MAX_TEXT_BYTES},
};
use tokio::time::sleep;

use crate::{
    args::Slow,
    clerk::{ClerkOrder, Desk, desks},
    client::{Manner, PROTOCOL, VISITOR},
    gauges::{Gauges, Memory},
    guest::{Guest, Seat, Temper, seat},
    house::House,
    ledger::LEAST_BYTES,
    link::Parting,
    machine::{self, Meter},
    report::{Report, grouped},
    run::check_files,
    scene::{Scene, quantile_ms},
    stage::Stage,
    valve::{Flow, Valve},
    verdict::{self, Verdict},
    waiting::{Bystander, leave, report_bystander, until_done},
};

const MIB: u64 = 1024 * 1024;
/// Bytes of queued frames that one reader may cost (G7).
const READER_BOUND: u64 = MIB;
/// All readers together: the process' budget, and the eighth above it up to which frames are queued while the fullest
/// are being looked for.
const ALL_BOUND: u64 = 256 * MIB + 256 * MIB / 8;
/// Beside queues, and beside what the same words cost when everybody reads: the allocator's rounding of memory that
/// was freed, and the server's own growth while it runs.
const SLACK: u64 = 32 * MIB;
/// Who is written this much beyond the bound of 1 MiB must be closed: what the kernel takes before anything is queued.
/// Measured: 50 KB at first, up to 0.5 MB when its buffer has had a second to grow.
const KERNEL: u64 = MIB;
/// Who writes to them all.
const CLERKS: u32 = 2;
/// Bytes of what is written: the longest that there may be.
const BYTES: u32 = MAX_TEXT_BYTES as u32;
/// How long the bystander is watched while nothing else happens.
const QUIET: Duration = Duration::from_secs(1);
/// Messages that are queued to each before a pause: all queues are then nearly full at the same time, nobody is closed
/// yet, and the server's gauge, which is set once a second, is sure to show it.
const HELD: u64 = 56;
const PAUSE: Duration = Duration::from_millis(1_500);
// With the frame around the words (seq, ids, author: under 1 KiB) and what the kernel holds.
const _: () = assert!(HELD * (MAX_TEXT_BYTES as u64 + 1024) < READER_BOUND);
/// A farewell takes at most 3 s, and the gauge of queued bytes is set once a second.
const SETTLE: Duration = Duration::from_millis(4_200);
/// Text that is read back and compared at the end, bytes: all of a short run.
const READ_BACK: u64 = 256 * MIB;

pub(crate) async fn slow(options: &Slow) -> Result<bool, String> {
    let outcome = attack(options).await;
    let attack = "readers at 0 and 100 B/s while much is written to them".to_string();
    verdict::tell("G7 G4", attack, &options.target, outcome)
}

/// What the server may grow by: what the same cost while everybody read, and the bound of the readers.
fn allowed(readers: u64, growth_served: u64) -> u64 {
    (readers * READER_BOUND).min(ALL_BOUND) + growth_served + SLACK
}

/// A connection of a slow reader may only end so: told to come back, or (the word did not get through) broken.
fn explained(how: Parting) -> bool {
    matches!(
        how,
        Parting::Bye { code: CloseCode::SlowReader | CloseCode::OutboxBudget, .. }
            | Parting::Closed(4001 | 4002)
            | Parting::Broken
    )
}

async fn attack(options: &Slow) -> Result<Verdict, String> {
    let readers = u64::from(options.readers);
    check_files(readers)?;
    let messages = (u64::from(options.kib) * 1024).div_ceil(MAX_TEXT_BYTES as u64);
    if messages >= MAX_RESUME_EVENTS {
        return Err(format!(
            "--kib {}: whoever misses {MAX_RESUME_EVENTS} events starts afresh; ask for less",
            options.kib
        ));
    }
    let house = House::open(&options.target).await?;
    let gauges = Gauges::find(&house.server)?;
    let pid = house.server.pid().ok_or("the server's process cannot be seen from here")?;
    let patience = options.target.patience;
    let scene = Scene::new(Stage::new()?, house.workspace);
    let party = gather(options, &house, &scene).await?;
    let bystander = Bystander::new(&house, &scene, options.readers)?;
    until_done(&house, &scene, patience, "conversations", || readers + 1 - scene.begun()).await?;
    let conversations: Vec<Id> =
        (0..options.readers).filter_map(|it| scene.conversations().get(&it).copied()).collect();

    let meter = Meter::start(Some(pid));
    bystander.speak(true);
    sleep(QUIET).await;
    let quiet = bystander.turn_over()?;

    // The same words to readers who read: what the server needs for them besides queues.
    let resident = || machine::resident(pid).ok_or_else(|| format!("the server's process {pid} is gone"));
    let before = resident()?;
    let memory = Memory::watch(pid);
    write(&party.desks, &conversations, messages);
    let all = readers * messages;
    until_done(&house, &scene, patience, "served", || all - scene.answers()).await?;
    let growth_served = memory.peak().saturating_sub(before);
    drop(memory);
    let served = bystander.turn_over()?;

    let closes = async || {
        let figures = gauges.read().await?;
        let queued = figures.value("bellhop_outbox_bytes") as u64;
        Ok::<_, String>((figures.closes(CloseCode::SlowReader), figures.closes(CloseCode::OutboxBudget), queued))
    };
    let closed_before = closes().await?;
    let start = resident()?;
    let memory = Memory::watch(pid);
    let slow_since = Instant::now();
    for (valve, flow) in &party.valves {
        valve.turn(*flow, slow_since);
    }
    let mut most_queued = 0;
    let watch = async {
        loop {
            sleep(Duration::from_millis(200)).await;
            match closes().await {
                Ok((_, _, queued)) => most_queued = most_queued.max(queued),
                Err(why) => return why,
            }
        }
    };
    let writing = async {
        let mut goal: u64 = party.desks.iter().map(Desk::acknowledged).sum();
        for part in [messages.min(HELD), messages.saturating_sub(HELD)] {
            write(&party.desks, &conversations, part);
            goal += readers * part;
            let left = || goal - party.desks.iter().map(Desk::acknowledged).sum::<u64>();
            until_done(&house, &scene, patience, "written", left).await?;
            sleep(PAUSE).await;
        }
        let writing = slow_since.elapsed();
        sleep(SETTLE).await;
        Ok::<_, String>(writing)
    };
    let writing = tokio::select! {
        done = writing => done?,
        why = watch => return Err(why),
    };
    let closed = closes().await?;
    let growth_slow = memory.peak().saturating_sub(start);
    drop(memory);
    let slowed = bystander.turn_over()?;

    let opened = Instant::now();
    for (valve, _) in &party.valves {
        valve.turn(Flow::Open, opened);
    }
    until_done(&house, &scene, patience, "come back", || 2 * all - scene.answers()).await?;
    let back = opened.elapsed();
    bystander.speak(false);
    until_done(&house, &scene, patience, "the bystander's answers", || bystander.unanswered()).await?;
    let shares = meter.read();
    let seconds = slow_since.elapsed().as_secs_f64();

    let partings = scene.partings_since(slow_since);
    let mut seats = party.seats;
    seats.push(bystander.end());
    let each = 2 * messages * u64::from(BYTES);
    let (gaps, judged) = leave(&house, seats, party.desks, (READ_BACK / each.max(1)).max(4) as usize).await;

    let mut report = Report::new("slow", house.server.file_system());
    report.count("readers", "readers", readers);
    report.count("kib_each", "written to each, KiB", u64::from(options.kib));
    report.figure("write_seconds", "written in (3 s of pauses included)", writing.as_secs_f64(), "s");
    report.count("growth_served_bytes", "server's growth while all read, B", growth_served);
    report.count("growth_slow_bytes", "server's growth while nobody read, B", growth_slow);
    let allowed = allowed(readers, growth_served);
    report.count("growth_allowed_bytes", "… of which are allowed, B", allowed);
    report.count("queued_bytes", "most queued at a time, B", most_queued);
    let told = (closed.0 - closed_before.0, closed.1 - closed_before.1);
    report.count("closed_slow", "closed as slow readers (4001)", told.0);
    report.count("closed_budget", "closed for the budget (4002)", told.1);
    let byes = partings.iter().filter(|(_, how)| matches!(how, Parting::Bye { .. } | Parting::Closed(_))).count();
    report.count("byes", "… who could still be told", byes as u64);
    report.figure("back_seconds", "all back and whole in", back.as_secs_f64(), "s");
    for (key, when, tally) in
        [("quiet", "quiet", &quiet), ("served", "all are served", &served), ("slow", "nobody reads", &slowed)]
    {
        report_bystander(&mut report, key, when, tally);
    }
    report.cpu(shares, options.target.threads, 0, seconds);
    report.count("compared_messages", "messages compared", judged.messages);

    if growth_slow > allowed {
        report.difference(format!("the server grew by {growth_slow} B, {allowed} B are allowed"));
    }
    let bound = (readers * READER_BOUND).min(ALL_BOUND) + READER_BOUND;
    if most_queued == 0 {
        report.difference("nothing was queued to anybody, so nothing was tried".into());
    }
    if most_queued > bound {
        report.difference(format!("{most_queued} B were queued, the bound is {bound} B"));
    }
    if u64::from(options.kib) * 1024 >= READER_BOUND + KERNEL && told.0 + told.1 != readers {
        report.difference(format!("{} of {readers} readers were closed", told.0 + told.1));
    }
    for (_, how) in partings.iter().filter(|(_, how)| !explained(*how)) {
        report.difference(format!("a connection ended with {how:?}"));
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
    let p99 = |tally: &crate::scene::Tally| quantile_ms(&tally.accepted(), 0.99);
    let rates = options.rate.map_or("half at 0 B/s, half at 100 B/s".into(), |rate| format!("{rate} B/s"));
    Ok(Verdict {
        good,
        count: format!(
            "{} readers ({rates}), {} KiB written to each",
            grouped(readers),
            grouped(u64::from(options.kib))
        ),
        result: format!(
            "server's memory +{} MiB ({} MiB allowed), {} MiB queued at most; {} closed and told to come back, all whole in {:.1} s; bystander's p99 {:.1} ms, quiet {:.1} ms",
            growth_slow / MIB,
            allowed / MIB,
            most_queued / MIB,
            grouped(told.0 + told.1),
            back.as_secs_f64(),
            p99(&slowed),
            p99(&quiet),
        ),
        seed: None,
    })
}

/// Everyone who takes part but the bystander.
struct Party {
    seats: Vec<Seat>,
    valves: Vec<(Arc<Valve>, Flow)>,
    desks: Vec<Desk>,
}

async fn gather(options: &Slow, house: &House, scene: &Arc<Scene>) -> Result<Party, String> {
    let mut party = Party { seats: Vec::new(), valves: Vec::new(), desks: Vec::new() };
    let temper = Temper { bytes: LEAST_BYTES, eager: false, patient: true };
    let manner = Manner { backoff: PROTOCOL, ..VISITOR };
    for number in 0..options.readers {
        let valve = Valve::new(Instant::now());
        let rate = options.rate.unwrap_or(if number.is_multiple_of(2) { 0 } else { 100 });
        party.valves.push((Arc::clone(&valve), Flow::BytesPerSecond(rate)));
        let guest = Guest::new(number, temper, Arc::clone(scene), Some(valve));
        party.seats.push(seat(guest, &house.place, manner));
    }
    party.desks = desks(house, scene, CLERKS, BYTES).await?;
    Ok(party)
}

/// So many messages to each conversation, in turns, so that all queues fill at the same time.
fn write(desks: &[Desk], conversations: &[Id], messages: u64) {
    for (index, desk) in desks.iter().enumerate() {
        let share: Vec<Id> = conversations.iter().skip(index).step_by(desks.len()).copied().collect();
        drop(desk.orders.send(ClerkOrder::Write(share.repeat(messages as usize))));
    }
}

#[cfg(test)]
mod tests {
    use bellhop_protocol::CloseCode;

    use super::{MIB, SLACK, allowed, explained};
    use crate::link::Parting;

    #[test]
    fn each_reader_may_cost_its_bound_and_all_together_their_budget() {
        assert_eq!(allowed(10, 5 * MIB), 15 * MIB + SLACK);
        assert_eq!(allowed(10_000, 0), 288 * MIB + SLACK);
    }

    #[test]
    fn a_slow_reader_is_told_to_come_back_or_finds_its_connection_broken() {
        for (how, good) in [
            (Parting::Bye { code: CloseCode::SlowReader, retry_after_ms: None }, true),
            (Parting::Bye { code: CloseCode::OutboxBudget, retry_after_ms: None }, true),
            (Parting::Closed(4002), true),
            (Parting::Broken, true),
            (Parting::Bye { code: CloseCode::Internal, retry_after_ms: None }, false),
            (Parting::Closed(1006), false),
            (Parting::Refused(503), false),
            (Parting::Unreachable, false),
        ] {
            assert_eq!(explained(how), good, "{how:?}");
        }
    }
}
