//! The inbox's lists, live: at most four frames of changes a second, a counter that shows what was missed, and pages.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use smallvec::SmallVec;

use super::runtime::{RETRY_AFTER_MS, Runtime};
use super::slot::Permit;
use super::workroom::{Changes, Moved, Workroom};
use crate::domain::{ConversationId, FeedId, MemberId, Place, Refusal, Row, SessionId, Status, in_view, place};
use crate::exchange::{Answer, Counts, LIST_ROWS, View};
use crate::ports::{RowList, StoreError};

/// Four frames a second a view (issue 3).
const BETWEEN_FLUSHES: Duration = Duration::from_millis(250);

/// A page that could not be read is tried again after this long.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Changes remembered for those who come back: at 100 changes a second, 40 s of absence.
const CHANGES_KEPT: usize = 4_096;

/// Beyond this many rows in one frame the first page says it shorter, and stays far from a session's outbox bound.
const MOST_UPSERTS: usize = 500;

pub(crate) enum ListsMessage {
    /// Rows changed since the last look.
    Poke,
    /// The pause after a flush is over.
    Rested,
    /// A request waits in the workroom.
    Asked,
    /// Pages that could not be read are tried again.
    Owed,
}

/// What a session asks of the lists. It waits in the workroom and not in the mailbox, so that a crash loses none.
pub(crate) enum ListsRequest {
    Follow {
        session: SessionId,
        member: MemberId,
        view: View,
        resume: Option<(FeedId, u64)>,
        permit: Permit,
    },
    /// By the way of `Follow`, so that it cannot overtake one.
    Unfollow {
        session: SessionId,
        member: MemberId,
        view: View,
    },
    More {
        session: SessionId,
        member: MemberId,
        view: View,
        after: String,
        permit: Permit,
    },
}

pub(crate) struct ListsActor;

pub(crate) struct ListsArguments {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) workroom: Arc<Workroom>,
    /// Another one for each life of the actor.
    pub(crate) feed: FeedId,
}

/// What a view held of a conversation when it was last told of.
type Membership = (Status, Option<MemberId>);

pub(crate) struct Lists {
    runtime: Arc<Runtime>,
    workroom: Arc<Workroom>,
    feed: FeedId,
    /// Counts flushes.
    at: u64,
    /// Which conversations changed at which flush.
    log: VecDeque<(u64, ConversationId)>,
    /// Changes up to this flush are no longer in the log.
    forgotten: u64,
    /// Open conversations as last told.
    known: HashMap<ConversationId, Membership>,
    mine: HashMap<MemberId, u32>,
    unassigned: u32,
    /// What each followed view was last told.
    told: HashMap<(View, MemberId), (u64, Counts)>,
    resting: bool,
    poked: bool,
    /// Views whose page could not be read: their followers get it when it can.
    owed: BTreeSet<(View, MemberId)>,
    myself: ActorRef<ListsMessage>,
}

impl Actor for ListsActor {
    type Msg = ListsMessage;
    type State = Lists;
    type Arguments = ListsArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let ListsArguments { runtime, workroom, feed } = arguments;
        let mut lists = Lists {
            runtime,
            workroom,
            feed,
            at: 0,
            log: VecDeque::new(),
            forgotten: 0,
            known: HashMap::new(),
            mine: HashMap::new(),
            unassigned: 0,
            told: HashMap::new(),
            resting: false,
            poked: false,
            owed: BTreeSet::new(),
            myself,
        };
        let _included = lists.workroom.take_changes();
        let rows: Vec<Arc<Row>> = lists.workroom.rows.iter().map(|shown| Arc::clone(&shown.row)).collect();
        for row in &rows {
            lists.note(row);
        }
        Ok(lists)
    }

    async fn post_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        lists: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // After a restart the feed is another one: whoever followed gets a page of it.
        let followers: Vec<_> =
            lists.workroom.connected.lock().lists.iter().map(|(key, who)| (*key, who.clone())).collect();
        for ((view, member), sessions) in followers {
            lists.reset(&sessions, view, member).await;
        }
        while let Some(request) = lists.workroom.next_of_lists() {
            lists.serve(request).await;
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        lists: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ListsMessage::Poke if lists.resting => lists.poked = true,
            ListsMessage::Poke => lists.flush(&myself).await,
            ListsMessage::Rested => {
                lists.resting = false;
                if std::mem::take(&mut lists.poked) {
                    lists.flush(&myself).await;
                }
            }
            ListsMessage::Owed => {
                for (view, member) in std::mem::take(&mut lists.owed) {
                    let followers = lists.workroom.connected.lock().lists.get(&(view, member)).cloned();
                    if let Some(sessions) = followers.filter(|it| !it.is_empty()) {
                        lists.reset(&sessions, view, member).await;
                    }
                }
            }
            ListsMessage::Asked => {
                if let Some(request) = lists.workroom.next_of_lists() {
                    lists.serve(request).await;
                }
            }
        }
        Ok(())
    }
}

