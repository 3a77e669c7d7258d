//! `terms`: SIGTERM under full load, again and again on one data directory. The server ends in time and with 0, every
//! client is told when to come back, at times that are spread, and nothing that was acknowledged is lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bellhop_protocol::{CloseCode, Id};
use tokio::time::sleep;

use crate::{
    args::Terms,
    clerk::{ClerkOrder, desks},
    client::{Manner, PROTOCOL, VISITOR},
    dice::Dice,
    guest::{Guest, GuestOrder, Seat, Temper, seat},
    house::House,
    ledger::Fault,
    link::Parting,
    machine::Meter,
    report::{Report, grouped},
    run::{check_files, progress},
    scene::Scene,
    server::{Extras, Farewell},
    stage::{Stage, lock},
    verdict::{self, Verdict},
    waiting::{leave, until_done},
};

/// Agents who write to all conversations in turns.
const CLERKS: u32 = 4;
/// Bytes of each message.
const BYTES: u32 = 100;
/// `drain.deadline` of the configuration.
const DEADLINE: Duration = Duration::from_secs(30);
/// Beyond the deadline a server is given this long before it is killed: so that its own end is seen.
const GRACE: Duration = Duration::from_secs(5);
/// The signal falls within this time after the load has lasted as long as it should.
const MOMENT_MS: u64 = 500;
/// From so many sessions on the spread of closes and returns is judged: few random times may lie together.
const SPREAD_SESSIONS: usize = 16;

pub(crate) async fn terms(options: &Terms) -> Result<bool, String> {
    let outcome = attack(options).await;
    verdict::tell("G8 G1", "SIGTERM under full load".into(), &options.target, outcome)
}

/// One stop.
#[derive(Debug)]
struct Stop {
    farewell: Farewell,
    /// Sessions that were there when the signal came.
    there: u64,
    /// How connections ended until the process did, after the signal.
    partings: Vec<(Duration, Parting)>,
}

impl Stop {
    /// When each session was told, and when it is to come back.
    fn told(&self) -> Vec<(Duration, u64)> {
        let draining = |(at, how): &(Duration, Parting)| match how {
            Parting::Bye { code: CloseCode::Draining, retry_after_ms: Some(ms) } => Some((*at, *ms)),
            _ => None,
        };
        self.partings.iter().filter_map(draining).collect()
    }

    /// What was not as promised; `drain` is both the time over which sockets are closed and the window of returns.
    fn broken(&self, drain: Duration) -> Vec<String> {
        let mut broken = Vec::new();
        let Farewell { code, took } = self.farewell;
        if code != Some(0) {
            broken.push(format!("the server ended with {code:?}"));
        }
        if took > DEADLINE {
            broken.push(format!("the server took {:.1} s to end", took.as_secs_f64()));
        }
        let told = self.told();
        if told.len() as u64 != self.there {
            broken.push(format!("{} of {} sessions were told when to come back", told.len(), self.there));
        }
        // A client that was told comes back too early, perhaps, and finds nobody or a 503; nothing else may happen.
        for (_, how) in &self.partings {
            match how {
                Parting::Bye { code: CloseCode::Draining, retry_after_ms: Some(_) }
                | Parting::Unreachable
                | Parting::Refused(503) => {}
                other => broken.push(format!("a connection ended with {other:?}")),
            }
        }
        if told.len() >= SPREAD_SESSIONS {
            let over = spread(told.iter().map(|(at, _)| *at));
            if over < drain.mul_f64(0.5) {
                broken.push(format!("all were told within {:.2} s", over.as_secs_f64()));
            }
            let window = spread(told.iter().map(|(_, ms)| Duration::from_millis(*ms)));
            if window < drain.mul_f64(0.5) {
                broken.push(format!("all are to come back within {:.2} s", window.as_secs_f64()));
            }
        }
        broken
    }
}

/// From the first to the last.
fn spread(times: impl Iterator<Item = Duration> + Clone) -> Duration {
    times.clone().max().unwrap_or_default().saturating_sub(times.min().unwrap_or_default())
}

