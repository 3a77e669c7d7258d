//! What the simulation found (`simulation/`), each as a plain test.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::time::Duration;

use bellhop_engine::domain::*;
use bellhop_engine::exchange::*;
use bellhop_storage::{Fate, Faults, Model};
use support::*;

async fn rest() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

fn held_by(world: &World, conversation: ConversationId) -> Option<MemberId> {
    let log = world.model.log(world.key(conversation));
    let last =
        log.iter().rev().find(|it| matches!(it.body, Body::Assigned { .. } | Body::Queued { .. } | Body::Resolved));
    match &last?.body {
        Body::Assigned { to, .. } => Some(to.id),
        _ => None,
    }
}

async fn listed(agent: &Client<'_>, view: View) -> Vec<ConversationId> {
    agent.ask(Request::List { view, resume: None }).unwrap();
    agent
        .next("a page", |answer| match answer {
            Answer::List { view: it, rows, .. } if *it == view => {
                Some(rows.iter().map(|row| row.key.conversation).collect())
            }
            _ => None,
        })
        .await
}

async fn resolve(agent: &Client<'_>, conversation: ConversationId, id: u128) {
    agent.ask(Request::Resolve { id: CommandId(id), conversation, seen: 0 }).unwrap();
    agent.acknowledged(id).await;
}

