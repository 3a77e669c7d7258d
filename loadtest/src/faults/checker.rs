//! Decides, from the clients' own records and from what fresh readers read at the end, whether the promises were kept.
//! Pure: it sees an [`Evidence`] and nothing of the run, the server or the disk, and shares no code with the clients
//! beyond the wire contract.
//!
//! Each promise is looked at by itself, so a broken one is named even where another breaks with it.

mod commands;
mod feeds;
mod following;
mod log;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;

use bellhop_protocol::{Id, Seq};

use super::record::Evidence;
use log::Logs;

/// A promise of the design page that such a run can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Promise {
    /// What was acknowledged survives.
    G1,
    /// The same events in the same order for every reader.
    G2,
    /// A command takes effect once, and only if somebody sent it.
    G3,
    /// Who comes back gets all, or a reset.
    G4,
    /// SIGTERM loses nothing.
    G8,
    /// Nothing is told to whom it does not belong.
    G10,
    /// Every command has an answer, and a refusal means that nothing was done.
    G11,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One breach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) promise: Promise,
    pub(crate) conversation: Option<Id>,
    pub(crate) seq: Option<Seq>,
    /// A sentence.
    pub(crate) what: String,
    /// Record and line of what shows it: `visitor-3:118`.
    pub(crate) shown_by: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.promise)?;
        if let Some(conversation) = self.conversation {
            write!(f, ", conversation {conversation}")?;
        }
        if let Some(seq) = self.seq {
            write!(f, ", seq {seq}")?;
        }
        write!(f, ": {}", self.what)?;
        if !self.shown_by.is_empty() {
            write!(f, " [{}]", self.shown_by.join(", "))?;
        }
        Ok(())
    }
}

/// What was looked at: a verdict on nothing is worth nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    pub(crate) conversations: u64,
    /// Events in the final logs.
    pub(crate) events: u64,
    /// Distinct commands that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Acknowledgements of one that had been acknowledged before.
    pub(crate) repeats: u64,
    /// Answers `refused` to commands.
    pub(crate) refusals: u64,
    /// Events as clients heard them, live or on coming back.
    pub(crate) heard: u64,
    /// `open` with a cursor that was answered without a reset.
    pub(crate) resumes: u64,
    /// Of these, those that brought events.
    pub(crate) caught_up: u64,
    pub(crate) resets: u64,
    pub(crate) connections: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    pub(crate) findings: Vec<Finding>,
    pub(crate) looked: Looked,
}

impl Verdict {
    fn find(
        &mut self,
        promise: Promise,
        conversation: impl Into<Option<Id>>,
        seq: impl Into<Option<Seq>>,
        what: impl Into<String>,
        shown_by: Vec<String>,
    ) {
        let (conversation, seq) = (conversation.into(), seq.into());
        self.findings.push(Finding { promise, conversation, seq, what: what.into(), shown_by });
    }

    /// A client was sent away, or heard what breaks the contract, so that it could not come back.
    pub(crate) fn sent_away(&mut self, sentence: String) {
        self.find(Promise::G4, None, None, sentence, Vec::new());
    }

    /// The broken promises, each once.
    pub(crate) fn broken(&self) -> Vec<Promise> {
        let mut broken: Vec<Promise> = self.findings.iter().map(|finding| finding.promise).collect();
        broken.sort_unstable();
        broken.dedup();
        broken
    }
}

/// Looks at everything.
pub(crate) fn check(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let logs = Logs::read(&evidence.last.logs, &mut verdict);
    following::check(&evidence.records, &logs, &mut verdict);
    commands::check(&evidence.records, &logs, &mut verdict);
    feeds::check(&evidence.records, &logs, &mut verdict);
    state::check(&evidence.last, &logs, &mut verdict);
    verdict
}

/// Where a record shows something.
fn place(name: &str, line: usize) -> String {
    // As the file counts: its first line is the record's head.
    format!("{name}:{}", line + 2)
}
