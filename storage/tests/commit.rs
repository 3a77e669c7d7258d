//! How the embedded store's one writer behaves: it groups under load, holds nothing back, and refuses beyond its bound.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod place;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bellhop_engine::ports::{Append, Store, StoreError};
use bellhop_storage::{Embedded, EmbeddedOptions};
use place::Place;
use words::{Outcome, begin_append, key, message};

fn open(name: &str) -> (Place, Embedded) {
    let place = Place::new(name);
    let store = Embedded::open(place.path(), EmbeddedOptions::new()).unwrap();
    (place, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_wait_together_share_a_sync() {
    const TOGETHER: u128 = 1_000;
    let (_place, store) = open("group");
    let epoch = store.epoch();
    let begun = Instant::now();
    for one in 0..50 {
        begin_append(&store, key(one), vec![message(1, epoch, "alone")]).await.unwrap().unwrap();
    }
    let alone = begun.elapsed() / 50;
    let begun = Instant::now();
    let outcomes: Vec<_> =
        (1_000..1_000 + TOGETHER).map(|one| begin_append(&store, key(one), vec![message(1, epoch, "word")])).collect();
    for outcome in outcomes {
        outcome.await.unwrap().unwrap();
    }
    let together = begun.elapsed() / TOGETHER as u32;
    println!("alone {alone:?} each, {TOGETHER} together {together:?} each");
    assert!(together * 3 < alone, "no grouping: {alone:?} each alone, {together:?} together");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_bound_the_store_refuses_at_once_and_loses_nothing_else() {
    // 64 KiB each: the bound on waiting bytes (64 MiB) binds long before all of them are taken.
    const OFFERED: u128 = 4_000;
    let (_place, store) = open("bound");
    let epoch = store.epoch();
    let text = "x".repeat(64 * 1024);
    let event = message(1, epoch, &text);
    let outcomes: Vec<_> = (0..OFFERED).map(|one| begin_append(&store, key(one), vec![Arc::clone(&event)])).collect();
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for (one, outcome) in outcomes.into_iter().enumerate() {
        match outcome.await.unwrap() {
            Ok(()) => taken.push(one as u128),
            Err(StoreError::Unavailable(_)) => refused.push(one as u128),
            Err(error) => panic!("{error}"),
        }
    }
    println!("{} taken, {} refused", taken.len(), refused.len());
    assert!(taken.len() > 900 && !refused.is_empty());
    assert!(store.healthy(), "a full queue is no fault of the disk");
    for one in taken {
        assert_eq!(store.load(key(one)).await.unwrap().unwrap().tail, [Arc::clone(&event)]);
    }
    for one in refused {
        assert!(store.load(key(one)).await.unwrap().is_none(), "refused means: nothing was written");
    }
    begin_append(&store, key(OFFERED), vec![event]).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_panics_harms_nobody_else() {
    let (_place, store) = open("panic");
    let epoch = store.epoch();
    let called = Arc::new(AtomicUsize::new(0));
    for one in 0..100 {
        let called = Arc::clone(&called);
        let done = Box::new(move |outcome: Outcome| {
            called.fetch_add(1, Ordering::Relaxed);
            assert!(outcome.is_ok() && one % 10 != 0, "this callback panics");
        });
        store.append(Append { key: key(one), events: vec![message(1, epoch, "word")], mark_dirty: true }, done);
    }
    begin_append(&store, key(1_000), vec![message(1, epoch, "word")]).await.unwrap().unwrap();
    assert_eq!(called.load(Ordering::Relaxed), 100, "each is called exactly once");
    assert!(store.healthy());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_may_be_dropped_by_a_callback() {
    let (place, store) = open("drop");
    let epoch = store.epoch();
    let store = Arc::new(store);
    let (dropped, waiting) = tokio::sync::oneshot::channel();
    let held = Arc::clone(&store);
    let done = Box::new(move |outcome: Outcome| {
        drop(held);
        drop(dropped.send(outcome));
    });
    store.append(Append { key: key(1), events: vec![message(1, epoch, "word")], mark_dirty: true }, done);
    drop(store);
    waiting.await.unwrap().unwrap();
    let again = Embedded::open(
        place.path(),
        EmbeddedOptions { lock_wait: std::time::Duration::from_secs(5), ..EmbeddedOptions::new() },
    );
    assert!(again.unwrap().load(key(1)).await.unwrap().is_some());
}
