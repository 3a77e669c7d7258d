//! `share`: what a message costs the server in CPU should not depend much on how many threads or conversations share
//! the work. Three servers take turns at one rate: few pairs on one thread, few on two, many on two.

use crate::{
    args::Share,
    fast::Loop,
    hall::{Hall, conclude},
    rate::settle,
    report::Report,
    server::Extras,
    turns::Rounds,
};

pub(crate) async fn share(options: &Share) -> Result<bool, String> {
    let mut report = None;
    let mut halls = Vec::new();
    for (key, workers, pairs) in
        [("few_on_1", 1, options.few), ("few_on_2", 2, options.few), ("many_on_2", 2, options.many)]
    {
        let threads = ("runtime", format!("worker_threads = {workers}"));
        let extras = Extras { settings: vec![threads], environment: vec![] };
        let hall = Hall::open(&options.target, extras, pairs).await?;
        report.get_or_insert_with(|| Report::new("share", hall.house.server.file_system()));
        halls.push((key, format!("{pairs} pairs, {workers} thread(s)"), hall, Rounds::default()));
    }
    let mut report = report.ok_or("no server was asked for")?;
    let time = (options.warm_up, options.seconds);
    let rate = settle(options.pace, &mut halls[0].2, time, &mut report).await?;
    for _ in 0..options.rounds {
        for (_, _, hall, rounds) in &mut halls {
            rounds.push(hall.round(Loop::Open(rate), time.0, time.1).await?);
        }
    }
    for (key, label, _, rounds) in &halls {
        rounds.tell(&mut report, &format!("{key}_"), label);
        report.figure(&format!("{key}_cpu_us"), "its CPU a message, median", rounds.server_us(), "µs");
    }
    let cpu: Vec<f64> = halls.iter().map(|(.., rounds)| rounds.server_us()).collect();
    let ratio = |of: f64, to: f64| of / to.max(0.001);
    report.figure("workers_ratio", "CPU a message, 2 threads ÷ 1", ratio(cpu[1], cpu[0]), "");
    report.figure("pairs_ratio", "CPU a message, many pairs ÷ few", ratio(cpu[2], cpu[1]), "");
    for (key, _, hall, _) in halls {
        hall.leave(&mut report, &format!("{key}_")).await?;
    }
    conclude(report, &options.target)
}
