//! Whether what is stored is whole, and projections made anew from the logs: `bellhop store verify` and `rebuild`.
//!
//! The log is the truth: it must be gapless, ordered and readable. Everything else (rows, snapshots, lists) must say what
//! the log says, or lie behind it under a `dirty` mark, which the next start works off. Read marks are no part of the
//! log, but none may lie beyond its end.
//!
//! Both go over the whole store in pages: memory holds some conversations' pages of events, a few numbers a workspace,
//! and the `dirty` marks. Whoever runs them has the store to itself: nothing changes meanwhile.

mod conversation;
mod lists;
mod log;
mod rebuild;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use bellhop_engine::domain::{ConversationId, ConversationKey, WorkspaceId};
use bellhop_engine::ports::{Answer, Record, RecordList, Store, StoreError};
use futures_util::StreamExt as _;

pub use rebuild::{Rebuilt, rebuild};

use self::conversation::Checked;
use self::lists::Tally;

/// Conversations asked for at a time.
const PAGE: usize = 500;

/// Conversations looked at side by side: enough that a database across a network is kept busy, few enough that their
/// pages of events ([`log::EVENTS`] of at most 64 KiB each) stay under 100 MiB.
const AT_ONCE: usize = 16;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    pub workspace: WorkspaceId,
    /// Absent for what is wrong with a workspace's lists and no single conversation.
    pub conversation: Option<ConversationId>,
    /// What is wrong, as the end of a sentence about it. No word of a visitor stands in it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.conversation {
            Some(conversation) => {
                write!(f, "conversation {conversation} of workspace {}: {}", self.workspace, self.what)
            }
            None => write!(f, "workspace {}: {}", self.workspace, self.what),
        }
    }
}

/// What is told while it goes on.
#[derive(Debug)]
pub enum News<'a> {
    /// Something is broken, or could not be mended.
    Found(&'a Finding),
    /// So many conversations are done; told after each page.
    Done(u64),
}

/// Who is told.
pub type Tell<'a> = &'a mut (dyn FnMut(News<'_>) + Send);

/// What a look at the whole store came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    pub conversations: u64,
    pub events: u64,
    /// Rows that dead owners left behind and no reader sees: harmless.
    pub leftovers: u64,
    /// Conversations whose projections lie behind their logs, and are marked so: the next start makes them good.
    pub behind: u64,
    /// Findings, all of which were told.
    pub findings: u64,
}

/// Tells and counts.
struct Report<'a> {
    tell: Tell<'a>,
    findings: u64,
}

impl Report<'_> {
    fn found(&mut self, key: ConversationKey, what: String) {
        self.finding(&Finding { workspace: key.workspace, conversation: Some(key.conversation), what });
    }

    fn finding(&mut self, finding: &Finding) {
        self.findings += 1;
        (self.tell)(News::Found(finding));
    }
}

/// Looks at every conversation, then at every list.
///
/// # Errors
/// When the store cannot be asked, even after some tries. What is damaged is no error, it is told.
pub async fn verify(store: &dyn Store, tell: Tell<'_>) -> Result<Verdict, StoreError> {
    let mut report = Report { tell, findings: 0 };
    let mut verdict = Verdict::default();
    let dirty: HashSet<ConversationKey> = again(|| store.dirty()).await?.into_iter().map(|(_, key)| key).collect();
    let mut tallies: HashMap<WorkspaceId, Tally> =
        workspaces(store).await?.into_iter().map(|workspace| (workspace, Tally::default())).collect();
    let mut after = None;
    loop {
        let page = again(|| store.conversations(after.clone(), PAGE)).await?;
        let checks = page.keys.into_iter().map(|key| conversation::check(store, key, dirty.contains(&key)));
        let mut checks = futures_util::stream::iter(checks).buffer_unordered(AT_ONCE);
        while let Some(checked) = checks.next().await {
            let Checked { key, events, leftovers, behind, row, visitors, faults } = checked?;
            verdict.conversations += 1;
            verdict.events += events;
            verdict.leftovers += leftovers;
            verdict.behind += u64::from(behind);
            tallies.entry(key.workspace).or_default().count(key, row, visitors);
            faults.into_iter().for_each(|what| report.found(key, what));
        }
        (report.tell)(News::Done(verdict.conversations));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    for (workspace, tally) in tallies {
        lists::check(store, workspace, &tally, &mut report).await?;
    }
    verdict.findings = report.findings;
    Ok(verdict)
}

/// Every workspace that has a record. (One without may still have conversations: they name it.)
async fn workspaces(store: &dyn Store) -> Result<Vec<WorkspaceId>, StoreError> {
    let mut all: Vec<WorkspaceId> = Vec::new();
    loop {
        let after = all.last().map(|it| it.0);
        let page = again(|| store.records(RecordList::Workspaces, after, PAGE)).await?;
        let full = page.len() == PAGE;
        all.extend(page.into_iter().filter_map(|(record, _)| match record {
            Record::Workspace(workspace) => Some(workspace.id),
            _ => None,
        }));
        if !full {
            return Ok(all);
        }
    }
}

/// Tries of a question that the store could not answer, and the wait after the first; it doubles. Six seconds in all: a
/// look that takes hours shall not end because a node of the database restarts, and one that is gone shall end it.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Asks until there is an answer, or it is clear that there will be none soon.
async fn again<'a, T>(ask: impl Fn() -> Answer<'a, T>) -> Result<T, StoreError> {
    let mut tries = 0;
    loop {
        match ask().await {
            Err(StoreError::Unavailable(_) | StoreError::Unknown(_)) if tries < TRIES => {
                tokio::time::sleep(FIRST_WAIT * 2u32.pow(tries)).await;
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// The same, where damage is what is looked for: its sentence instead of an error.
async fn ask<'a, T>(ask: impl Fn() -> Answer<'a, T>) -> Result<Result<T, String>, StoreError> {
    match again(ask).await {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::Damaged(what)) => Ok(Err(what)),
        Err(other) => Err(other),
    }
}
