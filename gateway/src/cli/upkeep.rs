//! `bellhop store`: migrate, verify, rebuild. Each needs the store for itself, and says so when a server has it.

use std::io::Write as _;
use std::time::{Duration, Instant};

use bellhop_engine::ports::StoreError;
use bellhop_storage::Embedded;
use bellhop_storage::verify::{News, rebuild as rebuild_all, verify as verify_all};

use super::no_data;
use crate::config::{Config, StoreKind};
use crate::database::{self, OpenFailure};

/// Takes a line for standard output.
pub(super) type Say<'a> = dyn FnMut(&str) + Send + 'a;

/// How often progress is told on standard error.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// How long a server that was just told to stop may take to let go.
const LET_GO: Duration = Duration::from_secs(2);

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenOrRead {
    #[error("{0}")]
    Open(#[from] OpenFailure),
    #[error("The store cannot be read: {0}.")]
    Read(#[from] StoreError),
    #[error("{0}")]
    NoData(String),
}

/// Makes or upgrades the store; says what there is now.
pub(super) async fn migrate(config: &Config, say: &mut Say<'_>) -> Result<bool, OpenOrRead> {
    match config.store {
        StoreKind::Embedded => {
            let there = Embedded::exists(&config.data.dir);
            // Opening makes, checks and upgrades; there is one format so far.
            database::open(config, LET_GO).await?.close().await?;
            let directory = config.data.dir.display();
            say(&match there {
                true => format!("{directory} holds a store of this version; nothing was to be done."),
                false => format!("An empty store was made in {directory}."),
            });
        }
        StoreKind::Scylla => {
            database::migrate_scylla(&config.scylla).await?;
            say(&format!("Keyspace {} has every table of this version.", config.scylla.keyspace.0));
        }
    }
    Ok(true)
}

/// Progress on standard error, now and then.
struct Progress(Instant);

impl Progress {
    fn tell(&mut self, done: u64) {
        if self.0.elapsed() >= TOLD_EVERY {
            self.0 = Instant::now();
            let _ = writeln!(std::io::stderr(), "{done} conversations so far");
        }
    }
}

/// Looks at everything; whether all is well.
pub(super) async fn verify(config: &Config, say: &mut Say<'_>) -> Result<bool, OpenOrRead> {
    let store = open(config).await?;
    let mut progress = Progress(Instant::now());
    let looked = verify_all(store.as_ref(), &mut |news| match news {
        News::Found(finding) => say(&finding.to_string()),
        News::Done(done) => progress.tell(done),
    })
    .await;
    store.close().await?;
    let verdict = looked?;
    say(&format!(
        "{} conversations, {} events: {}. {} projections are behind and marked so (the next start makes them good), {} \
         rows of dead owners are passed over.",
        verdict.conversations,
        verdict.events,
        match verdict.findings {
            0 => "all is well".to_owned(),
            findings => format!("{findings} findings, named above"),
        },
        verdict.behind,
        verdict.leftovers
    ));
    if verdict.findings > 0 {
        say("`bellhop store rebuild` makes rows, snapshots and lists anew; a broken log needs a backup.");
    }
    Ok(verdict.findings == 0)
}

/// Makes the projections anew; whether every one could be.
pub(super) async fn rebuild(config: &Config, say: &mut Say<'_>) -> Result<bool, OpenOrRead> {
    let store = open(config).await?;
    let mut progress = Progress(Instant::now());
    let done = rebuild_all(store.as_ref(), &mut |news| match news {
        News::Found(finding) => say(&finding.to_string()),
        News::Done(done) => progress.tell(done),
    })
    .await;
    store.close().await?;
    let rebuilt = done?;
    say(&format!(
        "{} conversations made anew, {} left because their logs are broken, {} stray entries taken away.",
        rebuilt.conversations, rebuilt.left, rebuilt.pruned
    ));
    Ok(rebuilt.left == 0)
}

async fn open(config: &Config) -> Result<std::sync::Arc<dyn bellhop_engine::ports::Store>, OpenOrRead> {
    if config.store == StoreKind::Embedded {
        no_data(config).map_err(OpenOrRead::NoData)?;
    }
    Ok(database::open(config, LET_GO).await?)
}
