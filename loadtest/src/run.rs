//! What a replay needs: visitors coming and going, progress, and noticing that nothing moves any more.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::{OwnedSemaphorePermit, mpsc::unbounded_channel};

use crate::{
    client::{Ended, VISITOR, run},
    house::{Agents, House},
    link::Heard,
    machine,
    stage::{Stage, lock},
    talk::{Script, Talk},
    visitor::Visitor,
};

/// Between looks at progress.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// Files of this process besides its sessions: REST connections, logs, the runtime.
const OTHER_FILES: u64 = 150;

/// A progress bar on stderr; nothing where that is no terminal.
pub(crate) fn progress(length: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(what.to_string());
    let style = ProgressStyle::with_template("{msg:>14} [{bar:40}] {human_pos} of {human_len}, {per_sec}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Refuses more sessions than this process may have files. The server has a limit of its own, usually the same.
pub(crate) fn check_files(sessions: u64) -> Result<(), String> {
    let limit = machine::file_limit().unwrap_or(1_024);
    let most = limit.saturating_sub(OTHER_FILES);
    if sessions > most {
        return Err(format!(
            "{sessions} sessions need more open files than a process may have here ({limit}), and the server needs as \
             many: ask for at most {most}, or raise the limit (ulimit -n) for both"
        ));
    }
    Ok(())
}

/// Everyone who takes part in a run.
pub(crate) struct Company {
    pub(crate) stage: Arc<Stage>,
    /// All conversations, in the order of their beginning.
    talks: Mutex<Vec<Arc<Talk>>>,
    heard: Mutex<Heard>,
}

impl Company {
    pub(crate) fn new(stage: Arc<Stage>) -> Arc<Self> {
        Arc::new(Self { stage, talks: Mutex::new(Vec::new()), heard: Mutex::new(Heard::default()) })
    }

    /// A visitor comes, plays its part, and goes; `permit` is given back then.
    pub(crate) fn visit(self: &Arc<Self>, house: &House, name: String, script: Script, permit: OwnedSemaphorePermit) {
        // tidy(every queue is bounded): orders come from our own roles, at most a few for each conversation they play
        let (sender, receiver) = unbounded_channel();
        let talk = Talk::new(name, script, Arc::clone(&self.stage), sender);
        let number = {
            let mut talks = lock(&self.talks);
            talks.push(Arc::clone(&talk));
            talks.len() as u32
        };
        let (company, place) = (Arc::clone(self), house.place.clone());
        let mut visitor = Visitor::new(house.workspace, Arc::clone(&talk));
        tokio::spawn(async move {
            let (ended, heard) = run(&mut visitor, receiver, &place, number, VISITOR).await;
            if let Ended::Stopped(why) = ended {
                talk.fail(&why);
            }
            lock(&company.heard).add(heard);
            drop(permit);
        });
    }

    pub(crate) fn talks(&self) -> Vec<Arc<Talk>> {
        lock(&self.talks).clone()
    }

    pub(crate) fn heard(&self) -> Heard {
        *lock(&self.heard)
    }
}

/// Notices an end by itself and a standstill.
pub(crate) struct Watch {
    patience: Duration,
    last: (u64, u64, u64),
    since: Instant,
}

impl Watch {
    pub(crate) fn new(patience: u32) -> Self {
        Self { patience: Duration::from_secs(patience.into()), last: (0, 0, 0), since: Instant::now() }
    }

    /// `pauses`: a standstill may be the script's own (recorded pauses), so only sessions are watched.
    pub(crate) async fn look(
        &mut self,
        house: &House,
        company: &Company,
        agents: &mut Agents,
        pauses: bool,
    ) -> Result<(), String> {
        house.server.alive()?;
        agents.present().await?;
        let stage = &company.stage;
        let now = (stage.turns(), stage.begun(), stage.agents_ready());
        if now != self.last || pauses {
            self.last = now;
            self.since = Instant::now();
        } else if self.since.elapsed() > self.patience {
            return Err(standstill(company, self.patience));
        }
        Ok(())
    }
}

fn standstill(company: &Company, patience: Duration) -> String {
    let waiting: Vec<_> = company.talks().into_iter().filter(|talk| !talk.is_over()).collect();
    let mut text = format!("nothing moved for {} s; {} conversations are not over", patience.as_secs(), waiting.len());
    for talk in waiting.iter().take(5) {
        text.push_str("\n  ");
        text.push_str(&talk.describe());
    }
    for trouble in company.stage.troubles().iter().take(5) {
        text.push_str("\n  error: ");
        text.push_str(trouble);
    }
    text
}
