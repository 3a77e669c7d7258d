//! Appending, loading, reading.

use std::sync::Arc;

use bellhop_engine::domain::{Epoch, Event, Part, Seq, VisitorId, WorkspaceId};
use bellhop_engine::ports::{Expect, Projection, Range, Reader, Record, RecordKey, RecordList, RowList, StoreError};

use super::scene::{append, begin_append, check, every_kind, fold, key, message, messages, ok, projection, same, seqs};
use super::{Factory, Outcome};

pub(super) async fn a_new_store_is_empty(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    check(store.healthy(), "a new store is healthy")?;
    check(store.epoch() >= Epoch(1), "epochs begin above 0")?;
    check(store.secret() != [0; 32], "a secret is not all zero")?;
    same("dirty marks", &ok(store.dirty().await)?.len(), &0)?;
    for list in [
        RowList::Open(WorkspaceId(1)),
        RowList::Resolved(WorkspaceId(1)),
        RowList::OfVisitor(WorkspaceId(1), VisitorId(1)),
    ] {
        let page = ok(store.rows(list, None, 10).await)?;
        check(page.rows.is_empty() && page.next.is_none(), "no rows, and no next page")?;
    }
    same("workspaces", &ok(store.records(RecordList::Workspaces, None, 10).await)?.len(), &0)
}

pub(super) async fn events_are_read_in_the_order_in_which_they_were_appended(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, want) = (key(1, 1), messages(1..=300, store.epoch()));
    for event in &want {
        ok(append(&*store, key, vec![Arc::clone(event)], event.seq == 1).await)?;
    }
    let loaded = ok(store.load(key).await)?.ok_or("an appended conversation loads")?;
    check(loaded.state.is_none(), "there is no snapshot before a projection")?;
    same("tail", &loaded.tail, &want)?;
    same("events", &ok(store.events(key, Range::After(0), 1_000).await)?, &want)
}

pub(super) async fn several_events_of_one_append_are_all_there(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, epoch) = (key(1, 1), store.epoch());
    for seqs in [1..=3, 4..=4, 5..=104] {
        ok(append(&*store, key, messages(seqs, epoch), false).await)?;
    }
    let loaded = ok(store.load(key).await)?.ok_or("an appended conversation loads")?;
    same("tail", &loaded.tail, &messages(1..=104, epoch))
}

pub(super) async fn a_conversation_without_events_is_none(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    ok(append(&*store, key(1, 2), messages(1..=2, store.epoch()), false).await)?;
    // Neighbours in every order of bytes.
    for absent in [key(1, 1), key(1, 3), key(0, 2), key(2, 2)] {
        check(ok(store.load(absent).await)?.is_none(), "a load of nothing is none")?;
        check(ok(store.row(absent).await)?.is_none(), "a row of nothing is none")?;
        check(ok(store.reads(absent).await)?.is_empty(), "nobody read nothing")?;
        for range in [Range::After(0), Range::Before(9)] {
            check(ok(store.events(absent, range, 10).await)?.is_empty(), "events of nothing are none")?;
        }
    }
    Ok(())
}

pub(super) async fn a_load_is_the_snapshot_and_the_gapless_tail(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, all) = (key(1, 1), messages(1..=40, store.epoch()));
    ok(append(&*store, key, all[..25].to_vec(), true).await)?;
    let reader = Reader::Visitor(VisitorId(9));
    ok(store.project(Projection { reads: vec![(reader, 3)], ..projection(key, &all[..25])? }).await)?;
    let loaded = ok(store.load(key).await)?.ok_or("it loads")?;
    same("snapshot without tail", &(loaded.state, loaded.tail.len()), &(Some(fold(key, &all[..25])?), 0))?;
    ok(append(&*store, key, all[25..].to_vec(), false).await)?;
    let loaded = ok(store.load(key).await)?.ok_or("it loads")?;
    same("snapshot", &loaded.state, &Some(fold(key, &all[..25])?))?;
    same("tail", &loaded.tail, &all[25..].to_vec())?;
    same("read marks", &loaded.reads, &vec![(reader, 3)])
}

