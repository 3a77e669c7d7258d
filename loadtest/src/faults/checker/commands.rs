//! What each client asked for and what came of it: G1 and G8 (acknowledged means there), G2 (where it was said to be),
//! G3 (once, and only what somebody sent), G11 (each has an answer; refused means not done).

use std::collections::{BTreeMap, HashMap, VecDeque};

use bellhop_protocol::{
    Ack, As, AuthorKind, Body, ClientFrame, CloseCode, Event, Id, Part, RefusalCode, Seq, ServerFrame,
};

use super::{
    Promise, Verdict,
    log::{Log, Logs, audience},
    place,
};
use crate::faults::record::{Entry, Record};

/// A command's id counts per sender and conversation; `None` stands for a `start`, whose conversation is not known yet.
type Key = (Id, Option<Id>, Id);

/// One saying of a command.
struct Saying<'a> {
    frame: &'a ClientFrame,
    who: As,
    outcome: Outcome<'a>,
    said_at: String,
    answered_at: String,
    /// Whether the connection that it was said on ended with the server's draining.
    drained: bool,
    /// Whether that connection stood until all was quiet.
    stood: bool,
}

#[derive(Clone, Copy)]
enum Outcome<'a> {
    Nothing,
    Acked(&'a Ack),
    Refused(RefusalCode),
}

pub(super) fn check(records: &[Record], logs: &Logs<'_>, verdict: &mut Verdict) {
    let mut cases: BTreeMap<Key, Vec<Saying<'_>>> = BTreeMap::new();
    for record in records {
        collect(record, &mut cases, verdict);
    }
    let effects = effects(logs);
    for (key, sayings) in &cases {
        case(*key, sayings, logs, &effects, verdict);
    }
    nothing_from_nobody(&cases, logs, verdict);
    reads(records, verdict);
}

/// The command's id and the conversation that it names; `None` for what is no command of a conversation.
fn command(frame: &ClientFrame) -> Option<(Option<Id>, Id)> {
    match frame {
        ClientFrame::Start(it) => Some((None, it.id)),
        ClientFrame::Send(it) => Some((Some(it.conversation), it.id)),
        ClientFrame::Note(it) => Some((Some(it.conversation), it.id)),
        ClientFrame::Assign(it) => Some((Some(it.conversation), it.id)),
        ClientFrame::Resolve(it) => Some((Some(it.conversation), it.id)),
        ClientFrame::Reopen(it) => Some((Some(it.conversation), it.id)),
        _ => None,
    }
}

/// Matches sayings with their answers, connection by connection: the answers to one id come in the order of its
/// sayings.
fn collect<'a>(record: &'a Record, cases: &mut BTreeMap<Key, Vec<Saying<'a>>>, verdict: &mut Verdict) {
    let Some(me) = record.me else { return };
    let mut open: Vec<(Key, Saying<'a>)> = Vec::new();
    let mut waiting: HashMap<Id, VecDeque<usize>> = HashMap::new();
    let mut drained = false;
    let mut end = |open: &mut Vec<(Key, Saying<'a>)>, drained: bool, stood: bool, verdict: &mut Verdict| {
        in_order(open, verdict);
        for (key, mut saying) in open.drain(..) {
            (saying.drained, saying.stood) = (drained, stood);
            cases.entry(key).or_default().push(saying);
        }
    };
    for (line, entry) in record.entries.iter().enumerate() {
        match entry {
            Entry::Said(frame) => {
                let Some((conversation, id)) = command(frame) else { continue };
                let said_at = place(&record.name, line);
                waiting.entry(id).or_default().push_back(open.len());
                let answered_at = String::new();
                let (drained, stood, outcome) = (false, false, Outcome::Nothing);
                let saying = Saying { frame, who: record.who, outcome, said_at, answered_at, drained, stood };
                open.push(((me, conversation, id), saying));
            }
            Entry::Heard(ServerFrame::Ack(ack)) => {
                if let Some(index) = waiting.get_mut(&ack.id).and_then(VecDeque::pop_front) {
                    open[index].1.outcome = Outcome::Acked(ack);
                    open[index].1.answered_at = place(&record.name, line);
                }
            }
            Entry::Heard(ServerFrame::Refused(refused)) => {
                let waits = refused.id.and_then(|id| waiting.get_mut(&id)).and_then(VecDeque::pop_front);
                if let Some(index) = waits {
                    verdict.looked.refusals += 1;
                    open[index].1.outcome = Outcome::Refused(refused.code);
                    open[index].1.answered_at = place(&record.name, line);
                }
            }
            Entry::Heard(ServerFrame::Bye(bye)) => drained = bye.code == CloseCode::Draining,
            Entry::Lost => {
                end(&mut open, drained, false, verdict);
                waiting.clear();
                drained = false;
            }
            Entry::Heard(_) => {}
        }
    }
    end(&mut open, drained, record.stayed, verdict);
}

