//! What fresh readers read when all is over: every log, conversation and list over the API, every log again over
//! sockets as staff and as each visitor, whole and from a cursor.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bellhop_protocol::{
    Ack, As, ClientFrame, Conversations, Hello, Id, Open, Page, Seq, ServerFrame, VERSION, View, decode_server,
    limits::MAX_BATCH_EVENTS,
};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{
    record::{Entry, Last, Record},
    scene::{Scene, Token},
    visit::{Socket, connect, text},
};
use crate::{dice::Dice, rest::Trouble};

/// One answer of a server that has nothing else to do.
const ANSWER: Duration = Duration::from_secs(20);
/// Source addresses of the last readers, above those of the crowd.
const FIRST_SOURCE: u32 = 13_000_000;

/// Reads everything over the API: what the lists show, and whatever else clients heard to be there. Errors are
/// sentences.
pub(super) async fn over_the_api(scene: &Scene, records: &[Record]) -> Result<Last, String> {
    let rest = &scene.rest;
    let said = |what: &str, trouble: Trouble| format!("reading {what} at the end: {trouble}");
    let mut last = Last::default();
    for (view, rows) in
        [(View::Open, &mut last.open), (View::Unassigned, &mut last.unassigned), (View::Resolved, &mut last.resolved)]
    {
        *rows = rest.rows(view).await.map_err(|trouble| said("a list", trouble))?;
    }
    let mut ids: BTreeSet<Id> = last.open.iter().chain(&last.resolved).map(|row| row.id).collect();
    for entry in records.iter().flat_map(|record| &record.entries) {
        if let Entry::Heard(ServerFrame::Ack(Ack { conversation: Some(id), .. })) = entry {
            ids.insert(*id);
        }
    }
    for id in ids {
        let (events, trouble) = rest.events_as_far_as_they_go(id).await;
        match trouble {
            None => {}
            // The checker says what these mean.
            Some(Trouble::Refused { status, .. }) if status.as_u16() == 404 => continue,
            Some(Trouble::Unreadable(why)) => drop(last.unreadable.insert(id, why)),
            Some(trouble) => return Err(said(&format!("the log of {id}"), trouble)),
        }
        last.logs.insert(id, events);
        let conversation = rest.conversation(id).await.map_err(|trouble| said(&format!("{id}"), trouble))?;
        last.conversations.insert(id, conversation);
    }
    Ok(last)
}

/// Reads every log over a socket as staff, and their own as each visitor.
pub(super) async fn over_sockets(
    scene: &Arc<Scene>,
    reader: Id,
    visitors: &[Token],
    last: &Last,
    seed: u64,
) -> Result<Vec<Record>, String> {
    let mut dice = Dice::new(seed);
    let token = scene.rest.socket_token(reader).await.map_err(|trouble| format!("the last reader: {trouble}"))?;
    let mut readers = vec![(As::Agent, "last-staff".to_string(), token)];
    for (number, token) in visitors.iter().enumerate() {
        if let Some(token) = token.get() {
            readers.push((As::Visitor, format!("last-visitor-{number}"), token.clone()));
        }
    }
    let mut records = Vec::new();
    for (number, (who, name, token)) in readers.into_iter().enumerate() {
        let workspace = (who == As::Visitor).then_some(scene.workspace);
        let hello = Hello { v: VERSION, who, workspace, token: Some(token), client: None };
        let socket = connect(&scene.place, FIRST_SOURCE + number as u32, hello, false)
            .await
            .map_err(|error| format!("{name} cannot connect: {error}"))?;
        let record = Record::new(name, who);
        let mut reader = Reader { socket, record, heads: BTreeMap::new() };
        reader.all(last, &mut dice).await.map_err(|error| format!("{}: {error}", reader.record.name))?;
        reader.record.stayed = true;
        records.push(reader.record);
    }
    Ok(records)
}

struct Reader {
    socket: Socket,
    record: Record,
    /// Heads of what was opened.
    heads: BTreeMap<Id, Seq>,
}

