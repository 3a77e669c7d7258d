//! Lists: each conversation stands in those that its row says, once, in its place, and nothing else stands there.
//!
//! A list is compared with the rows by how many there are and by a sum over their ids, so that memory holds two numbers
//! a list however long it is. Only when they differ are the ids themselves looked at, a bounded part at a time.

use std::collections::HashSet;

use bellhop_engine::domain::{ConversationKey, Row, Status, WorkspaceId};
use bellhop_engine::ports::{RowList, Store, StoreError};

use super::{Finding, PAGE, Report, again, ask};

/// How many ids, and their sum: equal for equal sets, and for others only by chance (1 in 2^128).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) count: u64,
    sum: u128,
}

impl Sum {
    fn put(&mut self, id: u128) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(mixed(id));
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// Ids are random; whoever numbers them 1, 2, 3 shall not find that 1 + 4 is 2 + 3. (An odd factor and a shift, twice:
/// the way of splitmix64, with the golden ratio's bits.)
fn mixed(id: u128) -> u128 {
    const FACTOR: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
    let id = (id ^ (id >> 61)).wrapping_mul(FACTOR);
    (id ^ (id >> 57)).wrapping_mul(FACTOR)
}

/// What the rows of a workspace say of its lists.
#[derive(Debug, Default)]
pub(super) struct Tally {
    open: Sum,
    resolved: Sum,
    /// Rows at all: each stands in its visitor's list.
    rows: Sum,
    /// What stands in visitors' lists.
    visitors: Sum,
}

impl Tally {
    pub(super) fn count(&mut self, key: ConversationKey, row: Option<Row>, visitors: Sum) {
        self.visitors.add(visitors);
        if let Some(row) = row {
            self.rows.put(key.conversation.0);
            match row.status {
                Status::Queued | Status::Assigned => self.open.put(key.conversation.0),
                Status::Resolved => self.resolved.put(key.conversation.0),
            }
        }
    }
}

fn is_in(list: RowList, row: &Row) -> bool {
    match list {
        RowList::Open(workspace) => row.key.workspace == workspace && row.status != Status::Resolved,
        RowList::Resolved(workspace) => row.key.workspace == workspace && row.status == Status::Resolved,
        RowList::OfVisitor(workspace, visitor) => row.key.workspace == workspace && row.visitor == visitor,
    }
}

/// Where a row stands in a list that has an order of its own; lower comes first.
fn place(list: RowList, row: &Row) -> Option<(std::cmp::Reverse<i64>, u128)> {
    let at = match list {
        RowList::Open(_) => return None,
        RowList::Resolved(_) => row.resolved_at.map_or(i64::MIN, |at| at.0),
        RowList::OfVisitor(..) => row.created_at.0,
    };
    Some((std::cmp::Reverse(at), row.key.conversation.0))
}

fn name(list: RowList) -> &'static str {
    match list {
        RowList::Open(_) => "open conversations",
        RowList::Resolved(_) => "resolved conversations",
        RowList::OfVisitor(..) => "a visitor's conversations",
    }
}

/// Goes over a list; `at_each` sees every row. What is wrong with it, if it is not as a list must be.
async fn walk(store: &dyn Store, list: RowList, mut at_each: impl FnMut(&Row)) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let mut last = None;
    let mut after = None;
    loop {
        let page = match ask(|| store.rows(list, after.clone(), PAGE)).await? {
            Ok(page) => page,
            Err(what) => {
                faults.push(format!("the list of {} cannot be read: {what}", name(list)));
                return Ok(faults);
            }
        };
        for row in &page.rows {
            let id = row.key.conversation;
            if !is_in(list, row) {
                faults.push(format!("the list of {} holds {id}, which does not belong there", name(list)));
            }
            let place = place(list, row);
            if place.is_some() && place <= last {
                faults.push(format!("the list of {} holds {id} twice or out of its order", name(list)));
            }
            last = place;
            at_each(row);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(faults),
        }
    }
}

