//! The model fails as it was told, the same way from the same seed, and watches its caller.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod words;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellhop_engine::domain::{PersonId, Seq};
use bellhop_engine::ports::{Append, Expect, Range, Record, RecordKey, Store, StoreError};
use bellhop_storage::{Fate, Faults, Model};
use words::{Outcome, begin_append, key, message};

async fn append(model: &Model, one: u128, seq: Seq) -> Outcome {
    begin_append(model, key(one), vec![message(seq, model.epoch(), "word")]).await.unwrap()
}

async fn head(model: &Model, one: u128) -> Seq {
    let loaded = model.load(key(one)).await.unwrap();
    loaded.map_or(0, |loaded| loaded.tail.last().map_or(0, |event| event.seq))
}

#[tokio::test]
async fn each_fate_is_what_it_says() {
    let model = Model::new(1);
    model.script([Fate::Done, Fate::Refused, Fate::UnknownWritten, Fate::UnknownLost]);
    assert_eq!((append(&model, 1, 1).await, head(&model, 1).await), (Ok(()), 1));
    assert!(matches!(append(&model, 1, 2).await, Err(StoreError::Unavailable(_))));
    assert_eq!(head(&model, 1).await, 1);
    assert!(matches!(append(&model, 1, 2).await, Err(StoreError::Unknown(_))));
    assert_eq!(head(&model, 1).await, 2);
    assert!(matches!(append(&model, 1, 3).await, Err(StoreError::Unknown(_))));
    assert_eq!(head(&model, 1).await, 2);
    assert_eq!(append(&model, 1, 3).await, Ok(()));
    assert_eq!(model.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_late_append_is_settled_by_the_next_load() {
    let mut landed = [0; 2];
    for seed in 0..200 {
        let model = Model::new(seed);
        model.script([Fate::Done, Fate::UnknownLate]);
        append(&model, 1, 1).await.unwrap();
        assert!(matches!(append(&model, 1, 2).await, Err(StoreError::Unknown(_))));
        let settled = head(&model, 1).await;
        landed[settled as usize - 1] += 1;
        for _ in 0..20 {
            let events = model.events(key(1), Range::After(0), 10).await.unwrap();
            assert_eq!((events.len() as Seq, head(&model, 1).await), (settled, settled), "seed {seed}");
        }
    }
    assert!(landed.iter().all(|count| *count > 50), "both ways: {landed:?}");
}

/// What a run of appends, reads and record writes met with.
async fn run(seed: u64) -> Vec<String> {
    let model = Model::new(seed);
    model.faults(Faults {
        append_refused: 100,
        append_unknown: 200,
        write_refused: 100,
        write_unknown: 100,
        read_refused: 100,
        delay: Duration::ZERO,
        pause: Duration::ZERO,
    });
    let mut met = Vec::new();
    for round in 0..200 {
        let one = round % 5;
        let Ok(loaded) = model.load(key(one)).await else {
            met.push("load refused".to_owned());
            continue;
        };
        let seq = loaded.map_or(0, |loaded| loaded.tail.len() as Seq) + 1;
        met.push(format!("{one} {seq} {:?}", append(&model, one, seq).await));
        let email = RecordKey::Email(format!("{round}"));
        met.push(format!("{:?}", model.put_record(email, Record::Email(PersonId(round)), Expect::Absent).await));
    }
    assert_eq!(model.violations(), Vec::<String>::new());
    met
}

#[tokio::test]
async fn the_same_seed_fails_the_same_way() {
    let (first, again, other) = (run(7).await, run(7).await, run(8).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    for fault in ["load refused", "Unavailable", "Unknown"] {
        assert!(first.iter().any(|met| met.contains(fault)), "{fault} never came");
    }
}

#[tokio::test]
async fn held_completions_come_when_released_in_any_order() {
    let model = Model::new(3);
    model.hold();
    let order = Arc::new(Mutex::new(Vec::new()));
    for one in 0..20 {
        let order = Arc::clone(&order);
        let events = vec![message(1, model.epoch(), "word")];
        let done = Box::new(move |outcome: Outcome| order.lock().unwrap().push((one, outcome)));
        model.append(Append { key: key(one), events, mark_dirty: true }, done);
    }
    assert_eq!(model.held(), (0..20).map(key).collect::<Vec<_>>());
    assert!(order.lock().unwrap().is_empty());
    assert_eq!(head(&model, 4).await, 0, "not durable before it completes");
    assert!(model.release(key(4)) && !model.release(key(4)));
    assert_eq!(head(&model, 4).await, 1);
    model.flow();
    let order = order.lock().unwrap().clone();
    assert_eq!(order.len(), 20);
    assert!(order.iter().all(|(_, outcome)| outcome.is_ok()) && !order.is_sorted_by_key(|(one, _)| *one));
    assert_eq!(append(&model, 30, 1).await, Ok(()), "and nothing is held any more");
}

#[tokio::test]
async fn delayed_appends_overtake_each_other() {
    let model = Model::new(5);
    model.faults(Faults { delay: Duration::from_millis(20), ..Faults::NONE });
    let order = Arc::new(Mutex::new(Vec::new()));
    let waiting: Vec<_> = (0..20)
        .map(|one| {
            let (model, order) = (model.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                append(&model, one, 1).await.unwrap();
                order.lock().unwrap().push(one);
            })
        })
        .collect();
    for one in waiting {
        one.await.unwrap();
    }
    assert!(!order.lock().unwrap().is_sorted());
}

#[tokio::test]
async fn a_crash_keeps_what_was_acknowledged_and_fences_the_old_handle() {
    let mut survived = 0;
    for seed in 0..100 {
        let model = Model::new(seed);
        append(&model, 1, 1).await.unwrap();
        model.hold();
        let in_flight = begin_append(&model, key(1), vec![message(2, model.epoch(), "word")]);
        let again = model.reopen();
        assert!(in_flight.await.is_err(), "a dead process hears nothing");
        assert_eq!((again.epoch() > model.epoch(), again.secret()), (true, model.secret()));
        assert_eq!(append(&model, 1, 2).await, Err(StoreError::Fenced));
        assert!(matches!(model.load(key(1)).await, Err(StoreError::Fenced)) && !model.healthy());
        let found = head(&again, 1).await;
        assert!((1..=2).contains(&found));
        survived += found - 1;
        assert_eq!(head(&again, 1).await, found);
    }
    assert!((20..80).contains(&survived), "in flight at the crash: {survived} of 100 survived");
}

#[tokio::test]
async fn a_caller_that_breaks_the_contract_is_told_of() {
    type Breach = fn(&Model);
    let breaches: [(&str, Breach); 6] = [
        ("two appends in flight", |model| {
            model.hold();
            drop(begin_append(model, key(1), vec![message(2, model.epoch(), "b")]));
            drop(begin_append(model, key(1), vec![message(3, model.epoch(), "c")]));
        }),
        ("over a hole", |model| drop(begin_append(model, key(1), vec![message(3, model.epoch(), "c")]))),
        ("not gapless", |model| {
            let events = [2, 4].map(|seq| message(seq, model.epoch(), "b"));
            drop(begin_append(model, key(1), events.to_vec()));
        }),
        ("two contents", |model| drop(begin_append(model, key(1), vec![message(1, model.epoch(), "other")]))),
        ("under epoch", |model| {
            let epoch = bellhop_engine::domain::Epoch(9);
            drop(begin_append(model, key(1), vec![message(2, epoch, "b")]));
        }),
        ("without a load", |model| {
            model.script([Fate::UnknownLost]);
            drop(begin_append(model, key(1), vec![message(2, model.epoch(), "b")]));
            drop(begin_append(model, key(1), vec![message(2, model.epoch(), "b")]));
        }),
    ];
    for (breach, commit) in breaches {
        let model = Model::new(1);
        append(&model, 1, 1).await.unwrap();
        commit(&model);
        let violations = model.violations();
        assert!(violations.iter().any(|violation| violation.contains(breach)), "{breach}: {violations:?}");
    }
}
