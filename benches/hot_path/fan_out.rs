//! One event to many sessions, over real sockets on loopback. `deliver` is how long the caller (a conversation's actor)
//! is held up: encoding once, queueing to each, waking each. `to_the_last_reader` goes on until everyone has it; the
//! readers run in this process and share its cores.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use bellhop_benches::Talk;
use bellhop_benches::hall::{Line, PATIENCE, open};
use bellhop_engine::domain::Audience;
use bellhop_engine::exchange::Answer;
use bellhop_engine::ports::Answers;
use criterion::{BenchmarkId, Criterion, Throughput};
use tokio::runtime::Runtime;

const SESSIONS: [usize; 3] = [1, 10, 100];

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let (got, receipts) = sync_channel(SESSIONS[SESSIONS.len() - 1]);
    let line = Line::default();
    let hub = runtime.block_on(open(&line, SESSIONS[SESSIONS.len() - 1], &got, &receipts));
    let sessions = line.sessions();
    let talk = Talk::new();
    let answer = Answer::Event {
        conversation: talk.context.key.conversation,
        audience: Audience::All,
        event: Arc::new(talk.event()),
    };

    let mut group = criterion.benchmark_group("fan_out");
    for count in SESSIONS {
        let to = &sessions[..count];
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("deliver", count), |bench| {
            bench.iter_custom(|iterations| {
                (0..iterations)
                    .map(|_| {
                        let began = Instant::now();
                        hub.deliver(to, &answer);
                        let took = began.elapsed();
                        wait(&receipts, count);
                        took
                    })
                    .sum()
            });
        });
        group.bench_function(BenchmarkId::new("to_the_last_reader", count), |bench| {
            bench.iter(|| {
                hub.deliver(to, &answer);
                wait(&receipts, count);
            });
        });
    }
    group.finish();
}

fn wait(receipts: &Receiver<()>, count: usize) {
    for _ in 0..count {
        receipts.recv_timeout(PATIENCE).expect("every reader gets the frame");
    }
}
