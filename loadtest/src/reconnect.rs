//! `reconnect`: everyone is cut off, some with a command under way, and comes back at once, each with its token and its
//! cursor, to a server that goes on, or was restarted by SIGTERM meanwhile. (`storm` is the same after a `kill -9`, with clients that hold back as
//! PROTOCOL.md asks; here nobody holds back.) Nothing may be lost, and who was never cut off may hardly feel it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::time::sleep;

use crate::{
    args::Reconnect,
    compare::Words,
    dice::Dice,
    fast::{Bellhop, Crowd, Return, Returners, apart, seconds, with},
    gauges::Memory,
    hall::conclude,
    house::House,
    machine::Meter,
    report::Report,
    run::{check_files, progress},
    transcript::Side,
    verify::{Said, verify},
};

/// Bystanders, as many as an agent may hold at least; and messages a second over all of them: enough for a p99 of a
/// storm of a second or two.
const BYSTANDERS: u32 = 5;
const BYSTANDERS_RATE: f64 = 100.0;
/// How long the bystander is watched before the cut, seconds.
const QUIET: u32 = 3;

/// After SIGTERM: longer than the server's own deadline for draining.
const STOP: Duration = Duration::from_secs(40);

// Phases that the bystander tells apart.
const GATHERING: usize = 0;
const BEFORE: usize = 1;
const STORM: usize = 2;
const OVER: usize = 3;

pub(crate) async fn reconnect(options: &Reconnect) -> Result<bool, String> {
    check_files(u64::from(options.sessions) + u64::from(BYSTANDERS) + 1)?;
    let house = House::open(&options.target).await?;
    let (patience, address) = (seconds(options.target.patience), house.place.address);
    let mut dice = Dice::random()?;

    // The bystanders: visitors and one agent, on a thread of their own, so that they wait for nobody's bytes but theirs.
    let tokens: Vec<String> = house.agent_tokens(BYSTANDERS).await?.into_iter().take(1).collect();
    let origin = house.place.origin.clone();
    let bellhop = Bellhop::new(house.workspace, address.to_string(), origin.clone(), tokens, dice.next());
    let crowd = Crowd::new(bellhop, address, None, BYSTANDERS as usize, patience)?;
    let (crowd, ()) =
        with(crowd, |crowd| crowd.connect(1).and_then(|()| crowd.connect(1 + BYSTANDERS as usize))).await?;
    let phase = Arc::new(AtomicUsize::new(GATHERING));
    let looked_at = Arc::clone(&phase);
    let last = if options.restart { BEFORE } else { STORM };
    let bystander = tokio::spawn(with(crowd, move |crowd| crowd.watch(BYSTANDERS_RATE, &looked_at, last)));

    let count = options.sessions as usize;
    let mut guests = Returners::new(house.workspace, address, origin, count, dice.next(), patience)?;
    let mut guests = apart(move || guests.gather().map(|()| guests)).await??;
    phase.store(BEFORE, Ordering::Relaxed);
    sleep(seconds(QUIET)).await;
    phase.store(STORM, Ordering::Relaxed);
    let mut guests = apart(move || guests.cut().map(|()| guests)).await??;
    if options.restart {
        restart(&house).await?;
    }
    let pid = house.server.pid().ok_or("the server's process cannot be seen from here")?;
    let (memory, meter) = (Memory::watch(pid), Meter::start(Some(pid)));
    let (guests, came) = apart(move || guests.come_back().map(|came| (guests, came))).await??;
    let shares = meter.read();
    phase.store(OVER, Ordering::Relaxed);
    let times = bystander.await.map_err(|error| error.to_string())?;

    let mut report = Report::new("reconnect", house.server.file_system());
    report.count("sessions", "sessions cut off at once", options.sessions.into());
    tell(&mut report, &came);
    match times {
        Ok((_, times)) => tell_times(&mut report, &times),
        Err(why) => report.difference(format!("the bystanders: {why}")),
    }
    report.cpu(shares, 1, 0, came.whole.as_secs_f64());
    report.count("rss_peak", "server's memory at most, B", memory.peak());
    drop(memory);
    for difference in read_back(&house, &guests).await {
        report.difference(difference);
    }
    drop(guests);
    house.server.stop().await?;
    conclude(report, &options.target)
}

/// SIGTERM, and a new start on the same data.
async fn restart(house: &House) -> Result<(), String> {
    house.server.terminate(STOP).await?;
    house.server.start()?;
    house.server.until_up().await
}

fn tell(report: &mut Report, came: &Return) {
    report.figure("welcomed_seconds", "until all are authenticated", came.welcomed.as_secs_f64(), "s");
    report.figure("back_seconds", "until all are resumed and answered", came.whole.as_secs_f64(), "s");
    report.count("again", "repeats that had taken effect before", came.again);
    for (how, count) in &came.turned_away {
        report.count(&format!("ended_{}", how.replace(' ', "_")), &format!("attempts: {how}"), *count);
    }
}

fn tell_times(report: &mut Report, times: &[Histogram<u64>]) {
    for (key, label, phase) in [("quiet_", "bystanders before", BEFORE), ("storm_", "bystanders meanwhile", STORM)] {
        if let Some(times) = times.get(phase) {
            report.latency(key, label, times);
        }
    }
}

async fn read_back(house: &House, guests: &Returners) -> Vec<String> {
    let said = (0..guests.count()).map(|number| Said {
        name: format!("guest {}", number + 1),
        conversation: Some(guests.conversation(number)),
        words: (0..guests.said(number))
            .map(|index| Words { side: Side::Visitor, text: guests.text(number, index) })
            .collect(),
    });
    let bar = progress(guests.count() as u64, "read back");
    let differences = verify(&house.rest, said, &bar).await;
    bar.finish_and_clear();
    differences
}
