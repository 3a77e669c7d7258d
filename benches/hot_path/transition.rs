//! The pure core: what a command costs before anything is stored or sent.

use std::hint::black_box;

use bellhop_benches::{Talk, follow, send, start};
use bellhop_engine::domain::decide;
use criterion::{BatchSize, Criterion};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transition");
    let talk = Talk::new();
    let new = send(&talk.visitor, 1_000);
    group.bench_function("decide_message", |bench| {
        bench.iter(|| decide(black_box(Some(&talk.state)), black_box(&new), black_box(&talk.context)));
    });
    let repeated = send(&talk.visitor, 39);
    group.bench_function("decide_repeated_message", |bench| {
        bench.iter(|| decide(black_box(Some(&talk.state)), black_box(&repeated), black_box(&talk.context)));
    });
    let first = start(&talk.visitor, 1);
    group.bench_function("decide_start", |bench| {
        bench.iter(|| decide(black_box(None), black_box(&first), black_box(&talk.context)));
    });
    group.bench_function("decide_and_apply_message", |bench| {
        bench.iter_batched_ref(
            || Some(talk.state.clone()),
            |state| follow(state, &new, &talk.context),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
