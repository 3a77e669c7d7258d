//! Conversations through the actors: order, idempotency, resume, privacy, crashes, faults of the store.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bellhop_engine::Options;
use bellhop_engine::domain::*;
use bellhop_engine::exchange::*;
use bellhop_engine::ports::Range;
use bellhop_storage::{Fate, Faults, Model};
use support::*;

const DAY: i64 = 24 * 3600 * 1000;

#[tokio::test(start_paused = true)]
async fn a_visitor_writes_and_an_agent_answers() {
    let world = World::new(1).await;
    let (visitor, agent) = (world.visitor(1), world.agent(1));
    let conversation = visitor.start(1, "Hello").await;
    let to = visitor.event("the assignment", |event| matches!(event.body, Body::Assigned { .. })).await;
    assert!(matches!(&to.body, Body::Assigned { to, reason: AssignedReason::Routed } if to.id == MemberId(1)));
    let (_, events) = agent.open(conversation, None).await;
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    agent.send(conversation, 1, 4, "Hi there");
    assert_eq!(agent.acknowledged(1).await, (conversation, 5, false), "an id is its sender's own");
    visitor.hears("Hi there").await;
    visitor.says(conversation, 2, "Thanks").await;
    agent.hears("Thanks").await;
}

#[tokio::test(start_paused = true)]
async fn the_starter_is_greeted_before_the_first_event_and_acknowledged_in_its_place() {
    let world = World::new(0).await;
    let visitor = world.visitor(1);
    visitor.start(1, "Hello").await;
    visitor.event("its place in the line", |event| matches!(event.body, Body::Queued { .. })).await;
    let kinds: Vec<String> = visitor
        .all()
        .iter()
        .filter_map(|answer| match answer {
            Answer::Opened { events, .. } => Some(format!("opened with {}", events.len())),
            Answer::Acknowledged { seq, prev, .. } => Some(format!("ack {seq} after {prev}")),
            Answer::Event { event, audience, .. } => {
                Some(format!("event {} after {}", event.seq, event.prev(*audience)))
            }
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["opened with 0", "ack 2 after 0", "event 3 after 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_command_id_takes_effect_once_before_and_after_sleep_and_restart() {
    let world = World::new(0).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    visitor.says(conversation, 2, "One").await;
    visitor.send(conversation, 2, 0, "One");
    assert_eq!(visitor.acknowledged(2).await, (conversation, 4, true));
    visitor.send(conversation, 2, 0, "Another");
    assert_eq!(visitor.refused(2).await, Refusal::IdReused);
    assert_eq!(visitor.start(1, "Hello").await, conversation, "starting again is the same conversation");

    // Asleep: nobody follows, the sweeper comes by.
    visitor.leave(&[conversation]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let visitor = world.visitor(1);
    visitor.send(conversation, 2, 0, "One");
    assert_eq!(visitor.acknowledged(2).await, (conversation, 4, true));

    // Far beyond what the state remembers, and restarted: found in the log.
    for id in 100..200 {
        visitor.says(conversation, id, "More").await;
    }
    let world = world.restart().await;
    let visitor = world.visitor(1);
    visitor.send(conversation, 2, 3, "One");
    assert_eq!(visitor.acknowledged(2).await, (conversation, 4, true));
    visitor.send(conversation, 2, 3, "Another");
    assert_eq!(visitor.refused(2).await, Refusal::IdReused);
    let texts = world.model.log(world.key(conversation)).iter().filter(|event| said(event) == Some("One")).count();
    assert_eq!(texts, 1);
    assert_eq!(world.model.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn resume_returns_exactly_what_was_missed_at_every_cut_point() {
    let world = World::new(1).await;
    let (visitor, agent) = (world.visitor(1), world.agent(1));
    let conversation = visitor.start(1, "Hello").await;
    agent.open(conversation, None).await;
    for round in 0..20 {
        agent.says(conversation, 100 + round, "Answer").await;
        let note = Request::Note { id: CommandId(200 + round), conversation, seen: 0, text: "Between us".into() };
        agent.ask(note).unwrap();
        agent.acknowledged(200 + round).await;
        visitor.says(conversation, 300 + round, "Question").await;
    }
    let log = world.model.log(world.key(conversation));
    for (client, audience) in [(world.visitor(1), Audience::All), (world.agent(1), Audience::Staff)] {
        let visible: Vec<_> = log.iter().filter(|event| event.visible_to(audience)).cloned().collect();
        for cut in 0..=log.len() as u64 {
            let (reset, got) = client.open(conversation, Some(cut)).await;
            assert_eq!(reset, None);
            let want: Vec<_> = visible.iter().filter(|event| event.seq > cut).cloned().collect();
            assert_eq!(got, want, "{audience:?} from {cut}");
            for pair in got.windows(2) {
                assert_eq!(pair[1].prev(audience), pair[0].seq, "prev names the one before for {audience:?}");
            }
        }
        let (reset, got) = client.open(conversation, Some(log.len() as u64 + 1)).await;
        assert_eq!(reset, Some(Reset::CursorAhead));
        assert_eq!(got.last(), visible.last());
    }
}

#[tokio::test(start_paused = true)]
async fn who_missed_too_much_starts_afresh_and_pages_back_without_a_hole() {
    let world = World::new(0).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    for id in 0..1_100 {
        visitor.says(conversation, 10 + id, "x").await;
    }
    let reader = world.visitor(1);
    let (reset, newest) = reader.open(conversation, Some(3)).await;
    assert_eq!(reset, Some(Reset::TooFar));
    let mut all: Vec<Seq> = newest.iter().map(|event| event.seq).collect();
    loop {
        reader.ask(Request::Page { conversation, before: all[0], limit: Some(200) }).unwrap();
        let (older, more) = reader
            .next("a page", |answer| match answer {
                Answer::Page { events, older, .. } => Some((events.clone(), *older)),
                _ => None,
            })
            .await;
        all.splice(0..0, older.iter().map(|event| event.seq));
        if !more {
            break;
        }
    }
    let want: Vec<Seq> = (2..=1_103).collect();
    assert_eq!(all, want, "all but the start, which is for staff");
}

#[tokio::test(start_paused = true)]
async fn every_reader_of_one_audience_gets_the_same_events_in_the_same_order() {
    let world = World::new(3).await;
    let starter = world.visitor(1);
    let conversation = starter.start(1, "Hello").await;
    let visitors: Vec<_> = (0..3).map(|_| world.visitor(1)).collect();
    let agents: Vec<_> = (1..=3).map(|id| world.agent(id)).collect();
    for client in visitors.iter().chain(&agents) {
        client.open(conversation, None).await;
    }
    for round in 0..30u128 {
        for (index, client) in visitors.iter().chain(&agents).enumerate() {
            client.send(conversation, 1_000 * (index as u128 + 1) + round, 0, "crossing words");
        }
    }
    for client in visitors.iter().chain(&agents) {
        let index = visitors.iter().chain(&agents).position(|it| it.session == client.session).unwrap() as u128;
        client.acknowledged(1_000 * (index + 1) + 29).await;
    }
    starter.says(conversation, 9_999, "the end").await;
    for client in visitors.iter().chain(&agents) {
        client.hears("the end").await;
        let mut last = None;
        for answer in client.all() {
            let (seq, prev) = match answer {
                Answer::Event { event, audience, .. } => (event.seq, event.prev(audience)),
                Answer::Acknowledged { seq, prev, .. } => (seq, prev),
                _ => continue,
            };
            if let Some(last) = last {
                assert_eq!(prev, last, "a gap at {:?}", client.session);
            }
            last = Some(seq);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_note_never_reaches_a_visitor() {
    let world = World::new(1).await;
    let (visitor, agent) = (world.visitor(1), world.agent(1));
    let conversation = visitor.start(1, "Hello").await;
    agent.open(conversation, None).await;
    let note = Request::Note { id: CommandId(5), conversation, seen: 0, text: "SECRET".into() };
    agent.ask(note.clone()).unwrap();
    agent.acknowledged(5).await;
    agent.says(conversation, 6, "Public").await;
    visitor.hears("Public").await;
    visitor.open(conversation, None).await;
    visitor.open(conversation, Some(1)).await;
    visitor.ask(Request::Page { conversation, before: 100, limit: None }).unwrap();
    visitor.ask(Request::Conversations).unwrap();
    visitor.next("conversations", |answer| matches!(answer, Answer::Conversations(_)).then_some(())).await;
    assert!(!format!("{:?}", visitor.all()).contains("SECRET"));
    assert_eq!(visitor.ask(note), Err(Refusal::Forbidden));
}

#[tokio::test(start_paused = true)]
async fn another_visitor_and_another_workspace_find_nothing() {
    let world = World::new(1).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    let stranger = world.visitor(2);
    for (index, conversation) in [conversation, ConversationId(12345)].into_iter().enumerate() {
        stranger.send(conversation, 50 + index as u128, 0, "Let me in");
        assert_eq!(stranger.refused(50 + index as u128).await, Refusal::NotFound);
        for request in
            [Request::Open { conversation, after: None }, Request::Page { conversation, before: 9, limit: None }]
        {
            stranger.ask(request).unwrap();
            let refusal = |answer: &Answer| match answer {
                Answer::Refused { id: None, refusal, .. } => Some(*refusal),
                Answer::Opened { .. } | Answer::Page { .. } => panic!("a stranger was let in"),
                _ => None,
            };
            assert_eq!(stranger.next("a refusal", refusal).await, Refusal::NotFound);
        }
        stranger.ask(Request::Read { conversation, seq: 1 }).unwrap();
        stranger.ask(Request::Typing { conversation, on: true }).unwrap();
    }
    let foreign = world.client(Party::Agent { workspace: WorkspaceId(2), member: member(1) });
    assert_eq!(foreign.ask(Request::Open { conversation, after: None }), Err(Refusal::NotFound));
    let before = world.model.log(world.key(conversation)).len();
    visitor.says(conversation, 2, "Still mine").await;
    let reads = |answer: &Answer| matches!(answer, Answer::Read { .. } | Answer::Typing { .. });
    assert!(!visitor.all().iter().any(reads), "a stranger's signals reach nobody");
    assert_eq!(world.model.log(world.key(conversation)).len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn within_seven_days_it_reopens_and_later_a_new_one_begins() {
    let world = World::new(1).await;
    let (visitor, agent) = (world.visitor(1), world.agent(1));
    let conversation = visitor.start(1, "Hello").await;
    visitor.event("the assignment", |event| matches!(event.body, Body::Assigned { .. })).await;
    agent.ask(Request::Resolve { id: CommandId(1), conversation, seen: 0 }).unwrap();
    agent.acknowledged(1).await;
    world.clock.0.fetch_add(7 * DAY, Ordering::Relaxed);
    visitor.says(conversation, 2, "One more thing").await;
    let back = visitor.event("the holder", |event| matches!(event.body, Body::Assigned { .. })).await;
    assert!(
        matches!(&back.body, Body::Assigned { to, .. } if to.id == MemberId(1)),
        "who had it before is asked first"
    );
    agent.ask(Request::Resolve { id: CommandId(2), conversation, seen: 0 }).unwrap();
    agent.acknowledged(2).await;
    world.clock.0.fetch_add(7 * DAY + 1, Ordering::Relaxed);
    visitor.send(conversation, 3, 0, "Anything else");
    assert_eq!(visitor.refused(3).await, Refusal::Closed);
    let second = visitor.start(3, "Anything else").await;
    assert_ne!(second, conversation);
    visitor.ask(Request::Conversations).unwrap();
    let rows = visitor
        .next("both in the list", |answer| match answer {
            Answer::Conversations(rows) => Some(rows.clone()),
            _ => None,
        })
        .await;
    let listed: Vec<_> = rows.iter().map(|row| (row.id, row.writable)).collect();
    assert!(listed.contains(&(conversation, false)) && listed.contains(&(second, true)), "{listed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_crashed_actor_comes_back_from_the_log_while_its_neighbours_go_on() {
    let world = World::new(1).await;
    let (visitor, neighbour) = (world.visitor(1), world.visitor(2));
    let conversation = visitor.start(1, "Hello").await;
    let next_door = neighbour.start(1, "Hello").await;
    let follower = world.visitor(1);
    follower.open(conversation, None).await;
    world.mail.poison("kaboom", 1);
    visitor.send(conversation, 2, 0, "kaboom");
    visitor
        .next("unknown", |answer| match answer {
            Answer::Acknowledged { id: CommandId(2), .. } => Some(()),
            Answer::Refused { id: Some(CommandId(2)), refusal: Refusal::Unknown { .. }, .. } => Some(()),
            _ => None,
        })
        .await;
    follower.next("resync", |answer| matches!(answer, Answer::Resync { .. }).then_some(())).await;
    neighbour.says(next_door, 2, "All well here").await;
    visitor.send(conversation, 2, 0, "kaboom");
    let (_, seq, _) = visitor.acknowledged(2).await;
    let log = world.model.log(world.key(conversation));
    let said_it: Vec<Seq> = log.iter().filter(|event| said(event) == Some("kaboom")).map(|event| event.seq).collect();
    assert_eq!(said_it, [seq], "once, although its actor died of it");
    let (reset, missed) = follower.open(conversation, Some(3)).await;
    assert_eq!(reset, None);
    assert!(missed.iter().any(|event| event.seq == seq));
    assert_eq!(world.engine.health(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_commands_are_refused_at_once_and_readers_go_on_with_what_is_in_memory() {
    let world = World::new(1).await;
    let visitor = world.visitor(5);
    let conversation = visitor.start(1, "hello").await;
    let head = visitor.says(conversation, 2, "are you there?").await;
    let seen_by_staff = world.model.log(world.key(conversation)).last().unwrap().seq;

    // One append is on its way when the store goes: its outcome is unknown.
    world.model.hold();
    world.model.script([Fate::UnknownWritten]);
    visitor.send(conversation, 3, head, "written, but nobody knows");
    while world.model.held().is_empty() {
        tokio::task::yield_now().await;
    }
    world.model.away(true);
    world.model.flow();
    assert!(matches!(visitor.refused(3).await, Refusal::Unknown { .. }));

    // Commands are refused before anything is done for them, whether the conversation is in memory or not.
    let refused =
        visitor.ask(Request::Send { id: CommandId(4), conversation, seen: head, text: "refused".into() }).unwrap_err();
    assert!(matches!(refused, Refusal::Unavailable { retry_after_ms } if retry_after_ms > 0));
    let start = visitor.ask(Request::Start { id: CommandId(5), text: "refused too".into(), page: None });
    assert!(matches!(start, Err(Refusal::Unavailable { .. })));

    // Who missed nothing that is in memory can still come.
    let agent = world.agent(1);
    let (reset, events) = agent.open(conversation, Some(seen_by_staff)).await;
    assert_eq!((reset, events.len()), (None, 0));
    let (rows, _) = world.engine.rows(WORKSPACE, None, View::Open, None, 10).await.unwrap().unwrap();
    assert_eq!(rows.len(), 1, "and lists go on");

    // It is back: what was written after all is told, the repeat takes effect once, nothing was restarted.
    world.model.away(false);
    agent.hears("written, but nobody knows").await;
    visitor.send(conversation, 3, head, "written, but nobody knows");
    assert!(visitor.acknowledged(3).await.2, "the repeat finds it");
    visitor.says(conversation, 6, "all is well").await;
    let texts: Vec<_> =
        world.model.log(world.key(conversation)).iter().filter_map(|it| said(it).map(str::to_owned)).collect();
    assert_eq!(texts, ["hello", "are you there?", "written, but nobody knows", "all is well"]);
    assert_eq!(world.model.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn three_crashes_in_a_minute_quarantine_the_conversation_and_no_other() {
    let world = World::new(0).await;
    let (visitor, neighbour) = (world.visitor(1), world.visitor(2));
    let conversation = visitor.start(1, "Hello").await;
    let follower = world.visitor(1);
    follower.open(conversation, None).await;
    world.mail.poison("kaboom", u32::MAX);
    visitor.send(conversation, 2, 0, "kaboom");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let resyncs = follower.all().iter().filter(|answer| matches!(answer, Answer::Resync { .. })).count();
    assert_eq!(resyncs, 2, "it was restarted twice, and crashed on the same event each time");
    let refusal = visitor.ask(Request::Open { conversation, after: None });
    assert_eq!(refusal, Err(Refusal::ConversationUnavailable));
    neighbour.start(1, "All well here").await;
}

#[tokio::test(start_paused = true)]
async fn an_append_whose_outcome_is_unknown_is_answered_so_and_its_repeat_takes_effect_once() {
    for fate in [Fate::Refused, Fate::UnknownWritten, Fate::UnknownLost, Fate::UnknownLate] {
        let world = World::new(0).await;
        let visitor = world.visitor(1);
        let conversation = visitor.start(1, "Hello").await;
        let follower = world.visitor(1);
        follower.open(conversation, None).await;
        world.model.script([fate]);
        visitor.send(conversation, 2, 0, "Perhaps");
        visitor.send(conversation, 3, 0, "On top of it");
        let first = visitor.refused(2).await;
        let expected = matches!((fate, first), (Fate::Refused, Refusal::Unavailable { .. }))
            || matches!((fate, first), (_, Refusal::Unknown { .. }) if fate != Fate::Refused);
        assert!(expected, "{fate:?} was answered {first:?}");
        for (id, text) in [(2, "Perhaps"), (3, "On top of it")] {
            loop {
                visitor.send(conversation, id, 0, text);
                let done = visitor
                    .next("an answer", |answer| match answer {
                        Answer::Acknowledged { id: it, .. } if it.0 == id => Some(true),
                        Answer::Refused { id: Some(it), .. } if it.0 == id => Some(false),
                        _ => None,
                    })
                    .await;
                if done {
                    break;
                }
            }
        }
        visitor.says(conversation, 4, "the end").await;
        follower.hears("the end").await;
        let log = world.model.log(world.key(conversation));
        for text in ["Perhaps", "On top of it"] {
            assert_eq!(log.iter().filter(|event| said(event) == Some(text)).count(), 1, "{fate:?}: {text}");
        }
        let mut last = 3;
        for answer in follower.all() {
            if let Answer::Event { event, audience, .. } = answer {
                assert_eq!(event.prev(audience), last, "{fate:?}: a follower's gap");
                last = event.seq;
            }
        }
        assert_eq!(world.model.violations(), Vec::<String>::new(), "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_or_told_before_it_is_durable() {
    let world = World::new(0).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    let follower = world.visitor(1);
    follower.open(conversation, None).await;
    world.model.hold();
    visitor.send(conversation, 2, 0, "Not yet");
    visitor.send(conversation, 2, 0, "Another body");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told = |client: &Client<'_>| {
        client.all().iter().any(|answer| match answer {
            Answer::Acknowledged { id, .. } | Answer::Refused { id: Some(id), .. } => *id == CommandId(2),
            Answer::Event { event, .. } => said(event) == Some("Not yet"),
            _ => false,
        })
    };
    assert!(!told(&visitor) && !told(&follower), "neither the words nor a refusal that rests on them");
    let late = world.visitor(1);
    let (_, shown) = late.open(conversation, None).await;
    assert!(!shown.iter().any(|event| said(event) == Some("Not yet")), "a reader sees what is durable");
    world.model.flow();
    visitor.acknowledged(2).await;
    assert_eq!(visitor.refused(2).await, Refusal::IdReused);
    follower.hears("Not yet").await;
}

#[tokio::test(start_paused = true)]
async fn beyond_its_bounds_the_engine_refuses_at_once_and_keeps_what_it_accepted() {
    let bounds = bellhop_engine::Options { max_requests_in_flight: 8, max_requests_per_conversation: 4, ..options() };
    let world = World::with(Model::new(3), 0, bounds).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    world.model.hold();
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for id in 10..40u128 {
        match visitor.ask(Request::Send { id: CommandId(id), conversation, seen: 0, text: "x".into() }) {
            Ok(()) => accepted.push(id),
            Err(Refusal::Overloaded { retry_after_ms }) => {
                assert!(retry_after_ms > 0);
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
    }
    assert!(refused > 0 && !accepted.is_empty() && accepted.len() <= 8, "{accepted:?}");
    world.model.flow();
    for id in &accepted {
        visitor.acknowledged(*id).await;
    }
    let log = world.model.log(world.key(conversation));
    assert_eq!(log.iter().filter(|event| said(event) == Some("x")).count(), accepted.len());
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_was_quiet_goes_on_where_it_was_and_knows_its_repeats() {
    let world = World::new(0).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    let mut last = visitor.says(conversation, 2, "Two").await;
    for id in 3..6 {
        // Several sweeps: what is not needed meanwhile is given back. It is followed, so that it does not sleep.
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(visitor.says(conversation, id, "More").await, last + 1);
        last += 1;
        visitor.send(conversation, 2, 0, "Two");
        assert_eq!(visitor.acknowledged(2).await, (conversation, 4, true));
    }
    assert_eq!(world.model.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn read_marks_only_move_forward_and_survive_sleep() {
    let world = World::new(1).await;
    let (visitor, agent) = (world.visitor(1), world.agent(1));
    let conversation = visitor.start(1, "Hello").await;
    agent.open(conversation, None).await;
    agent.ask(Request::Read { conversation, seq: 2 }).unwrap();
    visitor.next("the mark", |answer| matches!(answer, Answer::Read { seq: 2, .. }).then_some(())).await;
    agent.ask(Request::Read { conversation, seq: 1 }).unwrap();
    agent.ask(Request::Read { conversation, seq: 1_000 }).unwrap();
    let mark = |answer: &Answer| match answer {
        Answer::Read { seq, .. } => Some(*seq),
        _ => None,
    };
    let head = visitor.next("the next mark", mark).await;
    assert!(head > 2 && head < 1_000, "not backwards, and not past the log: {head}");
    visitor.leave(&[conversation]);
    agent.leave(&[conversation]);
    tokio::time::sleep(Duration::from_secs(50)).await;
    let agent = world.agent(1);
    agent.ask(Request::Open { conversation, after: None }).unwrap();
    let reads = agent
        .next("opened", |answer| match answer {
            Answer::Opened { view, .. } => Some(view.reads.clone()),
            _ => None,
        })
        .await;
    assert_eq!(reads.iter().map(|(_, seq)| *seq).collect::<Vec<_>>(), [head]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_told_can_be_read_at_once() {
    let world = World::new(0).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    for id in 2..50 {
        let seq = visitor.says(conversation, id, "x").await;
        let read = world.engine.events(world.key(conversation), Range::After(seq - 1), 10).await.unwrap();
        assert_eq!(read.first().map(|event| event.seq), Some(seq));
    }
}

#[tokio::test(start_paused = true)]
async fn who_closes_or_leaves_right_after_opening_follows_no_more_and_lets_it_sleep() {
    let world = World::new(1).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    let (closer, leaver) = (world.agent(1), world.agent(1));
    let left = leaver.session;
    closer.ask(Request::Open { conversation, after: None }).unwrap();
    closer.ask(Request::Close { conversation }).unwrap();
    leaver.ask(Request::Open { conversation, after: None }).unwrap();
    leaver.leave(&[conversation]);
    visitor.says(conversation, 2, "Who hears this?").await;
    let got = |answer: &Answer| matches!(answer, Answer::Event { event, .. } if said(event) == Some("Who hears this?"));
    assert!(!closer.all().iter().any(got), "a closed conversation is not followed");
    assert!(!world.mail.got(left).iter().any(got), "nor one whose session is gone");
    visitor.leave(&[conversation]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.engine.live_conversations(), 0, "nobody follows it, so it sleeps");
}

#[tokio::test(start_paused = true)]
async fn a_start_whose_outcome_was_unknown_reaches_the_line_once_it_is_known() {
    for fate in [Fate::UnknownWritten, Fate::UnknownLate, Fate::UnknownLost] {
        let world = World::new(1).await;
        let agent = world.agent(1);
        let visitor = world.visitor(1);
        world.model.script([fate]);
        visitor.ask(Request::Start { id: CommandId(1), text: "Hello".into(), page: None }).unwrap();
        assert!(matches!(visitor.refused(1).await, Refusal::Unknown { .. }), "{fate:?}");
        let conversation = visitor.start(1, "Hello").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (_, events) = agent.open(conversation, None).await;
        let routed = events.iter().filter(|event| matches!(event.body, Body::Assigned { .. })).count();
        assert_eq!(routed, 1, "{fate:?}: it was given to the agent who is there");
        let (rows, _) = world.engine.rows(WORKSPACE, None, View::Open, None, 10).await.unwrap().unwrap();
        assert_eq!(rows.len(), 1, "{fate:?}: staff see it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_is_known_even_while_more_than_the_state_remembers_is_on_its_way() {
    let world = World::new(0).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    world.model.hold();
    for id in 100..180 {
        visitor.send(conversation, id, 3, "x");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for id in 100..180 {
        visitor.send(conversation, id, 3, "x");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.model.flow();
    visitor.says(conversation, 500, "the end").await;
    let log = world.model.log(world.key(conversation));
    assert_eq!(log.iter().filter(|event| said(event) == Some("x")).count(), 80);
}

/// Found on three busy Cassandra nodes: a read of the log for each command that lagged behind, one after the other, and
/// the conversation never caught up.
#[tokio::test(start_paused = true)]
async fn who_lags_behind_on_a_slow_store_costs_a_look_at_the_log_and_not_one_for_each_command() {
    let world = World::new(0).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    world.model.faults(Faults { pause: Duration::from_millis(100), ..Faults::NONE });
    let begun = tokio::time::Instant::now();
    for repeated in [false, true] {
        for group in (100..700).collect::<Vec<_>>().chunks(200) {
            for id in group {
                visitor.send(conversation, *id, 3, "x");
            }
            for id in group {
                assert_eq!(visitor.acknowledged(*id).await.2, repeated);
            }
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "1,200 commands took {:?}", begun.elapsed());
    let log = world.model.log(world.key(conversation));
    assert_eq!(log.iter().filter(|event| said(event) == Some("x")).count(), 600);
    assert_eq!(world.model.violations(), Vec::<String>::new());
}

/// Found on three busy Cassandra nodes: 1,000 conversations, one after the other, took 35 s of a start.
#[tokio::test(start_paused = true)]
async fn a_start_after_a_kill_brings_many_conversations_up_to_date_at_once() {
    let world = World::new(0).await;
    for id in 1..=200 {
        world.visitor(id).start(1, "Hello").await;
    }
    world.model.faults(Faults { pause: Duration::from_millis(100), ..Faults::NONE });
    let begun = tokio::time::Instant::now();
    let next = world.restart().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "the start took {:?}", begun.elapsed());
    let (rows, _) = next.engine.rows(WORKSPACE, None, View::Open, None, 500).await.unwrap().unwrap();
    assert_eq!(rows.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_is_known_even_while_more_than_is_kept_of_a_search_is_on_its_way() {
    let options = Options { max_requests_per_conversation: 5_000, ..options() };
    let world = World::with(Model::new(7), 0, options).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    world.model.hold();
    for _ in 0..2 {
        for id in 100..4_600 {
            visitor.send(conversation, id, 3, "x");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.model.flow();
    visitor.says(conversation, 9_000, "the end").await;
    let log = world.model.log(world.key(conversation));
    assert_eq!(log.iter().filter(|event| said(event) == Some("x")).count(), 4_500);
}

/// Found on three busy Cassandra nodes: one refused projection ended the start of the server.
#[tokio::test(start_paused = true)]
async fn a_start_outlasts_a_store_that_refuses_now_and_then() {
    let world = World::new(0).await;
    for id in 1..=30 {
        world.visitor(id).start(1, "Hello").await;
    }
    world.model.faults(Faults { write_refused: 300, write_unknown: 100, ..Faults::NONE });
    let next = world.restart().await;
    world.model.faults(Faults::NONE);
    let (rows, _) = next.engine.rows(WORKSPACE, None, View::Open, None, 500).await.unwrap().unwrap();
    assert_eq!(rows.len(), 30);
    assert_eq!(next.model.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_what_is_quarantined_or_for_a_store_that_is_away() {
    for away in [false, true] {
        let world = World::new(0).await;
        let visitor = world.visitor(1);
        let conversation = visitor.start(1, "Hello").await;
        if away {
            world.model.away(true);
        } else {
            let other_tab = world.visitor(1);
            other_tab.open(conversation, None).await;
            world.mail.poison("crash", 3);
            visitor.send(conversation, 2, 0, "crash");
            tokio::time::sleep(Duration::from_secs(5)).await;
            let open = visitor.ask(Request::Open { conversation, after: None });
            assert_eq!(open, Err(Refusal::ConversationUnavailable));
        }
        let begun = tokio::time::Instant::now();
        world.engine.drain().await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?} of virtual time", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn what_gathers_behind_a_slow_append_is_written_in_appends_of_bounded_size() {
    let world = World::new(0).await;
    let visitor = world.visitor(1);
    let conversation = visitor.start(1, "Hello").await;
    world.model.hold();
    visitor.send(conversation, 2, 0, "the slow one");
    while world.model.held().is_empty() {
        tokio::task::yield_now().await;
    }
    for id in 3..203 {
        visitor.send(conversation, id, 0, "quick");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.model.flow();
    for id in 2..203 {
        visitor.acknowledged(id).await;
    }
    // The model objects to appends that are too large.
    assert_eq!(world.model.violations(), Vec::<String>::new());
}