impl Lists {
    async fn serve(&mut self, request: ListsRequest) {
        match request {
            ListsRequest::Follow { session, member, view, resume, permit: _permit } => {
                self.follow(session, member, view, resume).await;
            }
            ListsRequest::Unfollow { session, member, view } => {
                if let Some(followers) = self.workroom.connected.lock().lists.get_mut(&(view, member)) {
                    followers.retain(|it| *it != session);
                }
            }
            ListsRequest::More { session, member, view, after, permit: _permit } => {
                self.more(session, member, view, &after).await;
            }
        }
    }

    /// Takes a row into the counts; returns what it was before.
    fn note(&mut self, row: &Row) -> Option<Membership> {
        let id = row.key.conversation;
        let assignee = row.assignee.as_ref().map(|it| it.id).filter(|_| row.status == Status::Assigned);
        let before = match row.status {
            Status::Resolved => self.known.remove(&id),
            status => self.known.insert(id, (status, assignee)),
        };
        if let Some(before) = before {
            self.count(before, |count| *count = count.saturating_sub(1));
        }
        if row.status != Status::Resolved {
            self.count((row.status, assignee), |count| *count += 1);
        }
        before
    }

    fn count(&mut self, (status, assignee): Membership, change: impl FnOnce(&mut u32)) {
        match (status, assignee) {
            (Status::Queued, _) => change(&mut self.unassigned),
            (Status::Assigned, Some(member)) => change(self.mine.entry(member).or_default()),
            _ => {}
        }
    }

    fn counts(&self, member: MemberId) -> Counts {
        Counts {
            mine: self.mine.get(&member).copied().unwrap_or_default(),
            unassigned: self.unassigned,
            open: self.known.len() as u32,
        }
    }

    async fn flush(&mut self, myself: &ActorRef<ListsMessage>) {
        self.resting = true;
        let _timer = myself.send_after(BETWEEN_FLUSHES, || ListsMessage::Rested);
        let Changes { refreshed, moved } = self.workroom.take_changes();
        if refreshed.is_empty() && moved.is_empty() {
            return;
        }
        self.at += 1;
        let moved: Vec<(Moved, Option<Membership>)> = moved
            .into_iter()
            .map(|it| {
                let before = self.note(&it.now);
                (it, before)
            })
            .collect();
        let ids = refreshed.iter().copied().chain(moved.iter().map(|(it, _)| it.now.key.conversation));
        self.log.extend(ids.map(|id| (self.at, id)));
        while self.log.len() > CHANGES_KEPT
            && let Some((at, _)) = self.log.pop_front()
        {
            self.forgotten = at;
        }
        let followers: Vec<_> =
            self.workroom.connected.lock().lists.iter().map(|(key, who)| (*key, who.clone())).collect();
        self.told.retain(|key, _| followers.iter().any(|(it, _)| it == key));
        if followers.is_empty() {
            return;
        }
        // One that has moved or was resolved since is told of with the next flush.
        let refreshed: Vec<Arc<Row>> = refreshed.iter().filter_map(|id| self.workroom.open_row(*id)).collect();
        for ((view, member), sessions) in followers {
            let shows = |row: &&Arc<Row>| in_view(row, view, member);
            let mut upserts: Vec<Arc<Row>> = refreshed.iter().filter(shows).cloned().collect();
            let mut removed = Vec::new();
            for (Moved { now, passed }, before) in &moved {
                if in_view(now, view, member) {
                    upserts.push(Arc::clone(now));
                } else if was_in_view(*before, view, member) || passed.iter().any(|row| in_view(row, view, member)) {
                    removed.push(now.key.conversation);
                }
            }
            self.tell(&sessions, view, member, upserts, removed).await;
        }
    }

