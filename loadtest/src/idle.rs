//! `idle`: visitors who are connected and say nothing but their heartbeats; what each costs the server in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bellhop_protocol::{Hello, Id, Refused, Welcome};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc::unbounded_channel},
    time::sleep,
};

use crate::{
    args::Idle,
    client::{Ended, IDLE, run},
    house::House,
    link::{Link, Role},
    machine::{self, Meter},
    report::Report,
    run::{LOOK, check_files, progress},
    stage::Stage,
    visitor,
    wire::EventHead,
};

/// Connections that are being made at the same time.
const AT_ONCE: usize = 100;
/// For the server to come to rest before its memory is looked at.
const REST: Duration = Duration::from_secs(2);

/// A visitor with a token of its own that only stays.
struct Idler {
    workspace: Id,
    token: Option<String>,
    stage: Arc<Stage>,
    present: Arc<AtomicU64>,
    /// Given back at the first welcome, so that the next may come.
    arriving: Option<OwnedSemaphorePermit>,
}

impl Role for Idler {
    type Order = ();

    async fn hello(&mut self) -> Result<Hello, String> {
        Ok(visitor::hello(self.workspace, self.token.as_ref()))
    }

    fn welcome(&mut self, _: &mut Link, welcome: &Welcome) {
        if welcome.token.is_some() {
            self.token.clone_from(&welcome.token);
        }
        if self.arriving.take().is_some() {
            if self.token.is_none() {
                self.stage.trouble("a new visitor was welcomed without a token".into());
            }
            self.present.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn order(&mut self, _: &mut Link, (): ()) {}

    fn event(&mut self, _: &mut Link, _: Id, _: &EventHead) {}

    fn acked(&mut self, _: &mut Link, _: Id, _: Option<Id>) {}

    fn refused(&mut self, _: &mut Link, refusal: &Refused) {
        self.stage.trouble(format!("an idle visitor was refused: {}", refusal.message));
    }
}

pub(crate) async fn idle(options: &Idle) -> Result<bool, String> {
    check_files(options.sessions.into())?;
    let house = House::open(&options.target).await?;
    let pid = house.server.pid().ok_or(
        "the server's process cannot be seen from here: its memory is read from /proc, so run this on its machine and \
         as its user, or let --spawn start it",
    )?;
    let resident = || machine::resident(pid).ok_or_else(|| format!("the server's process {pid} is gone"));
    let stage = Stage::new()?;
    sleep(REST).await;
    let before = resident()?;

    let begin = Instant::now();
    let present = Arc::new(AtomicU64::new(0));
    let doors = Arc::new(Semaphore::new(AT_ONCE));
    let bar = progress(options.sessions.into(), "sessions");
    // Whose sender is dropped leaves.
    let mut guests = Vec::with_capacity(options.sessions as usize);
    let mut progress_at = (0, Instant::now());
    let patience = Duration::from_secs(options.target.patience.into());
    while present.load(Ordering::Relaxed) < u64::from(options.sessions) {
        let next = guests.len() as u32;
        if next < options.sessions
            && let Ok(Ok(permit)) = tokio::time::timeout(LOOK, Arc::clone(&doors).acquire_owned()).await
        {
            // tidy(every queue is bounded): orders come from our own roles, at most a few for each conversation they play
            let (sender, receiver) = unbounded_channel();
            let mut idler = Idler {
                workspace: house.workspace,
                token: None,
                stage: Arc::clone(&stage),
                present: Arc::clone(&present),
                arriving: Some(permit),
            };
            let (place, stage) = (house.place.clone(), Arc::clone(&stage));
            tokio::spawn(async move {
                if let (Ended::Stopped(why), _) = run(&mut idler, receiver, &place, next, IDLE).await {
                    stage.trouble(why);
                }
            });
            guests.push(sender);
        } else {
            sleep(LOOK / 10).await;
        }
        let here = present.load(Ordering::Relaxed);
        bar.set_position(here);
        house.server.alive()?;
        if here != progress_at.0 {
            progress_at = (here, Instant::now());
        } else if progress_at.1.elapsed() > patience || stage.errors() > 0 {
            let first = stage.troubles().into_iter().next().unwrap_or_else(|| "the server takes no more".into());
            return Err(format!("{here} of {} sessions came, then no more: {first}", options.sessions));
        }
    }
    bar.finish_and_clear();
    let connecting = begin.elapsed().as_secs_f64();
    sleep(REST).await;
    let after = resident()?;

    let meter = Meter::start(Some(pid));
    let bar = progress(options.seconds.into(), "seconds");
    for _ in 0..options.seconds {
        sleep(Duration::from_secs(1)).await;
        house.server.alive()?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let shares = meter.read();
    let at_the_end = resident()?;
    let losses = house.place.losses.load(Ordering::Relaxed);

    let each = |now: u64| now.saturating_sub(before) as f64 / f64::from(options.sessions);
    let mut report = Report::new("idle", house.server.file_system());
    report.count("sessions", "sessions", options.sessions.into());
    report.figure("connect_seconds", "all connected in", connecting, "s");
    report.count("rss_before", "server's memory before, B", before);
    report.count("rss_after", "with all of them, B", after);
    report.figure("bytes_per_session", "a session", each(after), "B");
    report.figure("seconds", "stayed", options.seconds.into(), "s");
    report.count("rss_end", "server's memory then, B", at_the_end);
    report.figure("bytes_per_session_end", "a session then", each(at_the_end), "B");
    report.figure("growth_per_session", "which is more by", each(at_the_end) - each(after), "B");
    report.cpu(shares, options.target.threads, 0, options.seconds.into());
    report.count("reconnects", "connections lost", losses);
    drop(guests);
    crate::finish(report, &stage, &house, &options.target).await.map(|good| good && losses == 0)
}
