//! Waiting for something to be done, as long as it goes on; a bystander, who only wants to be served meanwhile; and the
//! end, when everyone leaves and the logs are read.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    clerk::Desk,
    client::VISITOR,
    guest::{Guest, GuestOrder, Seat, Temper, seat},
    house::House,
    ledger::{Judged, read_back},
    report::Report,
    run::progress,
    scene::{Scene, Tally},
    stage::lock,
};

/// Between looks.
const LOOK: Duration = Duration::from_millis(10);
/// Between two messages of a bystander: busier than any person, and no load.
const PACE: Duration = Duration::from_millis(20);
/// For all sessions to leave, everything being answered; who has not left then is left alone.
const LEAVING: Duration = Duration::from_secs(15);
/// Bytes of a bystander's message.
const BYTES: u32 = 128;

/// Waits until nothing is left. An error when nothing has changed for `patience`, when the server is gone, or when a
/// session met with something that should not be.
pub(crate) async fn until_done(
    house: &House,
    scene: &Scene,
    patience: u32,
    what: &str,
    mut left: impl FnMut() -> u64,
) -> Result<(), String> {
    let patience = Duration::from_secs(patience.into());
    let all = left();
    let bar: ProgressBar = progress(all, what);
    let (mut last, mut since) = (all, Instant::now());
    loop {
        let now = left();
        bar.set_position(all.saturating_sub(now));
        if now == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        house.server.alive()?;
        if let Some(trouble) = scene.stage.troubles().into_iter().next() {
            return Err(format!("{what}: {trouble}"));
        }
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > patience {
            return Err(format!("{what}: {now} of {all} are left and nothing moved for {} s", patience.as_secs()));
        }
        sleep(LOOK).await;
    }
}

/// Everyone leaves, and at most so many conversations are read back and judged. With it the gaps that they saw.
pub(crate) async fn leave(house: &House, seats: Vec<Seat>, desks: Vec<Desk>, most: usize) -> (u64, Judged) {
    let (mut sessions, mut guests, mut staff) = (Vec::new(), Vec::new(), Vec::new());
    for Seat { orders, diary, session } in seats {
        drop(orders);
        sessions.push(session);
        guests.push(diary);
    }
    for Desk { orders, diary, session, .. } in desks {
        drop(orders);
        sessions.push(session);
        staff.push(diary);
    }
    let end = tokio::time::Instant::now() + LEAVING;
    let mut gaps = 0;
    for session in sessions {
        if let Ok(Ok(heard)) = tokio::time::timeout_at(end, session).await {
            gaps += heard.gaps;
        }
    }
    let bar = progress(0, "read back");
    let judged = read_back(&house.rest, &guests, &staff, most, &bar).await;
    bar.finish_and_clear();
    (gaps, judged)
}

/// Somebody with a conversation of their own who says something fifty times a second.
pub(crate) struct Bystander {
    pub(crate) seat: Seat,
    tally: Arc<Mutex<Arc<Tally>>>,
    quiet: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Bystander {
    /// `number` is the guest's. Quiet until [`Self::speak`].
    pub(crate) fn new(house: &House, scene: &Arc<Scene>, number: u32) -> Result<Self, String> {
        let temper = Temper { bytes: BYTES, eager: false, patient: true };
        let guest = Guest::new(number, temper, Arc::clone(scene), None);
        let seat = seat(guest, &house.place, VISITOR);
        let tally = Arc::new(Mutex::new(Tally::new()?));
        let quiet = Arc::new(AtomicBool::new(true));
        let (orders, current, silent) = (seat.orders.clone(), Arc::clone(&tally), Arc::clone(&quiet));
        let task = tokio::spawn(async move {
            let mut due = Instant::now();
            loop {
                due += PACE;
                tokio::time::sleep_until(due.into()).await;
                if !silent.load(Ordering::Relaxed) {
                    let now = Arc::clone(&lock(&current));
                    drop(orders.send(GuestOrder::SayAt(due, now)));
                }
            }
        });
        Ok(Self { seat, tally, quiet, task })
    }

    pub(crate) fn speak(&self, on: bool) {
        self.quiet.store(!on, Ordering::Relaxed);
    }

    /// Begins a new stretch of time; returns the tally of the one before.
    pub(crate) fn turn_over(&self) -> Result<Arc<Tally>, String> {
        Ok(std::mem::replace(&mut *lock(&self.tally), Tally::new()?))
    }

    /// Falls silent for good; the session leaves once all of its seats' orders are dropped.
    pub(crate) fn end(self) -> Seat {
        self.task.abort();
        self.seat
    }
}

/// How a bystander fared, under `<key>_p50_ms` and so on.
pub(crate) fn report_bystander(report: &mut Report, key: &str, when: &str, tally: &Tally) {
    report.latency(&format!("bystander_{key}_"), &format!("bystander, {when}"), &tally.accepted());
}
