//! `chat`: closed loop. A pair is a visitor and an agent; the next message, the other way, follows when the last was
//! acknowledged to its sender and has reached the other side.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, time::sleep};

use crate::{
    args::Chat,
    dice::Dice,
    house::{AGENTS, Agents, House},
    machine::Meter,
    report::Report,
    run::{Company, LOOK, Watch, check_files, progress},
    stage::Stage,
    talk::Script,
    verify::verify,
};

/// Messages that are read back and compared: all of a short run, some conversations of a long one (a quarter of a
/// minute of reading at most).
const MOST_VERIFIED: usize = 200_000;
/// Visitors that come at the same time in the beginning.
const AT_ONCE: usize = 128;

pub(crate) async fn chat(options: &Chat) -> Result<bool, String> {
    check_files(u64::from(options.pairs) + u64::from(AGENTS))?;
    let house = House::open(&options.target).await?;
    let stage = Stage::new()?;
    let company = Company::new(Arc::clone(&stage));
    let mut agents = house.agents(&stage, options.pairs).await?;
    let mut watch = Watch::new(options.target.patience);
    until(&house, &company, &mut agents, &mut watch, || stage.agents_ready() >= u64::from(AGENTS)).await?;

    let seed = Dice::random()?.next();
    let everyone = Arc::new(Semaphore::new(options.pairs as usize));
    let bar = progress(options.pairs.into(), "pairs");
    for number in 0..options.pairs {
        let permit = Arc::clone(&everyone).acquire_owned().await.map_err(|error| error.to_string())?;
        let script = Script::Endless { seed: seed.wrapping_add(number.into()) };
        company.visit(&house, format!("pair {}", number + 1), script, permit);
        let come = number as usize + 1;
        until(&house, &company, &mut agents, &mut watch, || {
            bar.set_position(stage.begun());
            stage.begun() as usize + AT_ONCE > come || stage.errors() > 0
        })
        .await?;
    }
    let all = u64::from(options.pairs);
    until(&house, &company, &mut agents, &mut watch, || {
        bar.set_position(stage.begun());
        stage.begun() >= all || stage.errors() > 0
    })
    .await?;
    bar.finish_and_clear();
    pass(&house, &company, &mut agents, &mut watch, options.warm_up, "warm-up").await?;

    let losses = house.place.losses.load(Ordering::Relaxed);
    let meter = Meter::start(house.server.pid());
    let begin = Instant::now();
    stage.measure(true);
    pass(&house, &company, &mut agents, &mut watch, options.seconds, "measuring").await?;
    stage.measure(false);
    let seconds = begin.elapsed().as_secs_f64();
    let shares = meter.read();

    stage.stop();
    until(&house, &company, &mut agents, &mut watch, || everyone.available_permits() >= options.pairs as usize).await?;
    let mut heard = agents.leave().await;
    heard.add(company.heard());

    let talks = company.talks();
    let (mut sum, mut chosen) = (0, 0);
    while chosen < talks.len() && (chosen == 0 || sum < MOST_VERIFIED) {
        sum += talks[chosen].said().1.len();
        chosen += 1;
    }
    let bar = progress(chosen as u64, "read back");
    let differences = verify(&house.rest, &talks[..chosen], &bar).await;
    bar.finish_and_clear();

    let mut report = Report::new("chat", house.server.file_system());
    report.count("pairs", "pairs", options.pairs.into());
    report.count("conversations", "conversations", talks.len() as u64);
    report.turns(&stage, seconds);
    report.cpu(shares, options.target.threads, stage.measured(), seconds);
    report.count("receipts", "read receipts", heard.reads);
    report.count("verified_conversations", "conversations compared", chosen as u64);
    report.count("verified_messages", "messages compared", sum as u64);
    report.count("reconnects", "reconnects", house.place.losses.load(Ordering::Relaxed) - losses);
    for difference in differences {
        report.difference(difference);
    }
    crate::finish(report, &stage, &house, &options.target).await
}

/// Waits for something to become true, as long as things move.
async fn until(
    house: &House,
    company: &Company,
    agents: &mut Agents,
    watch: &mut Watch,
    mut done: impl FnMut() -> bool,
) -> Result<(), String> {
    while !done() {
        watch.look(house, company, agents, false).await?;
        sleep(LOOK / 10).await;
    }
    Ok(())
}

async fn pass(
    house: &House,
    company: &Company,
    agents: &mut Agents,
    watch: &mut Watch,
    seconds: u32,
    what: &str,
) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let bar = progress(seconds.into(), what);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        sleep(left.min(LOOK)).await;
        bar.set_position(u64::from(seconds).saturating_sub(left.as_secs()));
        watch.look(house, company, agents, false).await?;
    }
    bar.finish_and_clear();
    Ok(())
}
