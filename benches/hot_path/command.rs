//! A visitor's message through the actor, from `submit` to its acknowledgement, durable, with so many in flight. What
//! `append` of the same number costs is the store's share.

use std::cell::RefCell;

use bellhop_benches::room::Room;
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::data::{IN_FLIGHT, keep_in_flight, new_store};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command");
    group.throughput(Throughput::Elements(1));
    for lanes in IN_FLIGHT {
        let (store, path) = new_store(&format!("command-{lanes}"));
        let mut room = Room::new(store, lanes);
        room.begin(lanes, lanes);
        let room = RefCell::new(room);
        group.bench_function(BenchmarkId::new("in_flight", lanes), |bench| {
            bench.iter_custom(|count| {
                keep_in_flight(count, lanes, |lane| room.borrow_mut().say(lane), || room.borrow_mut().finished().0)
            });
        });
        room.into_inner().drain();
        let _ = std::fs::remove_dir_all(path);
    }
    group.finish();
}
