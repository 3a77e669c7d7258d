//! `baseline`: what this machine can do at most, by servers that do as little as possible on raw system calls, each in
//! a process of its own, against the generator that measures Bellhop. A figure of Bellhop's stands beside these.

mod durable_router;
mod epoll_router;
mod framing;
mod process;
mod speech;
mod switch;
mod sync_loop;

use std::path::Path;

pub(crate) use process::{Router, serve};
pub(crate) use speech::Speech;

use crate::{
    args::{Baseline, Limit, RouterKind},
    fast::{Crowd, Loop, Round, apart, seconds},
    machine,
    report::Report,
    run::check_files,
    server::temporary_directory,
};

/// Idle connections of the bare epoll router, and how long they rest before its memory is looked at, seconds.
const REST: u32 = 1;

pub(crate) async fn baseline(options: &Baseline) -> Result<bool, String> {
    let most = options.pairs.iter().copied().max().unwrap_or_default();
    check_files(u64::from(most) * 2)?;
    let directory = match &options.dir {
        Some(directory) => directory.clone(),
        None => temporary_directory()?,
    };
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let outcome = measure(options, &directory).await;
    // Fails only where somebody else put something into it.
    drop(std::fs::remove_dir(&directory));
    let report = outcome?;
    report.print();
    if let Some(path) = &options.json {
        report.write(path)?;
    }
    Ok(true)
}

async fn measure(options: &Baseline, directory: &Path) -> Result<Report, String> {
    let mut report = Report::new("baseline", machine::file_system(directory));
    let wanted = |limit| options.only.is_none_or(|only| only == limit);
    for (limit, kind, name) in [
        (Limit::Epoll, RouterKind::Epoll, "bare epoll router"),
        (Limit::Durable, RouterKind::Durable, "bare durable router"),
        (Limit::Websocket, RouterKind::Websocket, "bare WebSocket router"),
    ] {
        for &pairs in options.pairs.iter().filter(|_| wanted(limit)) {
            let round = one(options, kind, pairs, directory).await?;
            report.round(&format!("{kind}_{pairs}_"), &format!("{name}, {pairs} pairs"), &round);
        }
    }
    if wanted(Limit::Idle) {
        idle(options, &mut report).await?;
    }
    if wanted(Limit::Sync) {
        let (file, time) = (directory.join("sync-loop"), seconds(options.seconds));
        let syncs = apart(move || sync_loop::run(&file, time)).await??;
        report.figure("syncs_per_second", "write 128 B and sync", syncs.len() as f64 / time.as_secs_f64(), "syncs/s");
        report.latency("sync_", "a sync", &syncs);
    }
    Ok(report)
}

async fn one(options: &Baseline, kind: RouterKind, pairs: u32, directory: &Path) -> Result<Round, String> {
    let router = Router::start(kind, directory)?;
    let mut crowd = bare(&router, pairs, options.patience)?;
    let (warm_up, time) = (seconds(options.warm_up), seconds(options.seconds));
    apart(move || {
        crowd.connect(pairs as usize * 2)?;
        crowd.play(Loop::Closed, warm_up, time)
    })
    .await?
}

/// A crowd of pairs for a bare router, not connected yet.
pub(crate) fn bare(router: &Router, pairs: u32, patience: u32) -> Result<Crowd<Speech>, String> {
    let speech = Speech::new(router.kind(), pairs as usize);
    Crowd::new(speech, router.address(), Some(router.pid()), pairs as usize, seconds(patience))
}

async fn idle(options: &Baseline, report: &mut Report) -> Result<(), String> {
    check_files(options.idle.into())?;
    let router = Router::start(RouterKind::Epoll, Path::new("."))?;
    let resident = || machine::resident(router.pid()).ok_or("the router is gone");
    let before = resident()?;
    let mut crowd = bare(&router, options.idle.div_ceil(2), options.patience)?;
    let sessions = options.idle as usize;
    // Held until the memory is read: who drops it closes all connections.
    let crowd = apart(move || {
        crowd.connect(sessions)?;
        crowd.rest(seconds(REST)).map(|()| crowd)
    })
    .await??;
    let each = resident()?.saturating_sub(before) as f64 / f64::from(options.idle);
    drop(crowd);
    report.count("idle_sessions", "bare epoll router, idle connections", options.idle.into());
    report.figure("idle_bytes_per_session", "its memory a connection", each, "B");
    Ok(())
}
