//! `chat`: closed loop. A pair is a visitor and the agent who has their conversation; the visitor's next message
//! follows when the last was acknowledged to them and has reached the agent. All that was said is read back.

use crate::{
    args::Chat,
    fast::Loop,
    hall::{Hall, conclude},
    report::Report,
    server::Extras,
    turns::{Bare, take_turns},
};

pub(crate) async fn chat(options: &Chat) -> Result<bool, String> {
    let mut report = None;
    for &pairs in &options.pairs {
        let mut hall = Hall::open(&options.target, Extras::default(), pairs).await?;
        let report = report.get_or_insert_with(|| Report::new("chat", hall.house.server.file_system()));
        let several = options.pairs.len() > 1;
        let prefix = if several { format!("pairs_{pairs}_") } else { String::new() };
        report.count(&format!("{prefix}pairs"), "pairs", pairs.into());
        if options.compare {
            compare(options, &mut hall, pairs, report, &prefix).await?;
        } else {
            let round = hall.round(Loop::Closed, options.warm_up, options.seconds).await?;
            report.round(&prefix, "acknowledged and received", &round);
        }
        hall.leave(report, &prefix).await?;
    }
    conclude(report.ok_or("no number of pairs was given")?, &options.target)
}

async fn compare(options: &Chat, hall: &mut Hall, pairs: u32, report: &mut Report, prefix: &str) -> Result<(), String> {
    let mut bare = Bare::open(hall, pairs, options.target.patience).await?;
    let time = (options.warm_up, options.seconds);
    let (ours, theirs) = take_turns(hall, &mut bare, Loop::Closed, options.rounds, time).await?;
    ours.tell(report, &format!("{prefix}bellhop_"), "Bellhop");
    theirs.tell(report, &format!("{prefix}bare_"), "bare durable router");
    let ratio = ours.rate() / theirs.rate().max(1.0);
    report.figure(&format!("{prefix}ratio_percent"), "Bellhop ÷ bare durable router", ratio * 100.0, "% (medians)");
    report.figure(&format!("{prefix}median"), "median of Bellhop's rounds", ours.rate(), "messages/s");
    report.figure(&format!("{prefix}bare_median"), "median of the bare router's", theirs.rate(), "messages/s");
    // On a machine that others use too, rates say more of waiting than of work.
    let by_cpu = theirs.both_us() / ours.both_us().max(0.001);
    report.figure(&format!("{prefix}cpu_ratio_percent"), "by CPU a message, both sides", by_cpu * 100.0, "%");
    let (cpu, bare_cpu) = (ours.server_us(), theirs.server_us());
    report.figure(&format!("{prefix}server_cpu_us"), "Bellhop's CPU a message", cpu, "µs");
    report.figure(&format!("{prefix}bare_server_cpu_us"), "the bare router's", bare_cpu, "µs");
    Ok(())
}