#[tokio::test(start_paused = true)]
async fn lists_show_what_is_resolved_and_what_began_although_the_projection_could_not_be_written() {
    let world = World::new(1).await;
    let (agent, visitor) = (world.agent(1), world.visitor(100));
    world.model.faults(Faults { write_refused: 1_000, ..Faults::NONE });
    let conversation = visitor.start(1, "Hello").await;
    rest().await;
    visitor.ask(Request::Conversations).unwrap();
    let rows = |answer: &Answer| match answer {
        Answer::Conversations(rows) => Some(rows.iter().map(|row| (row.id, row.status)).collect::<Vec<_>>()),
        _ => None,
    };
    assert_eq!(visitor.next("rows", rows).await, [(conversation, Status::Assigned)]);
    resolve(&agent, conversation, 1).await;
    assert_eq!(listed(&agent, View::Resolved).await, [conversation]);
    agent.ask(Request::Reopen { id: CommandId(2), conversation, seen: 0 }).unwrap();
    agent.acknowledged(2).await;
    assert_eq!(listed(&agent, View::Resolved).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_to_a_member_who_is_removed_meanwhile_goes_back_to_the_line() {
    let world = World::new(2).await;
    let (_maya, jonas) = (world.agent(1), world.agent(2));
    let visitor = world.visitor(100);
    let conversation = visitor.start(1, "Hello").await;
    rest().await;
    let (holder, other) = if held_by(&world, conversation) == Some(MemberId(1)) { (1, 2) } else { (2, 1) };
    world.model.hold();
    let to = Some(MemberId(other));
    jonas.ask(Request::Assign { id: CommandId(1), conversation, seen: 0, to }).unwrap();
    rest().await;
    let mut desk = desk(2);
    desk.members.retain(|it| it.member.id == MemberId(holder));
    world.engine.set_desk(desk);
    rest().await;
    // The release itself is lost at first.
    world.model.script([Fate::Done, Fate::Refused, Fate::Refused]);
    world.model.flow();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(held_by(&world, conversation), Some(MemberId(holder)));
}

#[tokio::test(start_paused = true)]
async fn a_reservation_whose_outcome_is_unknown_counts_until_the_log_has_been_read() {
    let world = World::with(Model::new(7), 1, options()).await;
    let mut desk = desk(1);
    desk.agent_cap = 1;
    world.engine.set_desk(desk);
    let (one, two) = (world.visitor(100), world.visitor(101));
    let conversations = [one.start(1, "Hello").await, two.start(1, "Hello").await];
    rest().await;
    world.model.faults(Faults { read_refused: 1_000, ..Faults::NONE });
    world.model.script([Fate::UnknownWritten]);
    let _agent = world.agent(1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.model.faults(Faults::NONE);
    rest().await;
    let held = conversations.iter().filter(|it| held_by(&world, **it) == Some(MemberId(1))).count();
    assert_eq!(held, 1, "one is the cap");
}

#[tokio::test(start_paused = true)]
async fn the_visitors_other_tab_hears_of_what_turned_out_durable_after_all() {
    let world = World::new(1).await;
    let (agent, visitor, other) = (world.agent(1), world.visitor(100), world.visitor(100));
    let conversation = visitor.start(1, "Hello").await;
    rest().await;
    other.ask(Request::Conversations).unwrap();
    rest().await;
    world.model.script([Fate::UnknownWritten]);
    agent.ask(Request::Resolve { id: CommandId(1), conversation, seen: 0 }).unwrap();
    agent.refused(1).await;
    let resolved = |answer: &Answer| match answer {
        Answer::Conversation(row) if row.status == Status::Resolved => Some(()),
        _ => None,
    };
    other.next("that it is resolved", resolved).await;
    assert_eq!(listed(&agent, View::Resolved).await, [conversation]);
}

#[tokio::test(start_paused = true)]
async fn a_list_hears_that_what_was_resolved_for_a_moment_left_it() {
    let world = World::new(1).await;
    let (agent, visitor) = (world.agent(1), world.visitor(100));
    let conversation = visitor.start(1, "Hello").await;
    rest().await;
    // The pause after a flush: resolved, listed, and opened again before the next.
    agent.ask(Request::List { view: View::Open, resume: None }).unwrap();
    visitor.says(conversation, 2, "More").await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    resolve(&agent, conversation, 1).await;
    assert_eq!(listed(&agent, View::Resolved).await, [conversation]);
    agent.ask(Request::Reopen { id: CommandId(2), conversation, seen: 0 }).unwrap();
    let gone = |answer: &Answer| match answer {
        Answer::Changes { view: View::Resolved, removed, .. } if removed.contains(&conversation) => Some(()),
        _ => None,
    };
    agent.next("that it left", gone).await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_it_is_held_is_told_the_place_when_it_returns_at_once() {
    let world = World::new(1).await;
    let (agent, visitor) = (world.agent(1), world.visitor(100));
    world.engine.set_available(WORKSPACE, MemberId(1), false);
    let conversation = visitor.start(1, "Hello").await;
    rest().await;
    // Within the time in which places are told together.
    agent.ask(Request::Assign { id: CommandId(1), conversation, seen: 0, to: Some(MemberId(1)) }).unwrap();
    agent.acknowledged(1).await;
    let other = world.visitor(100);
    other.open(conversation, None).await;
    agent.ask(Request::Assign { id: CommandId(2), conversation, seen: 0, to: None }).unwrap();
    agent.acknowledged(2).await;
    other.next("the place", |answer| matches!(answer, Answer::Position { position: Some(1), .. }).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_to_the_resolved_hears_of_what_could_not_be_projected() {
    let world = World::new(1).await;
    let (agent, visitor) = (world.agent(1), world.visitor(100));
    let conversation = visitor.start(1, "Hello").await;
    agent.ask(Request::List { view: View::Resolved, resume: None }).unwrap();
    let page = |answer: &Answer| match answer {
        Answer::List { feed, at, .. } => Some((*feed, *at)),
        _ => None,
    };
    let resume = Some(agent.next("a page", page).await);
    world.model.faults(Faults { write_refused: 1_000, ..Faults::NONE });
    resolve(&agent, conversation, 1).await;
    rest().await;
    let back = world.agent(1);
    back.ask(Request::List { view: View::Resolved, resume }).unwrap();
    let came = |answer: &Answer| match answer {
        Answer::Changes { upserts, .. } => Some(upserts.iter().map(|row| row.key.conversation).collect::<Vec<_>>()),
        _ => None,
    };
    assert_eq!(back.next("the changes", came).await, [conversation]);
}

#[tokio::test(start_paused = true)]
async fn a_projection_of_unknown_outcome_may_have_taken_the_dirty_mark_so_that_the_next_append_sets_it() {
    let world = World::new(0).await;
    let visitor = world.visitor(100);
    let conversation = visitor.start(1, "Hello").await;
    rest().await;
    visitor.leave(&[conversation]);
    // Asked to sleep again and again, and each time the answer is lost, half of the times after the write.
    world.model.faults(Faults { write_unknown: 1_000, ..Faults::NONE });
    tokio::time::sleep(Duration::from_secs(120)).await;
    let visitor = world.visitor(100);
    let seq = visitor.says(conversation, 2, "Still there?").await;
    world.model.faults(Faults::NONE);
    let world = world.restart().await;
    let (rows, _) = world.engine.rows(WORKSPACE, None, View::Open, None, 10).await.unwrap().unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [seq]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_could_not_be_read_comes_by_itself_when_the_store_is_back() {
    let world = World::new(1).await;
    let (agent, visitor) = (world.agent(1), world.visitor(100));
    let conversation = visitor.start(1, "Hello").await;
    resolve(&agent, conversation, 1).await;
    rest().await;
    world.model.faults(Faults { read_refused: 1_000, ..Faults::NONE });
    agent.ask(Request::List { view: View::Resolved, resume: None }).unwrap();
    agent.next("a refusal", |answer| matches!(answer, Answer::Refused { id: None, .. }).then_some(())).await;
    rest().await;
    world.model.faults(Faults::NONE);
    agent.next("the page", |answer| matches!(answer, Answer::List { rows, .. } if rows.len() == 1).then_some(())).await;
}
