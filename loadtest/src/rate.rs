//! `rate`: open loop. Messages are said when they are due, and their time counts from then: a server that stops for a
//! moment is late with all that was due in it. The bare durable router gets the same, round by round.

use crate::{
    args::{Pace, Rate},
    fast::Loop,
    hall::{Hall, conclude},
    report::Report,
    server::Extras,
    turns::{Bare, take_turns},
};

pub(crate) async fn rate(options: &Rate) -> Result<bool, String> {
    let mut hall = Hall::open(&options.target, Extras::default(), options.pairs).await?;
    let mut report = Report::new("rate", hall.house.server.file_system());
    report.count("pairs", "pairs", options.pairs.into());
    let time = (options.warm_up, options.seconds);
    let pace = settle(options.pace, &mut hall, time, &mut report).await?;
    let mut bare = Bare::open(&hall, options.pairs, options.target.patience).await?;
    let (ours, theirs) = take_turns(&mut hall, &mut bare, Loop::Open(pace), options.rounds, time).await?;
    ours.tell(&mut report, "bellhop_", "Bellhop");
    theirs.tell(&mut report, "bare_", "bare durable router");
    for (key, name, quantile) in [("p50", "p50", 0.5), ("p99", "p99", 0.99), ("p999", "p99.9", 0.999)] {
        let (own, other) = (ours.quantile_ms(quantile), theirs.quantile_ms(quantile));
        report.figure(&format!("median_{key}_ms"), &format!("Bellhop's {name}, median of rounds"), own, "ms");
        report.figure(&format!("bare_median_{key}_ms"), "the bare router's", other, "ms");
        report.figure(&format!("ratio_{key}"), "ratio", own / other.max(0.001), "");
    }
    hall.leave(&mut report, "").await?;
    conclude(report, &options.target)
}

/// The rate, messages a second: as it was said, or a part of the peak, which is measured now.
pub(crate) async fn settle(
    pace: Pace,
    hall: &mut Hall,
    (warm_up, measured): (u32, u32),
    report: &mut Report,
) -> Result<f64, String> {
    let rate = match pace.rate {
        Some(rate) => f64::from(rate),
        None => {
            let peak = hall.round(Loop::Closed, warm_up, measured).await?;
            report.round("peak_", "peak (closed loop)", &peak);
            peak.rate() * pace.of_peak
        }
    };
    if rate < 1.0 {
        return Err("the rate is under one message a second".into());
    }
    report.figure("rate", "rate", rate, "messages/s are due");
    Ok(rate)
}
