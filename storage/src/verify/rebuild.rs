//! Projections made anew from the logs.

use std::collections::HashSet;

use bellhop_engine::domain::{ConversationKey, Seq, WorkspaceId};
use bellhop_engine::ports::{Projection, Reader, Store, StoreError};
use futures_util::StreamExt as _;

use super::conversation::furthest;
use super::{AT_ONCE, News, PAGE, Report, Tell, again, ask, log, workspaces};

/// What a rebuild came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Conversations whose projections were made anew.
    pub conversations: u64,
    /// Conversations whose log is broken: theirs were left as they are, and each was told.
    pub left: u64,
    /// Entries of lists and rows that nothing bore out; they are gone.
    pub pruned: u64,
}

/// Makes every conversation's row, snapshot and lists anew from its log, then takes away what nothing bears out. May be
/// repeated, and cut short: each step only makes things better.
///
/// # Errors
/// When the store cannot be asked, even after some tries.
pub async fn rebuild(store: &dyn Store, tell: Tell<'_>) -> Result<Rebuilt, StoreError> {
    let mut report = Report { tell, findings: 0 };
    let mut rebuilt = Rebuilt::default();
    let mut touched: HashSet<WorkspaceId> = workspaces(store).await?.into_iter().collect();
    let mut after = None;
    loop {
        let page = again(|| store.conversations(after.clone(), PAGE)).await?;
        touched.extend(page.keys.iter().map(|key| key.workspace));
        let all = page.keys.into_iter().map(|key| async move { (key, conversation(store, key).await) });
        let mut all = futures_util::stream::iter(all).buffer_unordered(AT_ONCE);
        while let Some((key, outcome)) = all.next().await {
            let Restored { done, notes } = outcome?;
            *(if done { &mut rebuilt.conversations } else { &mut rebuilt.left }) += 1;
            notes.into_iter().for_each(|note| report.found(key, note));
        }
        (report.tell)(News::Done(rebuilt.conversations + rebuilt.left));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    for workspace in touched {
        rebuilt.pruned += again(|| store.prune(workspace)).await?;
    }
    Ok(rebuilt)
}

struct Restored {
    done: bool,
    notes: Vec<String>,
}

async fn conversation(store: &dyn Store, key: ConversationKey) -> Result<Restored, StoreError> {
    let mut notes = Vec::new();
    match ask(|| store.audit(key)).await? {
        Ok(audit) => {
            if let Some(seq) = audit.beyond_hole {
                notes.push(format!("seq {seq} lies above a hole: its projections are left as they are"));
            }
        }
        Err(what) => notes.push(format!("its rows cannot be looked at: {what}")),
    }
    let log = log::read(store, key, |_| {}).await?;
    notes.extend(log.faults);
    let Some(state) = log.state.filter(|_| notes.is_empty()) else { return Ok(Restored { done: false, notes }) };
    let mut reads: Vec<(Reader, Seq)> = match ask(|| store.reads(key)).await? {
        Ok(reads) => reads,
        Err(what) => {
            notes.push(format!("how far people have read begins anew: {what}"));
            Vec::new()
        }
    };
    for (_, seq) in &mut reads {
        *seq = state.seq.min(*seq);
    }
    let row = state.row(furthest(&reads, true), furthest(&reads, false));
    let projection = Projection { row, state, reads, clear_dirty: true };
    again(|| store.restore(projection.clone())).await?;
    Ok(Restored { done: true, notes })
}
