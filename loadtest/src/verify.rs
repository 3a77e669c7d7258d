//! Reads conversations back over the REST API and compares them with what was said.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;

use crate::{compare::compare, rest::Rest, talk::Talk};

/// Conversations read at a time: enough to keep two cores busy, far from the server's limits.
const AT_ONCE: usize = 8;

/// What differs, one sentence a difference, with the conversation's name.
pub(crate) async fn verify(rest: &Rest, talks: &[Arc<Talk>], bar: &ProgressBar) -> Vec<String> {
    stream::iter(talks)
        .map(|talk| async move {
            let differences = one(rest, talk).await;
            bar.inc(1);
            differences
        })
        .buffer_unordered(AT_ONCE)
        .concat()
        .await
}

async fn one(rest: &Rest, talk: &Talk) -> Vec<String> {
    let (conversation, said) = talk.said();
    let name = &talk.name;
    let Some(conversation) = conversation else {
        return vec![format!("{name}: all its {} turns are lost, it never began", said.len())];
    };
    match rest.events(conversation).await {
        Ok(events) => {
            compare(&said, &events).iter().map(|difference| format!("{name} ({conversation}): {difference}")).collect()
        }
        Err(trouble) => vec![format!("{name} ({conversation}) cannot be read back: {trouble}")],
    }
}
