//! Rows, lists, read marks and dirty marks.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellhop_engine::domain::{
    ConversationId, ConversationKey, Epoch, Event, MemberId, Millis, Row, Shard, Status, VisitorId,
};
use bellhop_engine::ports::{Projection, Reader, RowList, Store};

use super::scene::{append, check, every_kind, fold, key, messages, ok, projection, same};
use super::{Factory, Outcome};

/// A projection of a conversation with one message, changed as the case needs it.
fn projected(key: ConversationKey, epoch: Epoch, change: impl FnOnce(&mut Row)) -> Result<Projection, String> {
    let mut projection = projection(key, &messages(1..=1, epoch))?;
    change(&mut projection.row);
    Ok(projection)
}

/// Every row of a list, page by page.
async fn all(store: &dyn Store, list: RowList, limit: usize) -> Result<Vec<Row>, String> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = ok(store.rows(list, cursor, limit).await)?;
        check(page.rows.len() <= limit, "a page holds at most its limit")?;
        check(page.next.as_ref().is_none_or(|next| next.len() <= 96), "a cursor has at most 96 bytes")?;
        check(page.next.is_none() || !page.rows.is_empty(), "an empty page is the last")?;
        rows.extend(page.rows);
        check(rows.len() < 100_000, "paging comes to an end")?;
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(rows),
        }
    }
}

fn ids(rows: &[Row]) -> Vec<ConversationId> {
    rows.iter().map(|row| row.key.conversation).collect()
}

pub(super) async fn a_row_is_read_as_it_was_projected(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, events) = (key(1, 1), every_kind(store.epoch()));
    // A projection says what the durable log says.
    ok(append(&*store, key, events.clone(), true).await)?;
    for head in 1..=events.len() {
        let state = fold(key, &events[..head])?;
        let row = state.row(head as u64, 1);
        ok(store.project(Projection { row: row.clone(), state, reads: Vec::new(), clear_dirty: false }).await)?;
        same("row", &ok(store.row(key).await)?, &Some(row))?;
    }
    let loaded = ok(store.load(key).await)?.ok_or("it loads")?;
    same("snapshot", &loaded.state, &Some(fold(key, &events)?))
}

pub(super) async fn an_older_projection_never_overwrites_a_newer_one(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, epoch) = (key(1, 1), store.epoch());
    let next = Epoch(epoch.0 + 1);
    let events: Vec<Arc<Event>> = messages(1..=6, epoch);
    ok(append(&*store, key, events.clone(), true).await)?;
    let newer = projection(key, &events[..4])?;
    ok(store.project(newer.clone()).await)?;
    // Lower seq; then the same seq, which may be written again; then a lower seq of a higher epoch, which is newer.
    ok(store.project(projection(key, &events[..3])?).await)?;
    same("row after an older seq", &ok(store.row(key).await)?, &Some(newer.row.clone()))?;
    let loaded = ok(store.load(key).await)?.ok_or("it loads")?;
    same("snapshot after an older seq", &loaded.state, &Some(newer.state.clone()))?;
    let mut again = newer.clone();
    again.row.staff_read = 4;
    ok(store.project(again.clone()).await)?;
    same("row written again", &ok(store.row(key).await)?, &Some(again.row))?;
    let taken_over = projection(key, &messages(1..=2, next))?;
    ok(store.project(taken_over.clone()).await)?;
    same("row of a higher epoch", &ok(store.row(key).await)?, &Some(taken_over.row.clone()))?;
    ok(store.project(projection(key, &events[..6])?).await)?;
    same("row after an older epoch", &ok(store.row(key).await)?, &Some(taken_over.row.clone()))?;
    same("open rows", &all(&*store, RowList::Open(key.workspace), 10).await?, &vec![taken_over.row])
}

pub(super) async fn read_marks_only_move_forward(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (key, other) = (key(1, 1), key(1, 2));
    // The same id on the two sides is two readers.
    const VISITOR: Reader = Reader::Visitor(VisitorId(5));
    const AGENT: Reader = Reader::Agent(MemberId(5));
    type Marks = &'static [(Reader, u64)];
    let steps: [(Marks, Marks); 4] = [
        (&[(VISITOR, 3)], &[(VISITOR, 3)]),
        (&[(VISITOR, 2), (AGENT, 9)], &[(VISITOR, 3), (AGENT, 9)]),
        (&[(VISITOR, 3)], &[(VISITOR, 3), (AGENT, 9)]),
        (&[(AGENT, 10), (VISITOR, 4)], &[(VISITOR, 4), (AGENT, 10)]),
    ];
    for (reads, want) in steps {
        let of_one = projected(key, store.epoch(), |_| ())?;
        ok(store.project(Projection { reads: reads.to_vec(), ..of_one }).await)?;
        let got: BTreeSet<_> = ok(store.reads(key).await)?.into_iter().collect();
        same("read marks", &got, &want.iter().copied().collect::<BTreeSet<_>>())?;
    }
    same("read marks of another", &ok(store.reads(other).await)?, &vec![])
}

