//! Bellhop and a bare durable router take turns, round by round, in one run: what a machine does changes from minute
//! to minute, and a ratio of neighbours does so less.

use hdrhistogram::Histogram;

use crate::{
    args::RouterKind,
    baseline::{Router, Speech, bare},
    fast::{Crowd, Loop, Round, with},
    hall::Hall,
    report::Report,
};

/// A bare durable router with its pairs, all connected.
pub(crate) struct Bare {
    router: Router,
    crowd: Option<Crowd<Speech>>,
}

impl Bare {
    /// Beside a server of our own, so that both write to the same disk.
    pub(crate) async fn open(hall: &Hall, pairs: u32, patience: u32) -> Result<Self, String> {
        let directory = match hall.house.server.directory() {
            Some(directory) => directory.to_path_buf(),
            None => std::env::temp_dir(),
        };
        let router = Router::start(RouterKind::Durable, &directory)?;
        let crowd = bare(&router, pairs, patience)?;
        let (crowd, ()) = with(crowd, move |crowd| crowd.connect(pairs as usize * 2)).await?;
        Ok(Self { router, crowd: Some(crowd) })
    }

    pub(crate) async fn round(&mut self, which: Loop, warm_up: u32, measured: u32) -> Result<Round, String> {
        let crowd = self.crowd.take().ok_or("an earlier round failed")?;
        let play = move |crowd: &mut Crowd<Speech>| {
            crowd.play(which, crate::fast::seconds(warm_up), crate::fast::seconds(measured))
        };
        let pid = self.router.pid();
        let (crowd, round) =
            with(crowd, play).await.map_err(|why| format!("the bare durable router (process {pid}): {why}"))?;
        self.crowd = Some(crowd);
        Ok(round)
    }
}

/// Rounds of one kind, and what they say together.
#[derive(Debug, Default)]
pub(crate) struct Rounds(Vec<Round>);

impl Rounds {
    pub(crate) fn push(&mut self, round: Round) {
        self.0.push(round);
    }

    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        median(self.0.iter().map(Round::rate).collect())
    }

    /// CPU of the server a message, µs; 0 if unknown.
    pub(crate) fn server_us(&self) -> f64 {
        median(self.0.iter().filter_map(Round::server_us).collect())
    }

    /// CPU of server and generator a message, µs. Where both cores are all theirs and busy, the rate follows from it.
    pub(crate) fn both_us(&self) -> f64 {
        median(self.0.iter().filter_map(|round| Some(round.server_us()? + round.generator_us())).collect())
    }

    /// Median of the rounds' quantiles, ms.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        median(self.0.iter().map(|round| round.quantile_ms(quantile)).collect())
    }

    /// All rounds as one; the rate is then their mean.
    fn together(&self) -> Option<Round> {
        let (first, others) = self.0.split_first()?;
        let mut all = first.clone();
        let count = self.0.len() as f64;
        for round in others {
            all.messages += round.messages;
            all.seconds += round.seconds;
            // Fails only on other bounds, and all have the same.
            let _: Result<(), _> = Histogram::add(&mut all.latency, &round.latency);
        }
        all.waited = self.0.iter().map(|it| it.waited).sum::<f64>() / count;
        all.shares.generator = self.0.iter().map(|it| it.shares.generator).sum::<f64>() / count;
        let server: Vec<f64> = self.0.iter().filter_map(|it| it.shares.server).collect();
        all.shares.server = (!server.is_empty()).then(|| server.iter().sum::<f64>() / server.len() as f64);
        Some(all)
    }

    pub(crate) fn tell(&self, report: &mut Report, prefix: &str, label: &str) {
        for (number, round) in (1..).zip(&self.0) {
            report.note(&format!("{prefix}round_{number}_messages_per_second"), round.rate().round());
        }
        let rates: Vec<String> =
            self.0.iter().map(|round| crate::report::grouped(round.rate().round() as u64)).collect();
        if let Some(all) = self.together() {
            report.round(prefix, label, &all);
            report.text(&format!("{prefix}rounds"), "its rounds", format!("{} messages/s", rates.join(", ")));
        }
    }
}

/// Rounds of both, taking turns; Bellhop begins.
pub(crate) async fn take_turns(
    hall: &mut Hall,
    bare: &mut Bare,
    which: Loop,
    rounds: u32,
    (warm_up, measured): (u32, u32),
) -> Result<(Rounds, Rounds), String> {
    let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
    for _ in 0..rounds {
        ours.push(hall.round(which, warm_up, measured).await?);
        theirs.push(bare.round(which, warm_up, measured).await?);
    }
    Ok((ours, theirs))
}

/// Of an even number the mean of the middle two; of none 0.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        length if length.is_multiple_of(2) => (values[length / 2 - 1] + values[length / 2]) / 2.0,
        length => values[length / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn one_bad_round_does_not_move_the_median() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 900.0, 1.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 900.0]), 3.0);
    }
}
