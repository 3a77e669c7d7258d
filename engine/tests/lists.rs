//! The inbox's lists: what a follower has is what the logs say, at every cut point, and changes are coalesced.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeMap;

use bellhop_engine::domain::*;
use bellhop_engine::exchange::*;
use support::*;

/// A client's copy of a followed list.
#[derive(Clone, Default, Debug)]
struct Copy {
    feed: Option<FeedId>,
    at: u64,
    rows: BTreeMap<ConversationId, Seq>,
    counts: Counts,
}

impl Copy {
    /// Takes an answer in; `false` on a gap.
    fn take(&mut self, answer: &Answer, of: View) -> bool {
        match answer {
            Answer::List { view, feed, at, rows, counts, next } if *view == of => {
                assert_eq!(*next, None, "these lists fit one page");
                let rows = rows.iter().map(|row| (row.key.conversation, row.seq)).collect();
                *self = Self { feed: Some(*feed), at: *at, rows, counts: *counts };
            }
            Answer::Changes { view, feed, from, at, upserts, removed, counts } if *view == of => {
                if Some(*feed) != self.feed || *from != self.at {
                    return false;
                }
                for row in upserts {
                    self.rows.insert(row.key.conversation, row.seq);
                }
                for id in removed {
                    self.rows.remove(id);
                }
                (self.at, self.counts) = (*at, *counts);
            }
            _ => {}
        }
        true
    }
}

async fn settle() {
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
}

fn follow(client: &Client<'_>, view: View, resume: Option<(FeedId, u64)>) {
    client.ask(Request::List { view, resume }).unwrap();
}

fn replay(client: &Client<'_>, view: View, from: &Copy) -> Copy {
    let mut copy = from.clone();
    for answer in client.all() {
        assert!(copy.take(&answer, view), "a gap in {view:?}: {answer:?} onto {copy:?}");
    }
    copy
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_to_a_list_gets_the_changes_missed_at_every_cut_point() {
    let world = World::new(2).await;
    let maya = world.agent(1);
    let jonas = world.agent(2);
    for view in [View::Mine, View::Unassigned, View::Open] {
        follow(&maya, view, None);
    }
    settle().await;
    let mut cuts: Vec<(View, Copy)> = Vec::new();
    for round in 0..12u128 {
        let visitor = world.visitor(100 + round);
        let conversation = visitor.start(1, "Hello").await;
        settle().await;
        if round % 3 == 0 {
            maya.says(conversation, 500 + round, "Hi").await;
        }
        if round % 4 == 1 {
            jonas.ask(Request::Resolve { id: CommandId(600 + round), conversation, seen: 0 }).unwrap();
            jonas.acknowledged(600 + round).await;
        }
        settle().await;
        for view in [View::Mine, View::Unassigned, View::Open] {
            cuts.push((view, replay(&maya, view, &Copy::default())));
        }
    }
    for (view, cut) in &cuts {
        let now = replay(&maya, *view, &Copy::default());
        let back = world.agent(1);
        follow(&back, *view, Some((cut.feed.unwrap(), cut.at)));
        settle().await;
        let caught_up = replay(&back, *view, cut);
        assert!(
            !back.all().iter().any(|answer| matches!(answer, Answer::List { .. })),
            "the changes were remembered, so there is no reset"
        );
        assert_eq!((&caught_up.rows, caught_up.counts), (&now.rows, now.counts), "{view:?} from {}", cut.at);
    }
    let (rows, _) = world.engine.rows(WORKSPACE, Some(MemberId(1)), View::Open, None, 100).await.unwrap().unwrap();
    let open = replay(&maya, View::Open, &Copy::default());
    assert_eq!(open.rows, rows.iter().map(|row| (row.key.conversation, row.seq)).collect());
    assert_eq!(open.counts.open as usize, rows.len());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_feed_or_counter_is_answered_with_a_reset() {
    let world = World::new(1).await;
    let maya = world.agent(1);
    follow(&maya, View::Open, Some((FeedId(99), 3)));
    let (feed, at) = maya
        .next("a page", |answer| match answer {
            Answer::List { feed, at, .. } => Some((*feed, *at)),
            _ => None,
        })
        .await;
    follow(&maya, View::Open, Some((feed, at + 1_000)));
    maya.next("a page", |answer| matches!(answer, Answer::List { .. }).then_some(())).await;
    maya.ask(Request::More { view: View::Open, after: "nonsense".into() }).unwrap();
    maya.next("a refusal", |answer| {
        matches!(answer, Answer::Refused { refusal: Refusal::CursorBad, .. }).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_is_at_most_four_frames_a_second() {
    let world = World::new(1).await;
    let maya = world.agent(1);
    let visitor = world.visitor(100);
    let conversation = visitor.start(1, "Hello").await;
    settle().await;
    follow(&maya, View::Open, None);
    settle().await;
    let before = maya.all().len();
    let began = tokio::time::Instant::now();
    for id in 0..200u128 {
        visitor.says(conversation, 10 + id, "x").await;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    settle().await;
    let frames = maya.all()[before..].iter().filter(|answer| matches!(answer, Answer::Changes { .. })).count();
    assert!(frames >= 2 && frames as f64 <= seconds * 4.0 + 2.0, "{frames} frames in {seconds} s");
    let copy = replay(&maya, View::Open, &Copy::default());
    let last = world.model.log(world.key(conversation)).last().unwrap().seq;
    assert_eq!(copy.rows[&conversation], last, "the last one is told");
}

#[tokio::test(start_paused = true)]
async fn pages_of_a_long_list_neither_skip_nor_repeat() {
    let world = World::new(1).await;
    for id in 0..250u128 {
        world.visitor(1_000 + id).start(1, "Hello").await;
    }
    let maya = world.agent(1);
    world.engine.set_available(WORKSPACE, MemberId(1), false);
    follow(&maya, View::Open, None);
    let (mut ids, mut next) = maya
        .next("a page", |answer| match answer {
            Answer::List { rows, next, .. } => {
                Some((rows.iter().map(|row| row.key.conversation).collect::<Vec<_>>(), next.clone()))
            }
            _ => None,
        })
        .await;
    while let Some(after) = next {
        maya.ask(Request::More { view: View::Open, after }).unwrap();
        let (more, then) = maya
            .next("a page", |answer| match answer {
                Answer::ListPage { rows, next, .. } => {
                    Some((rows.iter().map(|row| row.key.conversation).collect::<Vec<_>>(), next.clone()))
                }
                _ => None,
            })
            .await;
        ids.extend(more);
        next = then;
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((all, ids.len()), (250, 250));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_a_list_right_after_asking_for_it_hears_no_more_of_it() {
    let world = World::new(1).await;
    let (agent, visitor) = (world.agent(1), world.visitor(1));
    follow(&agent, View::Open, None);
    agent.ask(Request::Unlist { view: View::Open }).unwrap();
    settle().await;
    visitor.start(1, "Hello").await;
    settle().await;
    let changes = |answer: &&Answer| matches!(answer, Answer::Changes { .. });
    assert_eq!(agent.all().iter().filter(changes).count(), 0);
}
