//! Waiting for something to be done, as long as it goes on; a bystander, who only wants to be served meanwhile; and the
//! end, when everyone leaves and the logs are read.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bellhop_protocol::{Id, Seq};
use indicatif::ProgressBar;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    clerk::Desk,
    client::VISITOR,
    guest::{Guest, GuestOrder, Seat, Temper, seat},
    house::House,
    ledger::{Diary, Judged, Outcome, read_back},
    report::Report,
    run::progress,
    scene::{Scene, Tally},
    stage::lock,
};

/// Between looks.
const LOOK: Duration = Duration::from_millis(10);
/// Between two messages of a bystander: busier than any person, and no load.
const PACE: Duration = Duration::from_millis(20);
/// For all to be told what others said, and again for all sessions to leave, everything being answered; who has not
/// left then is left alone.
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

/// What guests have not been given yet of what is known to be in their logs: the highest message of an agent in each
/// conversation. The agent's acknowledgement is no sign that it is there: it comes over another connection.
struct Untold {
    guests: Vec<Owed>,
}

/// What one guest is still to be given: the diary that it goes into, and what.
type Owed = (Arc<Mutex<Diary>>, Vec<(Id, Seq)>);

impl Untold {
    fn new(guests: &[Arc<Mutex<Diary>>], staff: &[Arc<Mutex<Diary>>]) -> Self {
        let mut highest: HashMap<Id, Seq> = HashMap::new();
        for diary in staff {
            for said in lock(diary).said.values() {
                if let (Some(conversation), Outcome::Acknowledged(seq)) = (said.conversation, said.outcome) {
                    let highest = highest.entry(conversation).or_default();
                    *highest = seq.max(*highest);
                }
            }
        }
        let guests = guests.iter().map(|diary| {
            let own: HashSet<Id> = lock(diary).said.values().filter_map(|said| said.conversation).collect();
            let wanted = own.into_iter().filter_map(|id| Some((id, *highest.get(&id)?))).collect();
            (Arc::clone(diary), wanted)
        });
        Self { guests: guests.collect() }
    }

    /// How many guests still wait for something.
    fn left(&mut self) -> usize {
        self.guests.retain(|(diary, wanted)| {
            let diary = lock(diary);
            let given = |id: &Id| diary.heard.get(id).and_then(|seqs| seqs.last()).copied().unwrap_or_default();
            wanted.iter().any(|(id, seq)| given(id) < *seq)
        });
        self.guests.len()
    }
}

/// Everyone leaves, and at most so many conversations are read back and judged. With it the gaps that they saw.
pub(crate) async fn leave(house: &House, seats: Vec<Seat>, desks: Vec<Desk>, most: usize) -> (u64, Judged) {
    let diaries = |seats: &[Seat]| seats.iter().map(|seat| Arc::clone(&seat.diary)).collect::<Vec<_>>();
    let staff_diaries: Vec<_> = desks.iter().map(|desk| Arc::clone(&desk.diary)).collect();
    let mut untold = Untold::new(&diaries(&seats), &staff_diaries);
    let begin = Instant::now();
    // What is missing after that is the judge's to name.
    while untold.left() > 0 && begin.elapsed() < LEAVING {
        sleep(LOOK).await;
    }
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

    /// Its messages that have no answer yet. It speaks at its own pace, so that they pile up while nobody answers.
    pub(crate) fn unanswered(&self) -> u64 {
        lock(&self.seat.diary).unanswered()
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bellhop_protocol::Id;

    use super::Untold;
    use crate::{
        ledger::{Diary, Outcome, Said},
        stage::lock,
    };

    #[test]
    fn nobody_leaves_before_they_were_given_what_an_agent_was_acknowledged_for() {
        let diary = |seq| {
            let said = Said { conversation: Some(Id(1)), key: 1, bytes: 24, outcome: Outcome::Acknowledged(seq) };
            Arc::new(Mutex::new(Diary { said: [(Id(9), said)].into(), ..Diary::default() }))
        };
        let (guest, clerk) = (diary(2), diary(7));
        let mut untold = Untold::new(&[Arc::clone(&guest)], &[clerk]);
        assert_eq!(untold.left(), 1, "it was given nothing");
        lock(&guest).heard.insert(Id(1), vec![4, 5]);
        assert_eq!(untold.left(), 1, "seq 7 is on its way");
        lock(&guest).heard.insert(Id(1), vec![4, 5, 7]);
        assert_eq!(untold.left(), 0);
        assert_eq!(Untold::new(&[guest], &[]).left(), 0, "nobody wrote to it");
    }
}