    async fn tell(
        &mut self,
        sessions: &[SessionId],
        view: View,
        member: MemberId,
        upserts: Vec<Arc<Row>>,
        removed: Vec<ConversationId>,
    ) {
        let counts = self.counts(member);
        let Some((from, told)) = self.told.get(&(view, member)).copied() else {
            return self.reset(sessions, view, member).await;
        };
        if upserts.is_empty() && removed.is_empty() && counts == told {
            return;
        }
        if upserts.len() > MOST_UPSERTS {
            return self.reset(sessions, view, member).await;
        }
        self.told.insert((view, member), (self.at, counts));
        let answer = Answer::Changes { view, feed: self.feed, from, at: self.at, upserts, removed, counts };
        self.runtime.answers.deliver(sessions, &answer);
    }

    /// The first page, for those who follow anew or missed too much.
    async fn reset(&mut self, sessions: &[SessionId], view: View, member: MemberId) {
        let counts = self.counts(member);
        // All followers of a view share what it was last told: a newcomer's page may be newer than that, and a change
        // told again does no harm.
        let at = self.told.entry((view, member)).or_insert((self.at, counts)).0;
        match self.page(view, member, None).await {
            Ok((rows, next)) => {
                let answer = Answer::List { view, feed: self.feed, at, rows, next, counts };
                self.runtime.answers.deliver(sessions, &answer);
            }
            Err(refusal) => {
                // Who asked hears it; who follows gets the page as soon as it can be read.
                self.refuse(sessions, refusal);
                if self.owed.is_empty() {
                    let _timer = self.myself.send_after(TRY_AGAIN_AFTER, || ListsMessage::Owed);
                }
                self.owed.insert((view, member));
            }
        }
    }

    fn refuse(&self, sessions: &[SessionId], refusal: Refusal) {
        self.runtime.answers.deliver(sessions, &Answer::Refused { id: None, conversation: None, refusal });
    }

    async fn follow(&mut self, session: SessionId, member: MemberId, view: View, resume: Option<(FeedId, u64)>) {
        {
            // The session may be gone already: then it stays unfollowed.
            let mut connected = self.workroom.connected.lock();
            if !connected.agents.get(&member).is_some_and(|it| it.contains(&session)) {
                return;
            }
            let followers: &mut SmallVec<[SessionId; 2]> = connected.lists.entry((view, member)).or_default();
            if !followers.contains(&session) {
                followers.push(session);
            }
        }
        let fresh = (self.at, self.counts(member));
        let now = *self.told.entry((view, member)).or_insert(fresh);
        match resume {
            Some((feed, at)) if feed == self.feed && at >= self.forgotten && at <= now.0 => {
                self.catch_up(session, member, view, at).await;
            }
            _ => self.reset(&[session], view, member).await,
        }
    }

    /// What changed since flush `since`, net, for one who comes back.
    async fn catch_up(&mut self, session: SessionId, member: MemberId, view: View, since: u64) {
        let mut ids: Vec<ConversationId> =
            self.log.iter().rev().take_while(|(at, _)| *at > since).map(|(_, id)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        let (mut upserts, mut removed) = (Vec::new(), Vec::new());
        let unwritten = self.workroom.unwritten_resolved();
        for id in ids {
            let row = match self.workroom.open_row(id) {
                Some(row) => Some(row),
                None if unwritten.contains_key(&id) => unwritten.get(&id).cloned(),
                // Not open any more; a stored row that says otherwise is behind its log.
                None => match self.runtime.store.row(self.workroom.key(id)).await {
                    Ok(row) => row.filter(|row| row.status == Status::Resolved).map(Arc::new),
                    Err(_unreadable) => return self.reset(&[session], view, member).await,
                },
            };
            match row {
                Some(row) if in_view(&row, view, member) => upserts.push(row),
                _ => removed.push(id),
            }
        }
        if upserts.len() > MOST_UPSERTS {
            return self.reset(&[session], view, member).await;
        }
        let at = self.told.get(&(view, member)).map_or(self.at, |it| it.0);
        let counts = self.counts(member);
        let answer = Answer::Changes { view, feed: self.feed, from: since, at, upserts, removed, counts };
        self.runtime.tell(session, &answer);
    }

    async fn more(&mut self, session: SessionId, member: MemberId, view: View, after: &str) {
        match self.page(view, member, Some(after)).await {
            Ok((rows, next)) => self.runtime.tell(session, &Answer::ListPage { view, rows, next }),
            Err(refusal) => self.refuse(&[session], refusal),
        }
    }

    async fn page(
        &self,
        view: View,
        member: MemberId,
        after: Option<&str>,
    ) -> Result<(Vec<Arc<Row>>, Option<String>), Refusal> {
        match page(&self.runtime, &self.workroom, view, member, after, LIST_ROWS).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "a list cannot be read");
                Err(Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS })
            }
        }
    }
}