impl Reader {
    async fn all(&mut self, last: &Last, dice: &mut Dice) -> Result<(), String> {
        let welcome = self.until(|frame| matches!(frame, ServerFrame::Welcome(_))).await?;
        if let ServerFrame::Welcome(welcome) = welcome {
            self.record.me = Some(welcome.me.id);
        }
        let ids: Vec<Id> = match self.record.who {
            As::Agent => last.logs.keys().copied().collect(),
            As::Visitor => {
                self.say(ClientFrame::Conversations(Conversations {})).await?;
                match self.until(|frame| matches!(frame, ServerFrame::Conversations(_))).await? {
                    ServerFrame::Conversations(rows) => rows.rows.iter().map(|row| row.id).collect(),
                    _ => Vec::new(),
                }
            }
        };
        for id in ids {
            self.backwards(id).await?;
            // Once more from somewhere within, as who comes back.
            let head = self.heads.get(&id).copied().unwrap_or_default();
            let from = last.logs.get(&id).and_then(|log| {
                let theirs = |event: &&bellhop_protocol::Event| {
                    self.record.who == As::Agent || event.audience == bellhop_protocol::Audience::All
                };
                let seqs: Vec<Seq> = log.iter().filter(theirs).map(|event| event.seq).collect();
                seqs.get(dice.below(seqs.len() as u64) as usize).copied()
            });
            if let Some(from) = from.filter(|from| *from <= head) {
                self.forwards(id, from).await?;
            }
        }
        Ok(())
    }

    async fn backwards(&mut self, conversation: Id) -> Result<(), String> {
        self.say(ClientFrame::Open(Open { conversation, after: None })).await?;
        let opened = self.until(|frame| matches!(frame, ServerFrame::Opened(_) | ServerFrame::Refused(_))).await?;
        let ServerFrame::Opened(opened) = opened else { return Ok(()) };
        self.heads.insert(conversation, opened.conversation.head);
        let (mut older, mut first) = (opened.older, opened.events.first().map(|event| event.seq));
        while older && let Some(before) = first {
            let limit = Some(MAX_BATCH_EVENTS as u32);
            self.say(ClientFrame::Page(Page { conversation, before, limit })).await?;
            let page = self.until(|frame| matches!(frame, ServerFrame::Page(_))).await?;
            let ServerFrame::Page(page) = page else { return Ok(()) };
            (older, first) = (page.older, page.events.first().map(|event| event.seq));
        }
        Ok(())
    }

    async fn forwards(&mut self, conversation: Id, from: Seq) -> Result<(), String> {
        let mut after = from;
        loop {
            self.say(ClientFrame::Open(Open { conversation, after: Some(after) })).await?;
            let opened = self.until(|frame| matches!(frame, ServerFrame::Opened(_) | ServerFrame::Refused(_))).await?;
            let ServerFrame::Opened(opened) = opened else { return Ok(()) };
            match opened.events.last() {
                Some(last) if opened.more => after = last.seq,
                _ => return Ok(()),
            }
        }
    }

    async fn say(&mut self, frame: ClientFrame) -> Result<(), String> {
        let message = text(&frame);
        self.record.entries.push(Entry::Said(frame));
        self.socket.send(message).await.map_err(|error| error.to_string())
    }

    /// Writes down what comes until what is waited for, and gives that.
    async fn until(&mut self, awaited: impl Fn(&ServerFrame) -> bool) -> Result<ServerFrame, String> {
        loop {
            let next = timeout(ANSWER, self.socket.next()).await.map_err(|_| "no answer came".to_string())?;
            match next {
                Some(Ok(Message::Text(text))) => {
                    let frame = decode_server(&text).map_err(|bad| bad.to_string())?;
                    self.record.entries.push(Entry::Heard(frame.clone()));
                    if awaited(&frame) {
                        return Ok(frame);
                    }
                    if let ServerFrame::Bye(bye) = frame {
                        return Err(format!("sent away with {}: {}", bye.code.number(), bye.message));
                    }
                }
                Some(Ok(Message::Close(_))) | None => return Err("the connection ended".into()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    }
}