/// Commands of one connection to one conversation take effect in the order in which they were sent.
fn in_order(said: &[(Key, Saying<'_>)], verdict: &mut Verdict) {
    let mut last: HashMap<Id, (Seq, &str)> = HashMap::new();
    for (_, saying) in said {
        let Outcome::Acked(ack) = saying.outcome else { continue };
        let (Some(conversation), Some(seq), false) = (ack.conversation, ack.seq, ack.again) else { continue };
        if let Some((before, at)) = last.get(&conversation)
            && *before >= seq
        {
            let what = format!("said after another command of the same connection, which took seq {before}");
            let shown_by = vec![(*at).to_string(), saying.said_at.clone()];
            verdict.find(Promise::G2, conversation, seq, what, shown_by);
        }
        last.insert(conversation, (seq, &saying.said_at));
    }
}

/// Where in the logs each sender's command ids stand.
fn effects<'a>(logs: &Logs<'a>) -> HashMap<(Id, Id), Vec<(Id, &'a Event)>> {
    let mut effects: HashMap<(Id, Id), Vec<(Id, &Event)>> = HashMap::new();
    for (conversation, log) in logs.iter() {
        for event in log.events() {
            if let (Some(sender), Some(command)) = (event.author.id, event.cmd) {
                effects.entry((sender, command)).or_default().push((conversation, event));
            }
        }
    }
    effects
}

fn case(
    key: Key,
    sayings: &[Saying<'_>],
    logs: &Logs<'_>,
    effects: &HashMap<(Id, Id), Vec<(Id, &Event)>>,
    verdict: &mut Verdict,
) {
    let (sender, conversation, id) = key;
    let of_this = |(place, _): &&(Id, &Event)| conversation.is_none_or(|it| it == *place);
    let there: Vec<(Id, &Event)> = effects.get(&(sender, id)).into_iter().flatten().filter(of_this).copied().collect();
    let said = || sayings.iter().map(|saying| saying.said_at.clone()).collect::<Vec<_>>();
    if let [_, (second, event), ..] = there[..] {
        let what = format!("command {id} took effect {} times", there.len());
        verdict.find(Promise::G3, second, event.seq, what, said());
    }
    let mut first: Option<(&Ack, &Saying<'_>)> = None;
    for saying in sayings {
        match saying.outcome {
            Outcome::Acked(ack) => match first {
                None => {
                    verdict.looked.acknowledged += 1;
                    acknowledged(sender, ack, saying, logs, &there, verdict);
                    first = Some((ack, saying));
                }
                Some((before, earlier)) => {
                    verdict.looked.repeats += 1;
                    alike(before, earlier, ack, saying, verdict);
                }
            },
            Outcome::Nothing if saying.stood => {
                let what = format!("command {id} was never answered, though the connection stood until all was quiet");
                verdict.find(Promise::G11, conversation, None, what, vec![saying.said_at.clone()]);
            }
            Outcome::Refused(code) => {
                refused(code, saying, sayings, &there, verdict);
                denied(sender, code, conversation, saying, logs, verdict);
            }
            Outcome::Nothing => {}
        }
    }
}

/// An acknowledged command stands in the log where its acknowledgement says.
fn acknowledged(
    sender: Id,
    ack: &Ack,
    saying: &Saying<'_>,
    logs: &Logs<'_>,
    there: &[(Id, &Event)],
    verdict: &mut Verdict,
) {
    let (Some(conversation), Some(seq)) = (ack.conversation, ack.seq) else {
        let what = format!("command {} was acknowledged without saying where it stands", ack.id);
        return verdict.find(Promise::G1, None, None, what, vec![saying.answered_at.clone()]);
    };
    let shown_by = vec![saying.said_at.clone(), saying.answered_at.clone()];
    let log = logs.of(conversation);
    let event = log.and_then(|log| log.at(seq));
    let Some(event) = event.filter(|event| event.cmd == Some(ack.id) && event.author.id == Some(sender)) else {
        let (promise, what) = lost(ack.id, event, log, there, saying.drained);
        return verdict.find(promise, conversation, seq, what, shown_by);
    };
    if !same_body(saying.frame, event) {
        let what = format!("command {} stands there with another body", ack.id);
        verdict.find(Promise::G1, conversation, seq, what, shown_by.clone());
    }
    let prev = log.map_or(0, |log| log.prev(seq, audience(saying.who)));
    if ack.at != Some(event.at) || ack.prev != Some(prev) {
        let what = format!(
            "it was acknowledged with prev {:?} and time {:?}, and the log has {prev} and {}",
            ack.prev, ack.at, event.at
        );
        verdict.find(Promise::G2, conversation, seq, what, shown_by);
    }
}

/// What it means that an acknowledged command is not where it should be.
fn lost(
    id: Id,
    instead: Option<&Event>,
    log: Option<&Log<'_>>,
    there: &[(Id, &Event)],
    drained: bool,
) -> (Promise, String) {
    if let Some((_, elsewhere)) = there.first() {
        return (Promise::G2, format!("acknowledged command {id} stands at seq {} instead", elsewhere.seq));
    }
    let promise = if drained { Promise::G8 } else { Promise::G1 };
    let instead = match (log, instead) {
        (None, _) => "its whole conversation is not there",
        (Some(_), None) => "the log has nothing at that seq",
        (Some(_), Some(_)) => "the log has something else at that seq",
    };
    let when = if drained { "; the connection had been told that the server drains" } else { "" };
    (promise, format!("acknowledged command {id} is lost: {instead}{when}"))
}

fn alike(before: &Ack, earlier: &Saying<'_>, ack: &Ack, saying: &Saying<'_>, verdict: &mut Verdict) {
    let shown_by = || vec![earlier.answered_at.clone(), saying.answered_at.clone()];
    let same =
        (before.conversation, before.seq, before.prev, before.at) == (ack.conversation, ack.seq, ack.prev, ack.at);
    if !same {
        let what = format!(
            "a repeat of command {} was acknowledged with seq {:?}, before with {:?}",
            ack.id, ack.seq, before.seq
        );
        verdict.find(Promise::G3, ack.conversation, ack.seq, what, shown_by());
    }
    if !same_request(earlier.frame, saying.frame) {
        let what = format!("command {} was acknowledged again though its body is another", ack.id);
        verdict.find(Promise::G3, ack.conversation, ack.seq, what, shown_by());
    }
}

/// A body that was refused each time it was said stands nowhere.
fn refused(
    code: RefusalCode,
    saying: &Saying<'_>,
    sayings: &[Saying<'_>],
    there: &[(Id, &Event)],
    verdict: &mut Verdict,
) {
    let may_be_there = |other: &Saying<'_>| {
        let refused = matches!(other.outcome, Outcome::Refused(code) if code != RefusalCode::Unknown);
        same_request(other.frame, saying.frame) && !refused
    };
    if sayings.iter().any(may_be_there) {
        return;
    }
    if let Some((conversation, event)) = there.iter().find(|(_, event)| same_body(saying.frame, event)) {
        let what = format!("a command that was refused each time ({code:?}) took effect");
        let shown_by = vec![saying.said_at.clone(), saying.answered_at.clone()];
        verdict.find(Promise::G11, *conversation, event.seq, what, shown_by);
    }
}

/// Staff, and a visitor of their own, are never told that a conversation that is there is not, or cannot be served.
fn denied(
    sender: Id,
    code: RefusalCode,
    conversation: Option<Id>,
    saying: &Saying<'_>,
    logs: &Logs<'_>,
    verdict: &mut Verdict,
) {
    let log = conversation.and_then(|id| logs.of(id));
    let theirs = log.is_some_and(|log| saying.who == As::Agent || log.visitor == Some(sender));
    let shown_by = || vec![saying.said_at.clone(), saying.answered_at.clone()];
    if theirs && code == RefusalCode::NotFound {
        let what = "it is there, and its own reader was told that there is no such conversation";
        verdict.find(Promise::G1, conversation, None, what, shown_by());
    }
    if code == RefusalCode::ConversationUnavailable {
        verdict.find(Promise::G11, conversation, None, "it was held back for an operator", shown_by());
    }
}

/// Every word and deed in the logs was sent by whom it is said to be by.
fn nothing_from_nobody(cases: &BTreeMap<Key, Vec<Saying<'_>>>, logs: &Logs<'_>, verdict: &mut Verdict) {
    for (conversation, log) in logs.iter() {
        for event in log.events() {
            let words = matches!(event.body, Body::Message { .. } | Body::Note { .. });
            let (Some(sender), Some(command)) = (event.author.id, event.cmd) else {
                let begins = matches!(event.body, Body::Started { .. }) && event.seq == 1;
                if words || (event.author.kind != AuthorKind::System && !begins) {
                    let what = "it has an author and no command";
                    verdict.find(Promise::G3, conversation, event.seq, what, Vec::new());
                }
                continue;
            };
            let said = cases.get(&(sender, Some(conversation), command)).into_iter().flatten();
            let started = cases.get(&(sender, None, command)).into_iter().flatten();
            if !said.chain(started).any(|saying| same_body(saying.frame, event)) {
                let what = format!("nobody sent it: {sender} is said to have, by command {command}");
                verdict.find(Promise::G3, conversation, event.seq, what, Vec::new());
            }
        }
    }
}

/// Nobody is said to have read further than they said.
fn reads(records: &[Record], verdict: &mut Verdict) {
    let mut said: HashMap<(Id, Id), Seq> = HashMap::new();
    for record in records {
        let Some(me) = record.me else { continue };
        for entry in &record.entries {
            if let Entry::Said(ClientFrame::Read(read)) = entry {
                let most = said.entry((me, read.conversation)).or_default();
                *most = read.seq.max(*most);
            }
        }
    }
    for record in records {
        for (line, entry) in record.entries.iter().enumerate() {
            let (conversation, marks) = match entry {
                Entry::Heard(ServerFrame::Read(update)) => (update.conversation, std::slice::from_ref(&update.mark)),
                Entry::Heard(ServerFrame::Opened(opened)) => (opened.conversation.id, &opened.conversation.reads[..]),
                _ => continue,
            };
            for mark in marks {
                let most = said.get(&(mark.id, conversation)).copied().unwrap_or_default();
                if mark.seq > most {
                    let what = format!("{} is said to have read up to {}, and said {most}", mark.id, mark.seq);
                    verdict.find(Promise::G3, conversation, mark.seq, what, vec![place(&record.name, line)]);
                }
            }
        }
    }
}

/// The same request, whatever else its sender knew at the time.
fn same_request(one: &ClientFrame, other: &ClientFrame) -> bool {
    match (one, other) {
        (ClientFrame::Start(one), ClientFrame::Start(other)) => (&one.text, &one.page) == (&other.text, &other.page),
        (ClientFrame::Send(one), ClientFrame::Send(other)) => one.text == other.text,
        (ClientFrame::Note(one), ClientFrame::Note(other)) => one.text == other.text,
        (ClientFrame::Assign(one), ClientFrame::Assign(other)) => one.to == other.to,
        (ClientFrame::Resolve(_), ClientFrame::Resolve(_)) | (ClientFrame::Reopen(_), ClientFrame::Reopen(_)) => true,
        _ => false,
    }
}

/// Whether an event is what a command asks for.
fn same_body(frame: &ClientFrame, event: &Event) -> bool {
    let is_text = |parts: &[Part], said: &str| {
        let [Part::Text { text }] = parts else { return false };
        text == said
    };
    match (frame, &event.body) {
        (ClientFrame::Start(it), Body::Message { parts }) => is_text(parts, &it.text),
        (ClientFrame::Send(it), Body::Message { parts }) => is_text(parts, &it.text),
        (ClientFrame::Note(it), Body::Note { parts }) => is_text(parts, &it.text),
        (ClientFrame::Assign(it), Body::Assigned { to, .. }) => it.to == Some(to.id),
        (ClientFrame::Assign(it), Body::Queued { .. }) => it.to.is_none(),
        (ClientFrame::Resolve(_), Body::Resolved {}) | (ClientFrame::Reopen(_), Body::Reopened {}) => true,
        _ => false,
    }
}