/// Whether a view showed a conversation that was so before.
fn was_in_view(before: Option<Membership>, view: View, me: MemberId) -> bool {
    match (view, before) {
        (View::Mine, Some((_, assignee))) => assignee == Some(me),
        (View::Unassigned, Some((status, _))) => status == Status::Queued,
        (View::Open, Some(_)) => true,
        // Not known as open: it is new, or it was resolved. Removing what is not there does no harm.
        (View::Resolved, None) => true,
        _ => false,
    }
}

/// Rows of a view after a cursor, and the cursor to go on with.
pub(crate) type Rows = Result<(Vec<Arc<Row>>, Option<String>), Refusal>;

/// One page of a view: open ones from memory, resolved ones from the store.
pub(crate) async fn page(
    runtime: &Runtime,
    workroom: &Workroom,
    view: View,
    member: MemberId,
    after: Option<&str>,
    limit: usize,
) -> Result<Rows, StoreError> {
    if view == View::Resolved {
        let after = match after.map(from_hex) {
            None => None,
            Some(Some(cursor)) => Some(cursor),
            Some(None) => return Ok(Err(Refusal::CursorBad)),
        };
        return resolved(runtime, workroom, after, limit).await.map(Ok);
    }
    let after = match after.map(Place::parse) {
        None => None,
        Some(Some(place)) => Some(place),
        Some(None) => return Ok(Err(Refusal::CursorBad)),
    };
    let mut rows: Vec<(Place, Arc<Row>)> = workroom
        .rows
        .iter()
        .filter(|shown| in_view(shown, view, member))
        .map(|shown| (place(&shown, view), Arc::clone(&shown.row)))
        .filter(|(place, _)| after.as_ref().is_none_or(|after| place.is_after(after)))
        .collect();
    rows.sort_unstable_by_key(|(place, _)| *place);
    let next = (rows.len() > limit).then(|| rows[limit - 1].0.cursor());
    rows.truncate(limit);
    Ok(Ok((rows.into_iter().map(|(_, row)| row).collect(), next)))
}

/// A page of the resolved ones, as the store has them and as the conversations have said since.
async fn resolved(
    runtime: &Runtime,
    workroom: &Workroom,
    after: Option<Vec<u8>>,
    limit: usize,
) -> Result<(Vec<Arc<Row>>, Option<String>), StoreError> {
    let first = after.is_none();
    let page = runtime.store.rows(RowList::Resolved(workroom.id), after, limit).await?;
    let mut unwritten = workroom.unwritten_resolved();
    // Open again, or resolved again since: the store is behind.
    let is_behind = |row: &Row| {
        let id = row.key.conversation;
        workroom.rows.contains_key(&id) || unwritten.get(&id).is_some_and(|newer| newer.seq > row.seq)
    };
    let stored = page.rows.into_iter().filter(|row| !is_behind(row)).map(Arc::new);
    let mut rows: Vec<Arc<Row>> = stored.collect();
    // Resolved a moment ago, so they stand at the head; those who come later than this page have heard of them.
    if first {
        unwritten.retain(|id, _| !workroom.rows.contains_key(id) && rows.iter().all(|row| row.key.conversation != *id));
        rows.extend(unwritten.into_values());
        rows.sort_by_key(|row| place(row, View::Resolved));
    }
    Ok((rows, page.next.map(|cursor| to_hex(&cursor))))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) || text.len() > 192 {
        return None;
    }
    // Only what `to_hex` writes: `from_str_radix` would take a sign and capitals as well.
    if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
