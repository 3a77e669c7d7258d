use std::sync::Arc;
use std::time::Duration;

use bellhop_engine::domain::{CommandId, ConversationId, MemberId, Millis, Refusal, SessionId, VisitorId, WorkspaceId};
use bellhop_engine::exchange::{Answer, Party, Request, Team, View};
use bellhop_engine::ports::Answers;
use bellhop_protocol::{CloseCode, Hello, limits};

use super::hub::Hub;
use super::session::Place;
use super::{Admission, Later, Limits, Switchboard, convert};
use crate::authenticate::Admitted;

/// Bounds for tests: nothing is limited that a test does not limit itself.
pub(super) fn limits() -> Limits {
    Limits {
        max_sessions: 10_000,
        sessions_per_address: 10_000,
        hellos_per_minute: 1_000_000,
        starts_per_minute: 1_000_000,
        limit_loopback: true,
        frames_per_second: 1_000_000,
        frames_burst: 1_000_000,
        addresses_remembered: 1_000,
        admissions_at_once: 100,
        outbox_bytes: 1 << 20,
        outbox_budget_bytes: 256 << 20,
        hello_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(120),
        reconnect_window: Duration::from_secs(10),
        trusted_proxies: Vec::new(),
    }
}

struct Nobody;

impl Switchboard for Nobody {
    fn connect(&self, _: SessionId, _: &Party) {}
    fn disconnect(&self, _: SessionId, _: &Party, _: &[ConversationId]) {}
    fn submit(&self, _: SessionId, _: &Party, _: Request) -> Result<(), Refusal> {
        Ok(())
    }
    fn start_id(&self, _: WorkspaceId, _: VisitorId, id: CommandId) -> ConversationId {
        ConversationId(id.0)
    }
    fn team(&self, _: WorkspaceId) -> Team {
        Team::default()
    }
}

impl Admission for Nobody {
    fn admit<'a>(&'a self, _: &'a Hello, _: Option<&'a str>) -> Later<'a, Result<Admitted, CloseCode>> {
        Box::pin(async { Err(CloseCode::TokenInvalid) })
    }
    fn set_available(&self, _: WorkspaceId, _: MemberId, _: bool) -> Later<'_, Result<(), Refusal>> {
        Box::pin(async { Ok(()) })
    }
}

/// Sessions without sockets: what is pushed stays in their outboxes.
fn seats(hub: &Arc<Hub>, count: usize) -> Vec<Place> {
    (0..count).map(|_| hub.enter(None)).collect()
}

fn bulk(bytes: usize) -> Answer {
    Answer::ListPage { view: View::Open, rows: Vec::new(), next: Some("x".repeat(bytes)) }
}

