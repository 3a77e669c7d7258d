//! The commit thread: an append from the call to its durable completion, sync included, with so many in flight.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use bellhop_benches::{WORKSPACE, message, visitor};
use bellhop_engine::domain::{CommandId, ConversationId, ConversationKey};
use bellhop_engine::ports::{Append, Store};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::data::{IN_FLIGHT, keep_in_flight, new_store};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    let author = visitor(1);
    for lanes in IN_FLIGHT {
        let (store, path) = new_store(&format!("append-{lanes}"));
        // One in flight a conversation, as the engine holds it: each lane is a conversation.
        let mut seqs = vec![0; lanes];
        group.bench_function(BenchmarkId::new("in_flight", lanes), |bench| {
            bench.iter_custom(|count| {
                let (done, finished) = sync_channel(lanes);
                let begin = |lane: usize| {
                    seqs[lane] += 1;
                    let event = Arc::new(message(&author, seqs[lane], CommandId(u128::from(seqs[lane]))));
                    let key = ConversationKey { workspace: WORKSPACE, conversation: ConversationId(lane as u128 + 1) };
                    let done = done.clone();
                    store.append(
                        Append { key, events: vec![event], mark_dirty: false },
                        // Never blocks: the channel holds one answer of every lane.
                        Box::new(move |outcome| drop(done.send(outcome.map(|()| lane)))),
                    );
                };
                let next = || finished.recv().expect("every append is answered").expect("the disk takes it");
                keep_in_flight(count, lanes, begin, next)
            });
        });
        drop(store);
        let _ = std::fs::remove_dir_all(path);
    }
    group.finish();
}
