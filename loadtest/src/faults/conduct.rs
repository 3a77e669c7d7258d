//! What a guest does next, by its dice: mostly talk, and now and then everything else that a client may do, or that a
//! bad client does.

use bellhop_protocol::{
    Assign, ClientFrame, Id, Note, Read, Reopen, Resolve, Send, SetStatus, Start, Status, limits::MAX_TEXT_BYTES,
};

use super::guest::{Guest, Part};

/// Commands that a guest leaves unanswered at most; further doings wait.
const UNANSWERED: usize = 8;
const WORDS: [&str; 16] = [
    "order", "parcel", "when", "will", "it", "arrive", "thanks", "please", "refund", "größe", "blue", "the", "could",
    "你好", "check", "again",
];

/// What came of a doing, for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Stay,
    /// Break the connection, without a word.
    Drop,
    /// Read nothing for a while.
    Stall,
}

/// Does one thing.
pub(super) fn act(guest: &mut Guest) -> Then {
    if guest.dice.below(1_000) < guest.scene.mood.drops {
        return Then::Drop;
    }
    if matches!(guest.part, Part::Slow { .. }) {
        return Then::Stall;
    }
    if guest.unanswered() >= UNANSWERED {
        return Then::Stay;
    }
    match guest.dice.below(100) {
        0..8 => repeat(guest),
        8..11 => reuse(guest),
        11..16 => read(guest),
        16..18 => reopen_page(guest),
        18..20 => bad_text(guest),
        20..22 => somebody_elses(guest),
        _ if guest.is_visitor() => talk(guest),
        _ => work(guest),
    }
    Then::Stay
}

fn talk(guest: &mut Guest) {
    let begin = guest.follows.is_empty() || guest.dice.below(20) == 0;
    if begin && guest.scene.may_begin() {
        let (id, text) = (guest.ids.next(), text(guest));
        let page = (guest.dice.below(2) == 0).then(|| format!("https://shop.example/{id}"));
        return guest.command(id, ClientFrame::Start(Start { id, text, page }));
    }
    if let Some(conversation) = any(guest, |_| true) {
        send(guest, conversation);
    }
}

fn work(guest: &mut Guest) {
    match guest.dice.below(100) {
        0..20 => {
            let Some(conversation) = any(guest, |_| true) else { return };
            let (id, seen, text) = (guest.ids.next(), guest.seen(conversation), text(guest));
            guest.command(id, ClientFrame::Note(Note { id, conversation, seen, text }));
        }
        20..32 => {
            let Some(conversation) = any(guest, |status| status != Some(Status::Resolved)) else { return };
            let (id, seen) = (guest.ids.next(), guest.seen(conversation));
            let members = guest.scene.members.clone();
            // One in five goes back to the line.
            let to = members.get(guest.dice.below(members.len() as u64 * 5 / 4 + 1) as usize).copied();
            guest.command(id, ClientFrame::Assign(Assign { id, conversation, seen, to }));
        }
        32..40 => {
            let Some(conversation) = any(guest, |_| true) else { return };
            let (id, seen) = (guest.ids.next(), guest.seen(conversation));
            guest.command(id, ClientFrame::Resolve(Resolve { id, conversation, seen }));
        }
        40..47 => {
            let Some(conversation) = any(guest, |status| status == Some(Status::Resolved)) else { return };
            let (id, seen) = (guest.ids.next(), guest.seen(conversation));
            guest.command(id, ClientFrame::Reopen(Reopen { id, conversation, seen }));
        }
        47..49 => {
            let id = guest.ids.next();
            // Mostly at work, so that the line moves.
            let available = guest.dice.below(4) > 0;
            guest.command(id, ClientFrame::Status(SetStatus { id, available }));
        }
        _ => {
            if let Some(conversation) = any(guest, |_| true) {
                send(guest, conversation);
            }
        }
    }
}

fn send(guest: &mut Guest, conversation: Id) {
    let (id, seen, text) = (guest.ids.next(), guest.seen(conversation), text(guest));
    guest.command(id, ClientFrame::Send(Send { id, conversation, seen, text }));
}

