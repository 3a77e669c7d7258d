//! Who gets a conversation: caps, the line, offline agents, removal, what a restart keeps.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::time::Duration;

use bellhop_engine::domain::*;
use bellhop_engine::exchange::*;
use support::*;

fn holder(event: &Event) -> Option<MemberId> {
    match &event.body {
        Body::Assigned { to, .. } => Some(to.id),
        _ => None,
    }
}

async fn given_to(visitor: &Client<'_>) -> MemberId {
    let event = visitor.event("an assignment", |event| holder(event).is_some()).await;
    holder(&event).unwrap()
}

async fn place(visitor: &Client<'_>, wanted: Option<u64>) {
    visitor
        .next(&format!("place {wanted:?}"), |answer| match answer {
            Answer::Position { position, .. } if *position == wanted => Some(()),
            _ => None,
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn new_conversations_go_round_the_available_agents_up_to_their_cap_and_then_wait_in_order() {
    let world = World::new(2).await;
    let (maya, _jonas) = (world.agent(1), world.agent(2));
    let visitors: Vec<_> = (0..13).map(|id| world.visitor(100 + id)).collect();
    let mut counts = [0; 3];
    let mut conversations = Vec::new();
    for visitor in &visitors[..10] {
        conversations.push(visitor.start(1, "Hello").await);
        counts[given_to(visitor).await.0 as usize] += 1;
    }
    assert_eq!(counts, [0, 5, 5], "turn by turn, five each");
    for (visitor, index) in visitors[10..].iter().zip(1..) {
        visitor.start(1, "Hello").await;
        place(visitor, Some(index)).await;
    }
    let mayas = world.engine.members(WORKSPACE).into_iter().find(|it| it.member.id == MemberId(1)).unwrap();
    assert_eq!((mayas.open, mayas.online, mayas.available), (5, true, true));
    // One settled: the first in the line is next, the others move up.
    let conversation = conversations[0];
    maya.ask(Request::Resolve { id: CommandId(1), conversation, seen: 0 }).unwrap();
    maya.acknowledged(1).await;
    given_to(&visitors[10]).await;
    place(&visitors[11], Some(1)).await;
    place(&visitors[12], Some(2)).await;
}

#[tokio::test(start_paused = true)]
async fn with_nobody_available_they_wait_and_are_handed_out_in_order_when_someone_returns() {
    let world = World::new(1).await;
    let away = world.agent(1);
    world.engine.set_available(WORKSPACE, MemberId(1), false);
    let visitors: Vec<_> = (0..7).map(|id| world.visitor(100 + id)).collect();
    for visitor in &visitors {
        visitor.start(1, "Hello").await;
    }
    place(&visitors[6], Some(7)).await;
    assert!(!world.engine.team(WORKSPACE).available);
    world.engine.set_available(WORKSPACE, MemberId(1), true);
    for visitor in &visitors[..5] {
        assert_eq!(given_to(visitor).await, MemberId(1));
    }
    place(&visitors[5], Some(1)).await;
    let team = world.engine.team(WORKSPACE);
    assert!(team.available && team.faces.len() == 1);
    drop(away);
}

#[tokio::test(start_paused = true)]
async fn after_a_minute_offline_the_unanswered_go_back_to_the_head_and_the_answered_stay() {
    let world = World::new(1).await;
    let maya = world.agent(1);
    let (answered, unanswered, later) = (world.visitor(100), world.visitor(101), world.visitor(102));
    let kept = answered.start(1, "Hello").await;
    given_to(&answered).await;
    maya.says(kept, 1, "Hi").await;
    let lost = unanswered.start(1, "Hello").await;
    given_to(&unanswered).await;
    maya.leave(&[]);
    later.start(1, "Hello").await;
    place(&later, Some(1)).await;
    unanswered
        .event("its return to the line", |event| {
            matches!(event.body, Body::Queued { reason: QueuedReason::Released, .. })
        })
        .await;
    place(&unanswered, Some(1)).await;
    place(&later, Some(2)).await;
    let log = world.model.log(world.key(kept));
    assert!(!log.iter().any(|event| matches!(event.body, Body::Queued { reason: QueuedReason::Released, .. })));
    let back = world.agent(1);
    assert_eq!(given_to(&unanswered).await, MemberId(1));
    assert_eq!(given_to(&later).await, MemberId(1));
    back.open(lost, None).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_comes_back_within_a_minute_keeps_everything() {
    let world = World::new(1).await;
    let maya = world.agent(1);
    let visitor = world.visitor(100);
    let conversation = visitor.start(1, "Hello").await;
    given_to(&visitor).await;
    maya.leave(&[]);
    tokio::time::sleep(Duration::from_secs(59)).await;
    let maya = world.agent(1);
    tokio::time::sleep(Duration::from_secs(120)).await;
    maya.says(conversation, 1, "Still mine").await;
    let log = world.model.log(world.key(conversation));
    assert!(!log.iter().any(|event| matches!(event.body, Body::Queued { reason: QueuedReason::Released, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_removed_agent_is_told_and_everything_they_held_goes_back() {
    let world = World::new(2).await;
    let maya = world.agent(1);
    let visitor = world.visitor(100);
    let conversation = visitor.start(1, "Hello").await;
    assert_eq!(given_to(&visitor).await, MemberId(1));
    maya.says(conversation, 1, "Hi").await;
    let mut desk = desk(2);
    desk.members.retain(|it| it.member.id != MemberId(1));
    world.engine.set_desk(desk);
    maya.next("the end", |answer| matches!(answer, Answer::Revoked).then_some(())).await;
    visitor.event("its return", |event| matches!(event.body, Body::Queued { .. })).await;
    let jonas = world.agent(2);
    assert_eq!(given_to(&visitor).await, MemberId(2));
    jonas.ask(Request::Assign { id: CommandId(1), conversation, seen: 0, to: Some(MemberId(1)) }).unwrap();
    assert_eq!(jonas.refused(1).await, Refusal::MemberUnknown);
}

#[tokio::test(start_paused = true)]
async fn an_assignment_repeated_after_its_target_was_removed_is_acknowledged_as_it_was() {
    let world = World::new(3).await;
    let jonas = world.agent(2);
    let visitor = world.visitor(100);
    let conversation = visitor.start(1, "Hello").await;
    let assign = |to| Request::Assign { id: CommandId(1), conversation, seen: 0, to: Some(MemberId(to)) };
    jonas.ask(assign(3)).unwrap();
    let (_, seq, again) = jonas.acknowledged(1).await;
    assert!(!again);
    let mut desk = desk(3);
    desk.members.retain(|it| it.member.id != MemberId(3));
    world.engine.set_desk(desk);
    jonas.ask(assign(3)).unwrap();
    let repeated = jonas.acknowledged(1).await;
    assert_eq!((repeated.1, repeated.2), (seq, true));
    jonas.ask(assign(4)).unwrap();
    assert_eq!(jonas.refused(1).await, Refusal::IdReused, "the same id with another target is another command");
}

#[tokio::test(start_paused = true)]
async fn anyone_may_take_give_and_put_back() {
    let world = World::new(2).await;
    let (maya, jonas) = (world.agent(1), world.agent(2));
    let visitor = world.visitor(100);
    let conversation = visitor.start(1, "Hello").await;
    let first = given_to(&visitor).await;
    let (other, other_id) = if first == MemberId(1) { (&jonas, MemberId(2)) } else { (&maya, MemberId(1)) };
    other.ask(Request::Assign { id: CommandId(1), conversation, seen: 0, to: Some(other_id) }).unwrap();
    other.acknowledged(1).await;
    assert_eq!(given_to(&visitor).await, other_id);
    other.ask(Request::Assign { id: CommandId(2), conversation, seen: 0, to: Some(other_id) }).unwrap();
    assert_eq!(other.refused(2).await, Refusal::NotNow);
    world.engine.set_available(WORKSPACE, MemberId(1), false);
    world.engine.set_available(WORKSPACE, MemberId(2), false);
    other.ask(Request::Assign { id: CommandId(3), conversation, seen: 0, to: None }).unwrap();
    other.acknowledged(3).await;
    place(&visitor, Some(1)).await;
    maya.says(conversation, 4, "I answer, so it is mine").await;
    assert_eq!(given_to(&visitor).await, MemberId(1));
    visitor.hears("I answer, so it is mine").await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_line_and_holders() {
    let world = World::new(1).await;
    let _maya = world.agent(1);
    let held = world.visitor(100);
    let kept = held.start(1, "Hello").await;
    given_to(&held).await;
    world.engine.set_available(WORKSPACE, MemberId(1), false);
    let mut waiting = Vec::new();
    for id in 101..104 {
        waiting.push(world.visitor(id).start(1, "Hello").await);
    }
    let world = world.restart().await;
    world.engine.set_available(WORKSPACE, MemberId(1), false);
    let newcomer = world.visitor(200);
    newcomer.start(1, "Hello").await;
    place(&newcomer, Some(4)).await;
    let members = world.engine.members(WORKSPACE);
    assert_eq!(members[0].open, 1, "the log says who holds it");
    let maya = world.agent(1);
    maya.says(kept, 1, "Back again").await;
    world.engine.set_available(WORKSPACE, MemberId(1), true);
    for conversation in waiting {
        let (_, events) = maya.open(conversation, None).await;
        if !events.iter().any(|event| holder(event) == Some(MemberId(1))) {
            maya.event("its turn", |event| holder(event) == Some(MemberId(1))).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_visitor_welcomed_between_two_changes_hears_how_it_is_in_the_end() {
    let world = World::new(1).await;
    let early = world.visitor(100);
    let _maya = world.agent(1);
    let team = |answer: &Answer| match answer {
        Answer::Team(team) => Some(team.available),
        _ => None,
    };
    assert!(early.next("the team", team).await);
    world.engine.set_available(WORKSPACE, MemberId(1), false);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!world.engine.team(WORKSPACE).available, "what a visitor is welcomed with now");
    let late = world.visitor(101);
    world.engine.set_available(WORKSPACE, MemberId(1), true);
    assert!(late.next("the team", team).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_to_an_agent_who_is_removed_meanwhile_goes_to_another() {
    let world = World::new(2).await;
    let (_maya, _jonas) = (world.agent(1), world.agent(2));
    world.engine.set_available(WORKSPACE, MemberId(2), false);
    let visitors: Vec<_> = (0..4).map(|id| world.visitor(100 + id)).collect();
    world.model.hold();
    for visitor in &visitors {
        visitor.ask(Request::Start { id: CommandId(1), text: "Hello".into(), page: None }).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.model.flow();
    let mut desk = desk(2);
    desk.members.retain(|it| it.member.id != MemberId(1));
    world.engine.set_desk(desk);
    for visitor in &visitors {
        while given_to(visitor).await != MemberId(2) {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_removed_agent_still_held_at_a_crash_goes_back_to_the_line_at_the_next_start() {
    let world = World::new(1).await;
    let maya = world.agent(1);
    let visitor = world.visitor(100);
    let conversation = visitor.start(1, "Hello").await;
    given_to(&visitor).await;
    maya.says(conversation, 1, "Hi").await;
    let world = World::with(world.model.reopen(), 0, options()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let log = world.model.log(world.key(conversation));
    assert!(matches!(log.last().unwrap().body, Body::Queued { reason: QueuedReason::Released, .. }));
}