pub(super) async fn a_dirty_mark_comes_with_the_append_and_goes_with_the_projection(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let epoch = store.epoch();
    let keys = [key(1, 1), key(1, 2), key(2, 1)];
    for key in keys {
        ok(append(&*store, key, messages(1..=2, epoch), true).await)?;
        ok(append(&*store, key, messages(3..=4, epoch), false).await)?;
    }
    ok(append(&*store, key(3, 3), messages(1..=1, epoch), false).await)?;
    let marks = |store: Arc<dyn Store>| async move {
        let marks = ok(store.dirty().await)?;
        for (shard, key) in &marks {
            same("shard of a mark", shard, &Shard::of(key.workspace, key.conversation))?;
        }
        Ok::<BTreeSet<ConversationKey>, String>(marks.into_iter().map(|(_, key)| key).collect())
    };
    same("marks", &marks(Arc::clone(&store)).await?, &BTreeSet::from(keys))?;
    let whole = projection(keys[0], &messages(1..=4, epoch))?;
    ok(store.project(whole.clone()).await)?;
    same("marks after a projection that keeps them", &marks(Arc::clone(&store)).await?, &BTreeSet::from(keys))?;
    let older = projection(keys[0], &messages(1..=3, epoch))?;
    ok(store.project(Projection { clear_dirty: true, ..older }).await)?;
    same("marks after an older projection", &marks(Arc::clone(&store)).await?, &BTreeSet::from(keys))?;
    ok(store.project(Projection { clear_dirty: true, ..whole }).await)?;
    same("marks after its projection", &marks(Arc::clone(&store)).await?, &BTreeSet::from([keys[1], keys[2]]))?;
    ok(append(&*store, keys[0], messages(5..=5, epoch), true).await)?;
    same("marks after waking", &marks(store).await?, &BTreeSet::from(keys))
}

pub(super) async fn a_row_stands_in_the_lists_of_its_status_only(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let key = key(1, 1);
    let steps = [
        (Status::Queued, None),
        (Status::Assigned, None),
        (Status::Resolved, Some(50)),
        // Resolved anew: its old place in the list is gone.
        (Status::Resolved, Some(90)),
        (Status::Queued, None),
        (Status::Resolved, Some(70)),
    ];
    for (seq, (status, resolved_at)) in (1..).zip(steps) {
        let projection = projected(key, store.epoch(), |row| {
            row.seq = seq;
            row.status = status;
            row.resolved_at = resolved_at.map(Millis);
        })?;
        ok(store.project(projection.clone()).await)?;
        let one = vec![projection.row.clone()];
        let (open, resolved) = if status == Status::Resolved { (vec![], one.clone()) } else { (one.clone(), vec![]) };
        same("open", &all(&*store, RowList::Open(key.workspace), 10).await?, &open)?;
        same("resolved", &all(&*store, RowList::Resolved(key.workspace), 10).await?, &resolved)?;
        let of_visitor = RowList::OfVisitor(key.workspace, projection.row.visitor);
        same("of the visitor", &all(&*store, of_visitor, 10).await?, &one)?;
    }
    Ok(())
}

pub(super) async fn resolved_rows_come_last_resolved_first(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    // Times before 1970 and equal ones too: two of them come in the order of their ids.
    let times = [5, -3, 1_763_838_000_000, 5, 0, i64::MAX];
    for (one, at) in (1..).zip(times) {
        let change = |row: &mut Row| {
            row.status = Status::Resolved;
            row.resolved_at = Some(Millis(at));
        };
        ok(store.project(projected(key(1, one), store.epoch(), change)?).await)?;
    }
    let want: Vec<_> = [6, 3, 1, 4, 5, 2].map(|one| key(1, one).conversation).to_vec();
    for limit in [1, 2, 3, 6, 7] {
        let got = all(&*store, RowList::Resolved(key(1, 1).workspace), limit).await?;
        same(&format!("in pages of {limit}"), &ids(&got), &want)?;
    }
    Ok(())
}

pub(super) async fn a_visitors_rows_come_last_made_first(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    let (mine, other) = (VisitorId(1 << 127), VisitorId(1 << 127 | 1));
    for (one, (visitor, at)) in (1..).zip([(mine, 10), (other, 15), (mine, 30), (mine, 20), (other, 5)]) {
        let change = |row: &mut Row| {
            row.visitor = visitor;
            row.created_at = Millis(at);
        };
        ok(store.project(projected(key(1, one), store.epoch(), change)?).await)?;
    }
    for (visitor, want) in [(mine, vec![3, 4, 1]), (other, vec![2, 5])] {
        let want: Vec<_> = want.into_iter().map(|one| key(1, one).conversation).collect();
        for limit in [1, 10] {
            let list = RowList::OfVisitor(key(1, 1).workspace, visitor);
            same("of a visitor", &ids(&all(&*store, list, limit).await?), &want)?;
        }
    }
    Ok(())
}