/// The same frame again, after a moment or long after.
fn repeat(guest: &mut Guest) {
    if let Some(frame) = old(guest)
        && let Some(id) = id_of(&frame)
    {
        guest.command(id, frame);
    }
}

/// The id of an acknowledged command with other words: to be refused.
fn reuse(guest: &mut Guest) {
    let words = text(guest);
    let frame = match old(guest) {
        Some(ClientFrame::Start(it)) => ClientFrame::Start(Start { text: words, ..it }),
        Some(ClientFrame::Send(it)) => ClientFrame::Send(Send { text: words, ..it }),
        Some(ClientFrame::Note(it)) => ClientFrame::Note(Note { text: words, ..it }),
        _ => return,
    };
    if let Some(id) = id_of(&frame) {
        guest.command(id, frame);
    }
}

fn read(guest: &mut Guest) {
    if let Some(conversation) = any(guest, |_| true) {
        let seq = guest.seen(conversation);
        if seq > 0 {
            guest.say(ClientFrame::Read(Read { conversation, seq }));
        }
    }
}

/// Looks away and back.
fn reopen_page(guest: &mut Guest) {
    if let Some(conversation) = any(guest, |_| true)
        && guest.follows.get(&conversation).is_some_and(|follow| !follow.opening)
    {
        guest.close(conversation);
        guest.open(conversation);
    }
}

fn bad_text(guest: &mut Guest) {
    let text = match guest.dice.below(3) {
        0 => " \u{200b} ".to_string(),
        1 => "bell\u{7}".to_string(),
        _ => "x".repeat(MAX_TEXT_BYTES + 1),
    };
    let id = guest.ids.next();
    if let Some(conversation) = any(guest, |_| true) {
        let seen = guest.seen(conversation);
        guest.command(id, ClientFrame::Send(Send { id, conversation, seen, text }));
    }
}

/// A visitor knocks at a conversation that is not theirs; staff open any.
fn somebody_elses(guest: &mut Guest) {
    let Some(conversation) = guest.scene.clone().somebodys(&mut guest.dice) else { return };
    if guest.follows.contains_key(&conversation) {
        return;
    }
    if guest.is_visitor() && guest.dice.below(2) == 0 {
        let (id, text) = (guest.ids.next(), text(guest));
        guest.command(id, ClientFrame::Send(Send { id, conversation, seen: 0, text }));
    } else {
        guest.open(conversation);
    }
}

/// One of the conversations that are followed, by chance; the later ones more often, so that some get long.
fn any(guest: &mut Guest, fits: impl Fn(Option<Status>) -> bool) -> Option<Id> {
    let ids: Vec<Id> =
        guest.follows.iter().filter(|(_, it)| it.cursor > 0 && fits(it.status)).map(|(id, _)| *id).collect();
    let place = guest.dice.below(ids.len() as u64).min(guest.dice.below(ids.len() as u64));
    ids.get(place as usize).copied()
}

fn old(guest: &mut Guest) -> Option<ClientFrame> {
    let place = guest.dice.below(guest.done.len() as u64) as usize;
    guest.done.get(place).cloned()
}

fn id_of(frame: &ClientFrame) -> Option<Id> {
    match frame {
        ClientFrame::Start(it) => Some(it.id),
        ClientFrame::Send(it) => Some(it.id),
        ClientFrame::Note(it) => Some(it.id),
        ClientFrame::Assign(it) => Some(it.id),
        ClientFrame::Resolve(it) => Some(it.id),
        ClientFrame::Reopen(it) => Some(it.id),
        _ => None,
    }
}

/// Words that nobody else says.
fn text(guest: &mut Guest) -> String {
    let mut text = format!("{} says {}:", guest.record.name, guest.said);
    let long = guest.dice.below(1_000) < guest.scene.mood.long_texts;
    let bytes = if long { 4_000 + guest.dice.below(8_000) } else { 20 + guest.dice.below(150) } as usize;
    while text.len() < bytes {
        text.push(' ');
        text.push_str(WORDS[guest.dice.below(WORDS.len() as u64) as usize]);
    }
    text
}
