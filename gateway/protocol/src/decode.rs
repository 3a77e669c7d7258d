//! Reading frames. serde's internally tagged enums copy the whole frame into a tree first; reading `t` alone and then
//! the frame as its own type does not, and names the faulty field in the error.
//!
//! A good frame is passed over twice, a bad one at most five times (kind, frame, faulty field, id, and what each stops
//! at), each in time linear in its bytes and without recursion into what is skipped.

use std::borrow::Cow;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use crate::{ClientFrame, Id, ServerFrame};

/// Characters of a [`BadFrame`]'s sentence, and of its field: both may repeat what was sent.
const MAX_MESSAGE_CHARS: usize = 200;
const MAX_FIELD_CHARS: usize = 64;

/// A frame that could not be read: what is wrong, and the command's id if at least that could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadFrame {
    pub id: Option<Id>,
    /// The field at fault; `None` when the text is no JSON, or no object.
    pub field: Option<String>,
    /// At most 200 characters.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(expecting = "a JSON object whose text field `t` names the kind")]
struct Tag<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Identified {
    id: Id,
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cold]
fn bad(text: &str, field: Option<String>, message: &str) -> BadFrame {
    BadFrame {
        id: serde_json::from_str::<Identified>(text).ok().map(|it| it.id),
        field,
        message: cut(message, MAX_MESSAGE_CHARS),
    }
}

/// What a failed reading as `T` means. Reads once more, this time watching the path, which would slow good frames.
#[cold]
fn unfit<'a, T: Deserialize<'a>>(text: &'a str, error: &serde_json::Error) -> BadFrame {
    let message = error.to_string();
    if !error.is_data() {
        return bad(text, None, &message);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let path = serde_path_to_error::deserialize::<_, T>(&mut reader).err().map(|it| it.path().to_string());
    // Of a field that is missing, or there twice, the sentence alone has the name, in the first backticks.
    let said = || message.split('`').nth(1).filter(|_| message.contains(" field `")).map(str::to_owned);
    let field = path.filter(|it| it != ".").or_else(said).map(|it| cut(&it, MAX_FIELD_CHARS));
    bad(text, field, &message)
}

/// Reads one of `values` by its name at the same place of `names`. serde's own enums take an object (`{"mine": null}`)
/// for a name as well, and call a number no JSON at all. The REST API reads its names by this too.
///
/// # Errors
/// What is said is no text, or none of the names.
pub fn by_name<'de, D: Deserializer<'de>, T: Copy>(
    deserializer: D,
    names: &'static [&'static str],
    values: &[T],
) -> Result<T, D::Error> {
    let said = <Cow<'_, str>>::deserialize(deserializer)?;
    let place = names.iter().position(|name| *name == said);
    place.and_then(|it| values.get(it)).copied().ok_or_else(|| D::Error::unknown_variant(&said, names))
}

fn kind(text: &str) -> Result<Cow<'_, str>, BadFrame> {
    serde_json::from_str::<Tag<'_>>(text).map(|tag| tag.t).map_err(|error| unfit::<Tag<'_>>(text, &error))
}

fn unknown(text: &str, kind: &str) -> BadFrame {
    let message = format!("unknown frame kind t = {:?}; see PROTOCOL.md for the kinds", cut(kind, 32));
    bad(text, Some("t".to_owned()), &message)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, BadFrame> {
    serde_json::from_str(text).map_err(|error| unfit::<T>(text, &error))
}

/// Reads one frame of a client. The error's sentence tells the rule, and its field which one breaks it.
pub fn decode_client(text: &str) -> Result<ClientFrame, BadFrame> {
    Ok(match kind(text)?.as_ref() {
        "hello" => ClientFrame::Hello(read(text)?),
        "start" => ClientFrame::Start(read(text)?),
        "send" => ClientFrame::Send(read(text)?),
        "note" => ClientFrame::Note(read(text)?),
        "assign" => ClientFrame::Assign(read(text)?),
        "resolve" => ClientFrame::Resolve(read(text)?),
        "reopen" => ClientFrame::Reopen(read(text)?),
        "status" => ClientFrame::Status(read(text)?),
        "open" => ClientFrame::Open(read(text)?),
        "close" => ClientFrame::Close(read(text)?),
        "page" => ClientFrame::Page(read(text)?),
        "read" => ClientFrame::Read(read(text)?),
        "typing" => ClientFrame::Typing(read(text)?),
        "conversations" => ClientFrame::Conversations(read(text)?),
        "list" => ClientFrame::List(read(text)?),
        "unlist" => ClientFrame::Unlist(read(text)?),
        "more" => ClientFrame::More(read(text)?),
        "ping" => ClientFrame::Ping(read(text)?),
        other => return Err(unknown(text, other)),
    })
}

/// Reads one frame of a gateway; for clients in Rust (the load test).
pub fn decode_server(text: &str) -> Result<ServerFrame, BadFrame> {
    Ok(match kind(text)?.as_ref() {
        "welcome" => ServerFrame::Welcome(read(text)?),
        "ack" => ServerFrame::Ack(read(text)?),
        "refused" => ServerFrame::Refused(read(text)?),
        "opened" => ServerFrame::Opened(read(text)?),
        "page" => ServerFrame::Page(read(text)?),
        "event" => ServerFrame::Event(read(text)?),
        "read" => ServerFrame::Read(read(text)?),
        "typing" => ServerFrame::Typing(read(text)?),
        "online" => ServerFrame::Online(read(text)?),
        "position" => ServerFrame::Position(read(text)?),
        "team" => ServerFrame::Team(read(text)?),
        "members" => ServerFrame::Members(read(text)?),
        "conversations" => ServerFrame::Conversations(read(text)?),
        "conversation" => ServerFrame::Conversation(read(text)?),
        "list" => ServerFrame::List(read(text)?),
        "changes" => ServerFrame::Changes(read(text)?),
        "list_page" => ServerFrame::ListPage(read(text)?),
        "resync" => ServerFrame::Resync(read(text)?),
        "bye" => ServerFrame::Bye(read(text)?),
        "pong" => ServerFrame::Pong(read(text)?),
        other => return Err(unknown(text, other)),
    })
}
