//! `replay`: recorded conversations as real visitors and agents, then every one of them read back and compared.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use crate::{
    args::{Replay, Speed},
    dice::Dice,
    house::{AGENTS, House},
    machine::Meter,
    report::Report,
    run::{Company, LOOK, Watch, check_files, progress},
    stage::Stage,
    talk::Script,
    transcript::{self, Transcript},
    verify::verify,
};

/// Longest time between the turn that a kill was drawn for and the kill, ms: kills are not tied to a turn's end.
const KILL_WITHIN_MS: u64 = 30;
/// Longest time that the server stays away after a kill, ms.
const AWAY_MS: u64 = 400;

/// Whether everything was as it should be; figures are printed and written either way.
pub(crate) async fn replay(options: &Replay) -> Result<bool, String> {
    let most = options.conversations.and_then(|most| usize::try_from(most).ok());
    let transcripts = transcript::read(&options.file, most)?;
    check_files(u64::from(options.parallel) + u64::from(AGENTS))?;
    let seed = options.seed.map_or_else(|| Dice::random().map(|mut dice| dice.next() >> 16), Ok)?;
    let turns: u64 = transcripts.iter().map(|transcript| transcript.turns.len() as u64).sum();
    if options.kill > 0 {
        eprintln!("Kills are drawn from --seed {seed}.");
    }

    let house = House::open(&options.target).await?;
    let stage = Stage::new()?;
    let company = Company::new(Arc::clone(&stage));
    let mut agents = house.agents(&stage, options.parallel).await?;
    let mut watch = Watch::new(options.target.patience);
    while stage.agents_ready() < u64::from(AGENTS) {
        watch.look(&house, &company, &mut agents, false).await?;
        tokio::time::sleep(LOOK).await;
    }

    let meter = Meter::start(house.server.pid());
    stage.measure(true);
    let begin = Instant::now();
    let bar = progress(turns, "turns");
    let places = Arc::new(Semaphore::new(options.parallel as usize));
    let conversations = transcripts.len() as u64;
    let mut work = std::pin::pin!(async {
        let feeding = async { Ok(feed(&house, &company, &places, transcripts, options).await) };
        tokio::try_join!(feeding, kill(&house, &stage, options.kill, turns, seed))
    });
    let (last_turn, starts) = loop {
        tokio::select! {
            done = &mut work => break done?,
            () = tokio::time::sleep(LOOK) => {
                bar.set_position(stage.turns());
                bar.set_position(stage.turns());
                watch.look(&house, &company, &mut agents, options.speed != Speed::Max).await?;
            }
        }
    };
    bar.set_position(stage.turns());
    bar.finish();
    stage.measure(false);
    let shares = meter.read();
    let seconds = last_turn.duration_since(begin).as_secs_f64();
    let mut heard = agents.leave().await;
    heard.add(company.heard());

    let talks = company.talks();
    let bar = progress(talks.len() as u64, "read back");
    let differences = verify(&house.rest, talks.iter().map(|talk| talk.said()), &bar).await;
    bar.finish();

    let mut report = Report::new("replay", house.server.file_system());
    report.text("file", "file", options.file.display().to_string());
    report.count("conversations", "conversations", conversations);
    report.turns(&stage, seconds);
    report.count("kills", "kills", starts.len() as u64);
    if let Some(longest) = starts.iter().max() {
        report.figure("longest_start_ms", "longest start after one", longest.as_secs_f64() * 1_000.0, "ms");
    }
    report.note("seed", seed);
    report.cpu(shares, options.target.threads, stage.measured(), seconds);
    report.note("parallel", options.parallel);
    report.count("reconnects", "reconnects", house.place.losses.load(std::sync::atomic::Ordering::Relaxed));
    report.count("repeats", "commands repeated", heard.repeats);
    report.note("receipts", heard.reads);
    for difference in differences {
        report.difference(difference);
    }
    if stage.turns() != turns {
        report.difference(format!("{} turns were carried of {turns}", stage.turns()));
    }
    crate::finish(report, &stage, &house, &options.target).await
}

/// Lets the visitors in, so many at a time; returns when the last is through, with the time of that.
async fn feed(
    house: &House,
    company: &Arc<Company>,
    places: &Arc<Semaphore>,
    transcripts: Vec<Transcript>,
    options: &Replay,
) -> Instant {
    for transcript in transcripts {
        let Ok(permit) = Arc::clone(places).acquire_owned().await else { break };
        let name = transcript.id.clone();
        company.visit(house, name, Script { transcript, speed: options.speed }, permit);
    }
    // All places free again: all have gone.
    drop(places.acquire_many(options.parallel).await);
    Instant::now()
}

/// Kills at moments spread over the run: each is drawn as a share of all turns, so that a slow machine gets as many.
/// Returns how long each start took.
async fn kill(house: &House, stage: &Stage, kills: u32, turns: u64, seed: u64) -> Result<Vec<Duration>, String> {
    let mut dice = Dice::new(seed);
    let mut starts = Vec::new();
    for at in moments(&mut dice, kills, turns) {
        while stage.turns() < at {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(dice.below(KILL_WITHIN_MS))).await;
        starts.push(house.server.kill_and_restart(Duration::from_millis(dice.below(AWAY_MS))).await?);
    }
    Ok(starts)
}

/// Between the second and the ninety-fifth hundredth of the turns, in rising order.
fn moments(dice: &mut Dice, kills: u32, turns: u64) -> Vec<u64> {
    let (first, last) = (turns / 50, turns * 95 / 100);
    let mut moments: Vec<u64> = (0..kills).map(|_| first + dice.below(last - first)).collect();
    moments.sort_unstable();
    moments
}

#[cfg(test)]
mod tests {
    use super::{Dice, moments};

    #[test]
    fn a_seed_draws_the_same_kills_inside_the_run() {
        let all = moments(&mut Dice::new(7), 50, 10_000);
        assert_eq!(all, moments(&mut Dice::new(7), 50, 10_000));
        assert_ne!(all, moments(&mut Dice::new(8), 50, 10_000));
        assert!(all.is_sorted() && all.iter().all(|at| (200..9_500).contains(at)));
        assert_eq!(moments(&mut Dice::new(7), 3, 1), [0, 0, 0]);
    }
}