async fn attack(options: &Terms) -> Result<Verdict, String> {
    check_files(u64::from(options.visitors + CLERKS))?;
    let seed = options.seed.map_or_else(|| Dice::random().map(|mut dice| dice.next()), Ok)?;
    let mut dice = Dice::new(seed);
    let drain = Duration::from_secs(options.drain.into());
    let settings = vec![
        ("drain", format!("over = \"{}s\"", options.drain)),
        ("drain", format!("reconnect_window = \"{}s\"", options.drain)),
    ];
    let house = House::open_with(&options.target, Extras { settings, ..Extras::default() }).await?;
    let patience = options.target.patience;
    let scene = Scene::new(Stage::new()?, house.workspace);
    let temper = Temper { bytes: BYTES, eager: true, patient: true };
    let manner = Manner { backoff: PROTOCOL, ..VISITOR };
    let seats: Vec<Seat> = (0..options.visitors)
        .map(|number| seat(Guest::new(number, temper, Arc::clone(&scene), None), &house.place, manner))
        .collect();
    let visitors = u64::from(options.visitors);
    until_done(&house, &scene, patience, "conversations", || visitors - scene.begun()).await?;
    let desks = desks(&house, &scene, CLERKS, BYTES).await?;
    let everyone = visitors + u64::from(CLERKS);
    until_done(&house, &scene, patience, "all there", || everyone.saturating_sub(scene.present())).await?;

    scene.talk(true);
    let conversations: Vec<Id> = scene.conversations().into_values().collect();
    for (index, desk) in desks.iter().enumerate() {
        let share: Vec<Id> = conversations.iter().skip(index).step_by(desks.len()).copied().collect();
        drop(desk.orders.send(ClerkOrder::Chatter(share)));
    }
    for seat in &seats {
        drop(seat.orders.send(GuestOrder::Say));
    }

    let bar = progress(options.times.into(), "stops");
    let mut stops = Vec::new();
    let (mut generator, mut rates) = (0.0f64, Vec::new());
    for _ in 0..options.times {
        until_done(&house, &scene, patience, "all back", || everyone.saturating_sub(scene.present())).await?;
        let (meter, before, begin) = (Meter::start(house.server.pid()), scene.acknowledgements(), Instant::now());
        sleep(Duration::from_secs(options.seconds.into()) + Duration::from_millis(dice.below(MOMENT_MS))).await;
        rates.push((scene.acknowledgements() - before) as f64 / begin.elapsed().as_secs_f64());
        generator = generator.max(meter.read().generator);
        stops.push(stop(&house, &scene).await?);
        house.server.start()?;
        house.server.until_up().await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    until_done(&house, &scene, patience, "all back", || everyone.saturating_sub(scene.present())).await?;
    scene.talk(false);
    let unanswered = || {
        let diaries = seats.iter().map(|seat| &seat.diary).chain(desks.iter().map(|desk| &desk.diary));
        diaries.map(|diary| lock(diary).unanswered()).sum()
    };
    until_done(&house, &scene, patience, "answers", unanswered).await?;
    let acknowledged = scene.acknowledgements();
    let (gaps, judged) = leave(&house, seats, desks, usize::MAX).await;

    let mut report = Report::new("terms", house.server.file_system());
    report.note("seed", seed);
    report.count("stops", "stops", stops.len() as u64);
    report.count("sessions", "sessions", everyone);
    report.count("acknowledged", "acknowledged commands", acknowledged);
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    report.figure("least_rate", "load before a stop, at least", least, "commands/s");
    report.figure("generator_cpu", "generator's CPU at most", generator * 100.0, "% of a core");
    let longest = stops.iter().map(|stop| stop.farewell.took).max().unwrap_or_default();
    report.figure("longest_stop_seconds", "longest stop", longest.as_secs_f64(), "s");
    let told: Vec<(Duration, u64)> = stops.iter().flat_map(Stop::told).collect();
    report.count("told", "told when to come back", told.len() as u64);
    let last = told.iter().map(|(_, ms)| *ms).max().unwrap_or_default();
    report.figure("latest_return_seconds", "… at the latest after", last as f64 / 1_000.0, "s");
    report.count("resets", "conversations that began anew (over 1,000 events missed)", scene.resets());
    report.count("compared_messages", "messages compared", judged.messages);
    for (number, stop) in stops.iter().enumerate() {
        for what in stop.broken(drain) {
            report.difference(format!("stop {}: {what}", number + 1));
        }
    }
    if gaps > 0 {
        report.difference(format!("{gaps} events were left out without a word"));
    }
    for finding in &judged.findings {
        report.difference(finding.to_string());
    }
    let good = crate::finish(report, &scene.stage, &house, &options.target).await?;
    Ok(Verdict {
        good,
        count: format!("{} stop(s), {} acknowledged commands", grouped(stops.len() as u64), grouped(acknowledged)),
        result: format!(
            "exit code 0 {} of {} times, after {:.1} s at most; {} of {} sessions told when to come back, spread over {} s; {} lost, {} doubled, {} not heard",
            stops.iter().filter(|stop| stop.farewell.code == Some(0)).count(),
            stops.len(),
            longest.as_secs_f64(),
            grouped(told.len() as u64),
            grouped(stops.iter().map(|stop| stop.there).sum()),
            options.drain,
            judged.count(&[Fault::Lost, Fault::Misplaced, Fault::Altered]),
            judged.count(&[Fault::Doubled]),
            judged.count(&[Fault::Unheard, Fault::HeardWrongly]),
        ),
        seed: Some(seed),
    })
}

async fn stop(house: &House, scene: &Scene) -> Result<Stop, String> {
    let there = scene.present();
    let begin = Instant::now();
    let farewell = house.server.terminate(DEADLINE + GRACE).await?;
    let partings =
        scene.partings_since(begin).into_iter().map(|(at, how)| (at.saturating_duration_since(begin), how)).collect();
    Ok(Stop { farewell, there, partings })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bellhop_protocol::CloseCode;

    use super::Stop;
    use crate::{link::Parting, server::Farewell};

    const DRAIN: Duration = Duration::from_secs(2);

    /// Twenty sessions, told evenly over the drain to come back evenly over it.
    fn stop() -> Stop {
        let told = |index: u64| {
            let at = Duration::from_millis(index * 100);
            (at, Parting::Bye { code: CloseCode::Draining, retry_after_ms: Some(2_000 - index * 100) })
        };
        Stop {
            farewell: Farewell { code: Some(0), took: Duration::from_secs(3) },
            there: 20,
            partings: (0..20).map(told).collect(),
        }
    }

    #[test]
    fn a_good_stop_ends_with_0_in_time_and_tells_everyone_at_spread_times() {
        assert_eq!(stop().broken(DRAIN), Vec::<String>::new());
        let mut early = stop();
        early.partings.push((DRAIN, Parting::Refused(503)));
        early.partings.push((DRAIN, Parting::Unreachable));
        assert!(early.broken(DRAIN).is_empty(), "who comes back early finds nobody");
    }

    #[test]
    fn each_broken_promise_of_a_stop_is_named() {
        let check = |change: fn(&mut Stop), text: &str| {
            let mut stop = stop();
            change(&mut stop);
            let broken = stop.broken(DRAIN);
            assert!(broken.iter().any(|it| it.contains(text)), "{text}: {broken:?}");
        };
        check(|stop| stop.farewell.code = Some(1), "ended with Some(1)");
        check(|stop| stop.farewell.code = None, "ended with None");
        check(|stop| stop.farewell.took = Duration::from_secs(31), "took 31.0 s");
        check(|stop| stop.partings.truncate(19), "19 of 20");
        check(|stop| stop.partings[3].1 = Parting::Broken, "ended with Broken");
        check(|stop| stop.partings[3].1 = Parting::Bye { code: CloseCode::Draining, retry_after_ms: None }, "19 of 20");
        check(|stop| stop.partings.iter_mut().for_each(|it| it.0 = DRAIN), "told within");
        let same = Parting::Bye { code: CloseCode::Draining, retry_after_ms: Some(7) };
        let mut together = stop();
        together.partings.iter_mut().for_each(|it| it.1 = same);
        assert!(together.broken(DRAIN).iter().any(|it| it.contains("come back within")));
    }
}