/// The list of a row's visitor, if the row stands first in it: its entries, and what is wrong with it.
pub(super) async fn of_visitor(store: &dyn Store, row: &Row) -> Result<(Sum, Vec<String>), StoreError> {
    let list = RowList::OfVisitor(row.key.workspace, row.visitor);
    let first = match ask(|| store.rows(list, None, 1)).await? {
        Ok(page) => page.rows.into_iter().next(),
        Err(what) => return Ok((Sum::default(), vec![format!("the list of its visitor cannot be read: {what}")])),
    };
    let mut sum = Sum::default();
    if first.is_none_or(|first| first.key != row.key) {
        return Ok((sum, Vec::new()));
    }
    let faults = walk(store, list, |row| sum.put(row.key.conversation.0)).await?;
    Ok((sum, faults))
}

/// Holds a workspace's lists against its rows.
pub(super) async fn check(
    store: &dyn Store,
    workspace: WorkspaceId,
    tally: &Tally,
    report: &mut Report<'_>,
) -> Result<(), StoreError> {
    let mut of_list = |what: String| report.finding(&Finding { workspace, conversation: None, what });
    let mut differing = Vec::new();
    for (list, wanted) in [(RowList::Open(workspace), tally.open), (RowList::Resolved(workspace), tally.resolved)] {
        let mut listed = Sum::default();
        walk(store, list, |row| listed.put(row.key.conversation.0)).await?.into_iter().for_each(&mut of_list);
        if listed != wanted {
            differing.push((list, listed.count.max(wanted.count)));
        }
    }
    let before = report.findings;
    for (list, count) in differing {
        name_differences(store, workspace, list, count, report).await?;
    }
    if tally.visitors != tally.rows {
        name_missing_of_visitors(store, workspace, report).await?;
        if report.findings == before {
            let what = "lists of visitors hold what no conversation bears out".to_owned();
            report.finding(&Finding { workspace, conversation: None, what });
        }
    }
    Ok(())
}

/// Ids held at a time while differences are named: 32 MB of them.
const HELD: u64 = 1_000_000;

/// Says which rows are missing in a list, and which entries no conversation bears out.
async fn name_differences(
    store: &dyn Store,
    workspace: WorkspaceId,
    list: RowList,
    count: u64,
    report: &mut Report<'_>,
) -> Result<(), StoreError> {
    let parts = u128::from(count.div_ceil(HELD).max(1));
    for part in 0..parts {
        let mut listed = HashSet::new();
        walk(store, list, |row| {
            if mixed(row.key.conversation.0) % parts == part {
                listed.insert(row.key.conversation);
            }
        })
        .await?;
        let mut after = None;
        loop {
            let page = again(|| store.conversations(after.clone(), PAGE)).await?;
            for key in page.keys.into_iter().filter(|key| key.workspace == workspace) {
                if mixed(key.conversation.0) % parts != part || listed.remove(&key.conversation) {
                    continue;
                }
                // One without a row was told before.
                if let Ok(Some(row)) = ask(|| store.row(key)).await?
                    && is_in(list, &row)
                {
                    report.found(key, format!("it is missing in the list of {}", name(list)));
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        for conversation in listed {
            let key = ConversationKey { workspace, conversation };
            report.found(key, format!("it has no log and stands in the list of {}", name(list)));
        }
    }
    Ok(())
}

/// Says which rows are missing in their visitors' lists.
async fn name_missing_of_visitors(
    store: &dyn Store,
    workspace: WorkspaceId,
    report: &mut Report<'_>,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = again(|| store.conversations(after.clone(), PAGE)).await?;
        for key in page.keys.into_iter().filter(|key| key.workspace == workspace) {
            let Ok(Some(row)) = ask(|| store.row(key)).await? else { continue };
            let mut there = false;
            walk(store, RowList::OfVisitor(workspace, row.visitor), |row| there |= row.key == key).await?;
            if !there {
                report.found(key, "it is missing in the list of its visitor's conversations".to_owned());
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}