#[test]
fn an_answer_is_encoded_once_and_its_bytes_are_shared_by_all() {
    let hub = Hub::new(limits());
    let places = seats(&hub, 100);
    let mut to: Vec<SessionId> = places.iter().map(Place::id).collect();
    to.push(SessionId(0)); // One that is gone is skipped.
    hub.deliver(&to, &Answer::Resync { conversation: ConversationId(7) });
    let texts: Vec<_> = places.iter().flat_map(|place| hub.sessions.get(&place.id()).unwrap().outbox.peek()).collect();
    assert_eq!(texts.len(), 100);
    assert!(texts.iter().all(|text| text.bytes().as_ptr() == texts[0].bytes().as_ptr()), "one buffer");
    assert_eq!(texts[0].words(), format!(r#"{{"t":"resync","conversation":"{}"}}"#, ConversationId(7)));
    drop(places);
    assert_eq!((hub.sessions(), hub.queued_bytes()), (0, 0), "all is given back");
}

#[tokio::test]
async fn the_fullest_are_closed_and_no_more_than_needed() {
    let hub = Hub::new(Limits { outbox_budget_bytes: 1_000_000, ..limits() });
    hub.attach(Nobody, Arc::new(Nobody));
    let places = seats(&hub, 10);
    // 10 KB, 20 KB … 100 KB: 550 KB together.
    for (place, kilobytes) in places.iter().zip(1..) {
        hub.deliver(&[place.id()], &bulk(kilobytes * 10_000));
    }
    assert_eq!(hub.budget.excess(), 0);
    // The last one grows by 480 KB, and the one before it to 280 KB: over the budget.
    hub.deliver(&[places[9].id()], &bulk(300_000));
    hub.deliver(&[places[8].id()], &bulk(190_000));
    let closing = || -> Vec<bool> {
        places.iter().map(|place| hub.sessions.get(&place.id()).unwrap().outbox.closing()).collect()
    };
    for _ in 0..500 {
        if hub.budget.excess() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(closing(), [vec![false; 9], vec![true]].concat(), "the fullest alone was enough");
    assert!(hub.queued_bytes() < 700_000);
}

/// Of an idle session's 1.5 KB (benches/README.md has them one by one) these are ours: the task's own state and what other
/// threads see. The task's cell grows in steps of 128 B.
#[test]
fn a_sessions_own_memory_is_small() {
    let shared = size_of::<super::session::Session>();
    let task = super::session::task_bytes();
    println!("a session: task {task} B, shared {shared} B");
    assert!(task <= 224, "the task's future takes {task} B");
    assert!(shared <= 240, "what other threads see takes {shared} B");
}

#[test]
fn the_bounds_of_engine_and_wire_are_the_same() {
    use bellhop_engine::domain::{MAX_PAGE_BYTES, MAX_TEXT_BYTES};
    assert_eq!(MAX_TEXT_BYTES, limits::MAX_TEXT_BYTES);
    assert_eq!(MAX_PAGE_BYTES, limits::MAX_PAGE_BYTES);
}

#[test]
fn every_refusal_of_the_engine_has_its_code_and_keeps_its_time() {
    let all = [
        (Refusal::TextEmpty, "text_empty"),
        (Refusal::TextTooLong, "text_too_long"),
        (Refusal::TextControl, "text_control"),
        (Refusal::PageBad, "page_bad"),
        (Refusal::NotFound, "not_found"),
        (Refusal::Forbidden, "forbidden"),
        (Refusal::MemberUnknown, "member_unknown"),
        (Refusal::IdReused, "id_reused"),
        (Refusal::Closed, "closed"),
        (Refusal::NotNow, "not_now"),
        (Refusal::RateLimited { retry_after_ms: 1 }, "rate_limited"),
        (Refusal::Overloaded { retry_after_ms: 2 }, "overloaded"),
        (Refusal::Unavailable { retry_after_ms: 3 }, "unavailable"),
        (Refusal::Unknown { retry_after_ms: 4 }, "unknown"),
        (Refusal::ConversationUnavailable, "conversation_unavailable"),
        (Refusal::TooManyOpen, "too_many_open"),
        (Refusal::CursorBad, "cursor_bad"),
    ];
    for (refusal, code) in all {
        let answer = Answer::Refused { id: Some(CommandId(1)), conversation: Some(ConversationId(2)), refusal };
        let text = convert::encode(&answer).unwrap();
        let frame: serde_json::Value = serde_json::from_str(text.words()).unwrap();
        assert_eq!(frame["code"], code);
        assert_eq!(frame["message"], refusal.to_string());
        let timed = matches!(code, "rate_limited" | "overloaded" | "unavailable" | "unknown");
        assert_eq!(frame["retry_after_ms"].is_u64(), timed, "{code}");
    }
    let millis = convert::encode(&Answer::Acknowledged {
        id: CommandId(1),
        conversation: ConversationId(2),
        seq: 3,
        prev: 1,
        at: Millis(4),
        again: true,
    });
    assert_eq!(
        millis.unwrap().words(),
        format!(
            r#"{{"t":"ack","id":"{}","conversation":"{}","seq":3,"prev":1,"at":4,"again":true}}"#,
            CommandId(1),
            ConversationId(2)
        )
    );
}
