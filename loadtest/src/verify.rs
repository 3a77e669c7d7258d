//! Reads conversations back over the REST API and compares them with what was said.

use bellhop_protocol::Id;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;

use crate::{
    compare::{Words, compare},
    rest::Rest,
};

/// Conversations read at a time: enough to keep two cores busy, far from the server's limits.
const AT_ONCE: usize = 8;

/// A conversation as it was said.
pub(crate) struct Said {
    /// For reports.
    pub(crate) name: String,
    /// Absent if it never began.
    pub(crate) conversation: Option<Id>,
    pub(crate) words: Vec<Words>,
}

/// What differs, one sentence a difference, with the conversation's name.
pub(crate) async fn verify(rest: &Rest, said: impl IntoIterator<Item = Said>, bar: &ProgressBar) -> Vec<String> {
    stream::iter(said)
        .map(|said| async move {
            let differences = one(rest, said).await;
            bar.inc(1);
            differences
        })
        .buffer_unordered(AT_ONCE)
        .concat()
        .await
}

async fn one(rest: &Rest, said: Said) -> Vec<String> {
    let Said { name, conversation, words } = said;
    let Some(conversation) = conversation else {
        return vec![format!("{name}: all its {} turns are lost, it never began", words.len())];
    };
    match rest.events(conversation).await {
        Ok(events) => {
            compare(&words, &events).iter().map(|difference| format!("{name} ({conversation}): {difference}")).collect()
        }
        Err(trouble) => vec![format!("{name} ({conversation}) cannot be read back: {trouble}")],
    }
}
