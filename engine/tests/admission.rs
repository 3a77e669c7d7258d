//! How many commands a second are taken, over all conversations.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::sync::atomic::Ordering;

use bellhop_engine::domain::{CommandId, Refusal};
use bellhop_engine::exchange::Request;
use bellhop_storage::Model;
use support::{World, options};

#[tokio::test(start_paused = true)]
async fn beyond_the_commands_a_second_the_engine_refuses_at_once_and_reading_goes_on() {
    let bounds = bellhop_engine::Options { commands_per_second: 40, ..options() };
    let world = World::with(Model::new(3), 0, bounds).await;
    let (one, other) = (world.visitor(1), world.visitor(2));
    let conversations = [one.start(1, "Hello").await, other.start(1, "Hello").await];
    let mut accepted = Vec::new();
    let mut refused = 0;
    for id in 10..60u128 {
        let index = (id % 2) as usize;
        let request =
            Request::Send { id: CommandId(id), conversation: conversations[index], seen: 0, text: "x".into() };
        match [&one, &other][index].ask(request) {
            Ok(()) => accepted.push(id),
            Err(Refusal::Overloaded { retry_after_ms }) => {
                assert!(retry_after_ms > 0);
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((accepted.len(), refused), (8, 42), "a quarter of a second's worth at once, two of it for the starts");
    for id in accepted {
        [&one, &other][(id % 2) as usize].acknowledged(id).await;
    }
    // Nothing is left of the bucket, and still whoever reads is answered.
    let (_, events) = one.open(conversations[0], None).await;
    assert!(!events.is_empty());
    world.clock.0.fetch_add(25, Ordering::Relaxed);
    one.says(conversations[0], 100, "one more after a fortieth of a second").await;
    let request = Request::Send { id: CommandId(101), conversation: conversations[0], seen: 0, text: "x".into() };
    assert!(matches!(one.ask(request), Err(Refusal::Overloaded { .. })));
}