pub(super) async fn pages_neither_skip_nor_repeat_while_rows_are_added(factory: &dyn Factory) -> Outcome {
    const OLD: u128 = 60;
    let store = factory.open().await?;
    let epoch = store.epoch();
    let workspace = key(1, 1).workspace;
    let resolved = |at: u128| {
        move |row: &mut Row| {
            row.status = Status::Resolved;
            row.resolved_at = Some(Millis(at as i64));
            row.created_at = Millis(at as i64);
        }
    };
    for one in 0..OLD {
        // Even ones resolved, odd ones open; every second id is left for those that come meanwhile.
        let projection = match one % 2 {
            0 => projected(key(1, one * 2), epoch, resolved(one))?,
            _ => projected(key(1, one * 2), epoch, |row| row.created_at = Millis(one as i64))?,
        };
        ok(store.project(projection).await)?;
    }
    let visitor = ok(store.row(key(1, 0)).await)?.ok_or("a projected row is there")?.visitor;
    for list in [RowList::Open(workspace), RowList::Resolved(workspace), RowList::OfVisitor(workspace, visitor)] {
        let before: BTreeSet<_> = ids(&all(&*store, list, 1_000).await?).into_iter().collect();
        let (mut seen, mut cursor, mut added) = (Vec::new(), None, 0);
        loop {
            let page = ok(store.rows(list, cursor.take(), 7).await)?;
            seen.extend(ids(&page.rows));
            // Rows before, between and behind what was read.
            for at in [0, 20, 40, 59, 200] {
                added += 1;
                let fresh = key(1, (at * 2 + 1) + (added << 12));
                ok(store.project(projected(fresh, epoch, resolved(at))?).await)?;
                let fresh = key(1, (at * 2 + 1) + (added << 12) + (1 << 11));
                ok(store.project(projected(fresh, epoch, |row| row.created_at = Millis(at as i64))?).await)?;
            }
            // Fresh rows sort behind the cursor for as long as they are added: the old ones are what is promised.
            match page.next {
                Some(next) if !before.iter().all(|id| seen.contains(id)) => cursor = Some(next),
                _ => break,
            }
        }
        let old: Vec<_> = seen.iter().filter(|id| before.contains(id)).copied().collect();
        let distinct: BTreeSet<_> = old.iter().copied().collect();
        same(&format!("{list:?}: repeated"), &(old.len() - distinct.len()), &0)?;
        same(&format!("{list:?}: skipped"), &before.difference(&distinct).count(), &0)?;
    }
    Ok(())
}

pub(super) async fn lists_of_one_workspace_never_show_another(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    for workspace in 1..=3 {
        for one in 1..=4 {
            let change = |row: &mut Row| {
                if one % 2 == 0 {
                    row.status = Status::Resolved;
                    row.resolved_at = Some(Millis(one as i64));
                }
            };
            ok(store.project(projected(key(workspace, one), store.epoch(), change)?).await)?;
        }
    }
    for workspace in 1..=3 {
        let id = key(workspace, 1).workspace;
        let visitor = super::scene::VISITOR;
        for (list, count) in [(RowList::Open(id), 2), (RowList::Resolved(id), 2), (RowList::OfVisitor(id, visitor), 4)]
        {
            let rows = all(&*store, list, 3).await?;
            same(&format!("{list:?}"), &rows.len(), &count)?;
            check(rows.iter().all(|row| row.key.workspace == id), "a list holds rows of its workspace only")?;
        }
    }
    Ok(())
}

pub(super) async fn a_cursor_that_the_store_did_not_give_shows_nothing_of_others(factory: &dyn Factory) -> Outcome {
    let store = factory.open().await?;
    for workspace in 1..=2 {
        for one in 1..=3 {
            ok(store.project(projected(key(workspace, one), store.epoch(), |_| ())?).await)?;
        }
    }
    let id = key(1, 1).workspace;
    let cursors =
        [vec![], vec![0], vec![0xFF; 16], vec![0; 16], vec![0; 24], vec![0xFF; 24], vec![0xFF; 96], vec![7; 95]];
    for list in [RowList::Open(id), RowList::Resolved(id), RowList::OfVisitor(id, super::scene::VISITOR)] {
        for cursor in &cursors {
            let page = store.rows(list, Some(cursor.clone()), 10).await.unwrap_or_default();
            check(page.rows.iter().all(|row| row.key.workspace == id), "only rows of the list")?;
        }
    }
    Ok(())
}