pub(super) async fn repeating_an_append_is_harmless(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, all) = (key(1, 1), messages(1..=12, store.epoch()));
    for part in [&all[..4], &all[..4], &all[4..8], &all[4..8], &all[4..8], &all[8..]] {
        ok(append(&*store, key, part.to_vec(), false).await)?;
    }
    let loaded = ok(store.load(key).await)?.ok_or("it loads")?;
    same("tail", &loaded.tail, &all)
}

pub(super) async fn five_hundred_conversations_append_at_once(factory: &dyn Factory) -> Outcome {
    const CONVERSATIONS: u128 = 500;
    const ROUNDS: Seq = 4;
    let store = factory.open().await?;
    let epoch = store.epoch();
    for round in 1..=ROUNDS {
        let outcomes: Vec<_> = (0..CONVERSATIONS)
            .map(|one| begin_append(&*store, key(1, one), messages(round * 2 - 1..=round * 2, epoch), round == 1))
            .collect();
        for outcome in outcomes {
            ok(outcome.await.map_err(|_| "a callback was dropped uncalled")?)?;
        }
    }
    let want = messages(1..=ROUNDS * 2, epoch);
    for one in 0..CONVERSATIONS {
        let loaded = ok(store.load(key(1, one)).await)?.ok_or("each conversation loads")?;
        same("tail", &loaded.tail, &want)?;
    }
    same("dirty marks", &ok(store.dirty().await)?.len(), &(CONVERSATIONS as usize))
}

pub(super) async fn an_append_is_read_as_soon_as_it_is_acknowledged(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let key = key(1, 1);
    for event in messages(1..=100, store.epoch()) {
        let seq = event.seq;
        ok(append(&*store, key, vec![event], false).await)?;
        let last = ok(store.events(key, Range::Before(Seq::MAX), 1).await)?;
        same("last event", &seqs(&last), &vec![seq])?;
    }
    Ok(())
}

