//! The wire: reading what a client says, writing what it is told.

use std::hint::black_box;

use bellhop_benches::{WORDS, event_frame};
use bellhop_protocol::{ClientFrame, Id, Send, decode_client, decode_server};
use criterion::{Criterion, Throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames");
    let send = ClientFrame::Send(Send {
        id: Id(u128::MAX / 3),
        conversation: Id(u128::MAX / 5),
        seen: 41,
        text: WORDS.to_owned(),
    });
    let text = serde_json::to_string(&send).expect("frames are plain data");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("decode_send", |bench| bench.iter(|| decode_client(black_box(&text))));

    let event = event_frame();
    let text = serde_json::to_string(&event).expect("frames are plain data");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("encode_event", |bench| bench.iter(|| serde_json::to_string(black_box(&event))));
    group.bench_function("decode_event", |bench| bench.iter(|| decode_server(black_box(&text))));
    group.finish();
}