pub(super) async fn ranges_after_and_before_any_cursor_are_exact(factory: &dyn Factory) -> Outcome {
    const HEAD: Seq = 60;
    let store = factory.open().await?;
    let (key, all) = (key(1, 1), messages(1..=HEAD, store.epoch()));
    ok(append(&*store, key, all.clone(), false).await)?;
    // Neighbours must not be read into.
    ok(append(&*store, super::scene::key(1, 0), messages(1..=3, store.epoch()), false).await)?;
    ok(append(&*store, super::scene::key(1, 2), messages(1..=3, store.epoch()), false).await)?;
    // Without a snapshot, with one in the middle, with one at the head.
    for snapshot in [0, 30, HEAD] {
        if snapshot > 0 {
            ok(store.project(projection(key, &all[..snapshot as usize])?).await)?;
        }
        for cursor in (0..=HEAD + 2).chain([Seq::MAX - 1, Seq::MAX]) {
            for limit in [1, 7, 1_000] {
                let after: Vec<Seq> = (1..=HEAD).filter(|seq| *seq > cursor).take(limit).collect();
                let got = ok(store.events(key, Range::After(cursor), limit).await)?;
                same(&format!("after {cursor}, at most {limit}, snapshot {snapshot}"), &seqs(&got), &after)?;
                let below: Vec<Seq> = (1..=HEAD).filter(|seq| *seq < cursor).collect();
                let got = ok(store.events(key, Range::Before(cursor), limit).await)?;
                let want = below[below.len().saturating_sub(limit)..].to_vec();
                same(&format!("before {cursor}, at most {limit}, snapshot {snapshot}"), &seqs(&got), &want)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn texts_of_1_byte_16_kib_and_64_kib_come_back_whole(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let key = key(1, 1);
    let texts = ["x".to_owned(), "ä".repeat(8 * 1024), "\u{1F514}".repeat(16 * 1024)];
    let events: Vec<_> = texts.iter().zip(1..).map(|(text, seq)| message(seq, store.epoch(), text)).collect();
    for event in &events {
        ok(append(&*store, key, vec![Arc::clone(event)], false).await)?;
    }
    let store = factory.reopen(store).await?;
    let loaded = ok(store.load(key).await)?.ok_or("it loads")?;
    check(loaded.tail == events, "long texts come back as they were")
}

pub(super) async fn every_kind_of_event_comes_back_equal(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, all) = (key(1, 1), every_kind(store.epoch()));
    ok(append(&*store, key, all.clone(), true).await)?;
    same("events", &ok(store.events(key, Range::After(0), 100).await)?, &all)
}

pub(super) async fn a_higher_epoch_wins_and_leftovers_are_skipped(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, old) = (key(1, 1), store.epoch());
    ok(append(&*store, key, messages(1..=3, old), true).await)?;
    let store = factory.reopen(store).await?;
    let new = store.epoch();
    let loaded = ok(store.load(key).await)?.ok_or("it loads")?;
    same("adopted", &seqs(&loaded.tail), &vec![1, 2, 3])?;
    let mut want: Vec<Arc<Event>> = messages(1..=3, old);
    want.push(message(4, new, "of the new owner"));
    ok(append(&*store, key, vec![Arc::clone(&want[3])], true).await)?;
    // The dead owner's rows arrive at last. Whether they are refused or kept, no reader may see them.
    let _ = append(&*store, key, messages(4..=7, old), false).await;
    for turn in ["without a snapshot", "with a snapshot below them", "after going on"] {
        let loaded = ok(store.load(key).await)?.ok_or("it loads")?;
        let known = loaded.state.map_or(0, |state| state.seq) as usize;
        same(turn, &loaded.tail, &want[known..].to_vec())?;
        same(turn, &ok(store.events(key, Range::After(0), 100).await)?, &want)?;
        same(turn, &ok(store.events(key, Range::Before(Seq::MAX), 100).await)?, &want)?;
        for cursor in 4..=9 {
            let after: Vec<_> = want.iter().filter(|event| event.seq > cursor).cloned().collect();
            same(turn, &ok(store.events(key, Range::After(cursor), 100).await)?, &after)?;
        }
        match turn {
            "without a snapshot" => ok(store.project(projection(key, &want)?).await)?,
            "with a snapshot below them" => {
                want.push(message(5, new, "and goes on"));
                ok(append(&*store, key, vec![Arc::clone(&want[4])], false).await)?;
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) async fn workspaces_with_equal_conversation_ids_are_apart(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let epoch = store.epoch();
    for workspace in 1..=3 {
        let text = format!("of workspace {workspace}");
        ok(append(&*store, key(workspace, 5), vec![message(1, epoch, &text)], false).await)?;
    }
    for workspace in 1..=3 {
        let loaded = ok(store.load(key(workspace, 5)).await)?.ok_or("it loads")?;
        same("tail", &loaded.tail, &vec![message(1, epoch, &format!("of workspace {workspace}"))])?;
    }
    Ok(())
}

pub(super) async fn each_open_takes_a_higher_epoch_and_keeps_the_secret(factory: &dyn Factory) -> Outcome {
    let mut store = factory.open().await?;
    for _ in 0..3 {
        let (epoch, secret) = (store.epoch(), store.secret());
        store = factory.reopen(store).await?;
        check(store.epoch() > epoch, "a reopened store has a higher epoch")?;
        same("secret", &store.secret(), &secret)?;
    }
    let (first, second) = (store.secret(), factory.open().await?.secret());
    check(first != second, "two stores have two secrets")
}

pub(super) async fn everything_is_there_after_a_reopen(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, epoch) = (key(1, 1), store.epoch());
    let all = every_kind(epoch);
    ok(append(&*store, key, all.clone(), true).await)?;
    let reader = Reader::Visitor(VisitorId(3));
    let projected = Projection { reads: vec![(reader, 5)], ..projection(key, &all[..6])? };
    ok(store.project(projected.clone()).await)?;
    let email = RecordKey::Email("ada@example.org".to_owned());
    let person = Record::Email(bellhop_engine::domain::PersonId(4));
    let _ = ok(store.put_record(email.clone(), person.clone(), Expect::Absent).await)?;
    let store = factory.reopen(store).await?;
    let loaded = ok(store.load(key).await)?.ok_or("it loads")?;
    same("snapshot", &loaded.state, &Some(projected.state))?;
    same("tail", &loaded.tail, &all[6..].to_vec())?;
    same("read marks", &loaded.reads, &vec![(reader, 5)])?;
    same("row", &ok(store.row(key).await)?, &Some(projected.row.clone()))?;
    same("open rows", &ok(store.rows(RowList::Open(key.workspace), None, 10).await)?.rows, &vec![projected.row])?;
    let marks: Vec<_> = ok(store.dirty().await)?.into_iter().map(|(_, key)| key).collect();
    same("dirty marks", &marks, &vec![key])?;
    same("record", &ok(store.record(email).await)?, &Some((person, 1)))
}

pub(super) async fn a_closed_store_answers_unavailable(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, epoch) = (key(1, 1), store.epoch());
    ok(append(&*store, key, messages(1..=2, epoch), false).await)?;
    ok(store.close().await)?;
    check(!store.healthy(), "a closed store is not healthy")?;
    let unavailable = |what: &str, error: Option<StoreError>| {
        check(matches!(error, Some(StoreError::Unavailable(_))), &format!("{what}: got {error:?}, want Unavailable"))
    };
    unavailable("append", append(&*store, key, messages(3..=3, epoch), false).await.err())?;
    unavailable("load", store.load(key).await.err())?;
    unavailable("events", store.events(key, Range::After(0), 1).await.err())?;
    unavailable("project", store.project(projection(key, &messages(1..=2, epoch))?).await.err())?;
    unavailable("rows", store.rows(RowList::Open(key.workspace), None, 1).await.err())?;
    unavailable("dirty", store.dirty().await.err())?;
    unavailable("record", store.record(RecordKey::Workspace(key.workspace)).await.err())?;
    unavailable("delete_record", store.delete_record(RecordKey::Workspace(key.workspace)).await.err())?;
    let email = (RecordKey::Email("a@b".to_owned()), Record::Email(bellhop_engine::domain::PersonId(1)));
    unavailable("put_record", store.put_record(email.0, email.1, Expect::Absent).await.err())?;
    ok(store.close().await)
}

pub(super) async fn closing_waits_for_what_was_handed_over(factory: &dyn Factory) -> Outcome {
    const CONVERSATIONS: u128 = 200;
    let store = factory.open().await?;
    let epoch = store.epoch();
    let outcomes: Vec<_> =
        (0..CONVERSATIONS).map(|one| begin_append(&*store, key(1, one), messages(1..=2, epoch), false)).collect();
    ok(store.close().await)?;
    for mut outcome in outcomes {
        let outcome = outcome.try_recv().map_err(|_| "an append is unanswered after the closing")?;
        ok(outcome)?;
    }
    let store = factory.reopen(store).await?;
    for one in 0..CONVERSATIONS {
        let loaded = ok(store.load(key(1, one)).await)?.ok_or("each conversation loads")?;
        let words = loaded.tail.iter().filter(|event| matches!(&event.body, bellhop_engine::domain::Body::Message { parts } if matches!(parts[..], [Part::Text(_)])));
        same("words", &words.count(), &2)?;
    }
    Ok(())
}

/// `BELLHOP_LONG=1` makes it a million.
pub(super) async fn a_conversation_of_twenty_thousand_events_is_read_whole_from_either_end(
    factory: &dyn Factory,
) -> Outcome {
    const APPEND: Seq = 100;
    const PAGE: usize = 1_000;
    // As the engine does (`EVENTS_A_PROJECTION`): the tail of a load stays short.
    const PROJECTED: Seq = 500;
    let head: Seq = if std::env::var_os("BELLHOP_LONG").is_some() { 1_000_000 } else { 20_000 };
    let store = factory.open().await?;
    let (key, epoch) = (key(1, 1), store.epoch());
    let mut state: Option<bellhop_engine::domain::ConversationState> = None;
    for first in (1..=head).step_by(APPEND as usize) {
        let events = messages(first..=first + APPEND - 1, epoch);
        for event in &events {
            bellhop_engine::domain::ConversationState::fold(&mut state, key, event);
        }
        ok(append(&*store, key, events, first == 1).await)?;
        let state = state.clone().ok_or("a conversation with events has a state")?;
        // Never at the very end, and not at the end of a page.
        if state.seq % PROJECTED == 400 {
            ok(store.project(Projection { row: state.row(0, 0), state, reads: vec![], clear_dirty: false }).await)?;
        }
    }
    let mut read = 0;
    loop {
        let page = ok(store.events(key, Range::After(read), PAGE).await)?;
        let Some(last) = page.last() else { break };
        let want = messages(read + 1..=last.seq, epoch);
        check(page == want, &format!("the page after {read} is what was appended"))?;
        read = last.seq;
    }
    same("read upwards to", &read, &head)?;
    let mut before = Seq::MAX;
    let mut count = 0;
    loop {
        let page = ok(store.events(key, Range::Before(before), PAGE).await)?;
        let Some(first) = page.first() else { break };
        count += page.len() as Seq;
        before = first.seq;
        same("the page's end", &page.last().map(|last| last.seq), &Some(before + page.len() as Seq - 1))?;
    }
    same("read downwards", &(before, count), &(1, head))?;
    for past in [head, head + 1, head + 64, head * 2, Seq::MAX] {
        check(ok(store.events(key, Range::After(past), PAGE).await)?.is_empty(), "nothing lies past the end")?;
    }
    let store = factory.reopen(store).await?;
    let loaded = ok(store.load(key).await)?.ok_or("it loads")?;
    let known = loaded.state.map_or(0, |state| state.seq);
    check(head - known <= PROJECTED, "the tail is short")?;
    same("tail", &loaded.tail, &messages(known + 1..=head, epoch))
}

pub(super) async fn every_conversation_is_named_once_page_by_page(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let epoch = store.epoch();
    let mut want = std::collections::BTreeSet::new();
    for workspace in 1..=3 {
        for one in 0..20 {
            ok(append(&*store, key(workspace, one), messages(1..=90, epoch), true).await)?;
            if one % 3 == 0 {
                ok(append(&*store, key(workspace, one), messages(91..=150, epoch), false).await)?;
            }
            want.insert(key(workspace, one));
        }
    }
    // One that was asked for and is not there.
    check(ok(store.load(key(9, 9)).await)?.is_none(), "a load of nothing is none")?;
    for limit in [1, 7, 60, 1_000] {
        let (mut got, mut cursor) = (Vec::new(), None);
        loop {
            let page = ok(store.conversations(cursor.take(), limit).await)?;
            check(page.keys.len() <= limit, "a page holds at most its limit")?;
            check(page.next.as_ref().is_none_or(|next| next.len() <= 96), "a cursor has at most 96 bytes")?;
            got.extend(page.keys);
            check(got.len() <= want.len(), "each is named once")?;
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        same("conversations", &got.iter().copied().collect::<std::collections::BTreeSet<_>>(), &want)?;
        same("named", &got.len(), &want.len())?;
    }
    Ok(())
}

pub(super) async fn an_audit_finds_a_log_whole_and_says_where_it_ends(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (one, epoch) = (key(1, 1), store.epoch());
    for first in (1..=300).step_by(100) {
        ok(append(&*store, one, messages(first..=first + 99, epoch), true).await)?;
    }
    let whole = bellhop_engine::ports::Audit { head: 300, ..Default::default() };
    same("audit", &ok(store.audit(one).await)?, &whole)?;
    let store = factory.reopen(store).await?;
    let _ = ok(store.load(one).await)?;
    let audit = ok(store.audit(one).await)?;
    same("audit under a later epoch", &(audit.head, audit.beyond_hole, audit.unreadable.len()), &(300, None, 0))?;
    same("audit of nothing", &ok(store.audit(key(5, 5)).await)?.head, &0)
}
