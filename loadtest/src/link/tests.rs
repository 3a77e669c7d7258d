use std::time::{Duration, Instant};

use bellhop_protocol::{Hello, Id, Refused, Welcome};

use super::{Link, Role};
use crate::{dice::Ids, wire::EventHead};

#[derive(Default)]
struct Listener {
    events: Vec<u64>,
    acked: Vec<Id>,
    refused: usize,
}

impl Role for Listener {
    type Order = ();
    async fn hello(&mut self) -> Result<Hello, String> {
        Err("not asked here".into())
    }
    fn welcome(&mut self, _: &mut Link, _: &Welcome) {}
    fn order(&mut self, _: &mut Link, (): ()) {}
    fn event(&mut self, _: &mut Link, _: Id, event: &EventHead) {
        self.events.push(event.seq);
    }
    fn acked(&mut self, _: &mut Link, id: Id, _: Option<Id>) {
        self.acked.push(id);
    }
    fn refused(&mut self, _: &mut Link, _: &Refused) {
        self.refused += 1;
    }
}

struct Bench {
    link: Link,
    role: Listener,
}

const C: &str = "00000000000000000000000000000009";

impl Bench {
    fn new() -> Self {
        let mut bench = Self { link: Link::new(Ids::new().unwrap(), Instant::now()), role: Listener::default() };
        bench.welcome();
        bench
    }

    fn welcome(&mut self) {
        let face = r#"{"id":"00000000000000000000000000000001","name":"x"}"#;
        let text = format!(
            r#"{{"t":"welcome","as":"agent","me":{face},"workspace":{face},"now":1,"heartbeat_ms":45000,"max_text_bytes":9}}"#
        );
        self.take(&text);
    }

    fn take(&mut self, text: &str) {
        assert_eq!(self.link.take(text, &mut self.role), Ok(None));
    }

    fn event(&mut self, seq: u64, prev: u64) {
        let event = event(seq, prev);
        self.take(&format!(r#"{{"t":"event","conversation":"{C}","event":{event}}}"#));
    }

    fn opened(&mut self, events: &[(u64, u64)], extra: &str, more: bool) {
        let events: Vec<String> = events.iter().map(|(seq, prev)| event(*seq, *prev)).collect();
        let events = events.join(",");
        self.take(&format!(
            r#"{{"t":"opened","conversation":{{"id":"{C}"}}{extra},"events":[{events}],"older":false,"more":{more}}}"#
        ));
    }

    fn said(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.link.next_out()).map(|frame| frame.as_str().to_string()).collect()
    }
}

fn event(seq: u64, prev: u64) -> String {
    format!(
        r#"{{"seq":{seq},"prev":{prev},"at":1,"author":{{"kind":"visitor"}},"audience":"all","body":{{"kind":"message","parts":[]}}}}"#
    )
}

fn conversation() -> Id {
    Id::parse(C).unwrap()
}

#[test]
fn every_event_is_given_once_and_in_order() {
    let mut bench = Bench::new();
    bench.link.open(conversation());
    assert_eq!(bench.said(), [format!(r#"{{"t":"open","conversation":"{C}"}}"#)]);
    bench.opened(&[(1, 0), (2, 1)], r#","reset":"first""#, false);
    bench.event(2, 1);
    bench.event(3, 2);
    bench.event(5, 4);
    assert_eq!(bench.said(), [format!(r#"{{"t":"open","conversation":"{C}","after":3}}"#)]);
    bench.event(6, 5);
    assert!(bench.said().is_empty(), "one open at a time");
    bench.opened(&[(4, 3), (5, 4)], "", true);
    assert_eq!(bench.said(), [format!(r#"{{"t":"open","conversation":"{C}","after":5}}"#)]);
    bench.opened(&[(6, 5)], "", false);
    assert_eq!(bench.role.events, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn an_unanswered_command_is_repeated_as_it_was_after_the_open() {
    let mut bench = Bench::new();
    bench.link.open(conversation());
    bench.opened(&[(1, 0)], r#","reset":"first""#, false);
    bench.said();
    bench.link.send(conversation(), "a".into());
    let first = bench.said();
    assert!(first[0].contains(r#""seen":1"#));
    bench.link.lost();
    let second = bench.link.send(conversation(), "b".into());
    assert!(bench.said().is_empty(), "nothing is said without a connection");
    bench.welcome();
    let said = bench.said();
    assert_eq!(said.len(), 3);
    assert!(said[0].contains(r#""after":1"#));
    assert_eq!(said[1], first[0]);
    assert!(said[2].contains(&second.to_string()));
}

#[test]
fn an_acknowledgement_stands_for_its_event_and_counts_once() {
    let mut bench = Bench::new();
    bench.link.open(conversation());
    bench.opened(&[(1, 0)], r#","reset":"first""#, false);
    let id = bench.link.send(conversation(), "a".into());
    bench.said();
    let ack = format!(r#"{{"t":"ack","id":"{id}","conversation":"{C}","seq":2,"prev":1,"at":1}}"#);
    bench.take(&ack);
    bench.take(&ack);
    bench.event(3, 2);
    assert_eq!((bench.role.acked.len(), bench.role.events.as_slice()), (1, &[1, 3][..]));
    assert!(bench.said().is_empty());
    // A repeat's answer, for something beyond the log here: the log is asked for.
    let id = bench.link.send(conversation(), "b".into());
    bench.said();
    bench.take(&format!(r#"{{"t":"ack","id":"{id}","conversation":"{C}","seq":4,"prev":3,"at":1,"again":true}}"#));
    assert_eq!(bench.said(), [format!(r#"{{"t":"open","conversation":"{C}","after":3}}"#)]);
}

#[test]
fn passing_refusals_are_repeated_when_they_say_and_final_ones_reported() {
    let mut bench = Bench::new();
    let id = bench.link.send(conversation(), "a".into());
    let first = bench.said();
    bench.take(&format!(r#"{{"t":"refused","id":"{id}","code":"overloaded","message":"","retry_after_ms":1000}}"#));
    let now = bench.link.now();
    bench.link.set_now(now + Duration::from_millis(999));
    bench.link.tick();
    assert!(bench.said().is_empty());
    bench.link.set_now(now + Duration::from_millis(1000));
    bench.link.tick();
    assert_eq!(bench.said(), first);
    bench.link.leave();
    assert!(!bench.link.left());
    bench.take(&format!(r#"{{"t":"refused","id":"{id}","code":"closed","message":""}}"#));
    assert_eq!(bench.role.refused, 1);
    assert!(bench.link.left());
}

#[test]
fn nobody_leaves_while_what_they_asked_to_read_is_on_its_way() {
    let mut bench = Bench::new();
    bench.link.open(conversation());
    bench.said();
    bench.link.leave();
    assert!(!bench.link.left(), "its events are on their way");
    let refusal = r#""code":"unavailable","message":"","retry_after_ms":500}"#;
    bench.take(&format!(r#"{{"t":"refused","conversation":"{C}",{refusal}"#));
    assert!(!bench.link.left(), "it asks again");
    let now = bench.link.now();
    bench.link.set_now(now + Duration::from_millis(500));
    bench.link.tick();
    bench.said();
    bench.opened(&[(4, 3)], r#","reset":"first""#, false);
    assert!(bench.link.left());
}

#[test]
fn an_idle_session_pings_at_the_heartbeat() {
    let mut bench = Bench::new();
    let now = bench.link.now();
    bench.link.set_now(now + Duration::from_secs(46));
    bench.link.tick();
    assert_eq!(bench.said(), [r#"{"t":"ping"}"#]);
    bench.link.tick();
    assert!(bench.said().is_empty());
}

#[test]
fn a_frame_that_breaks_the_contract_is_an_error_and_an_unknown_kind_is_not() {
    let mut bench = Bench::new();
    assert!(bench.link.take(r#"{"t":"ack"}"#, &mut bench.role).unwrap_err().contains("breaks the contract"));
    bench.take(r#"{"t":"sparkle"}"#);
}

#[test]
fn what_is_left_out_without_a_word_is_counted_and_what_is_announced_is_not() {
    let mut bench = Bench::new();
    bench.link.open(conversation());
    bench.opened(&[(4, 3), (5, 4)], r#","reset":"first""#, false);
    bench.event(6, 5);
    assert_eq!(bench.link.heard().gaps, 0);
    bench.event(8, 7);
    assert_eq!(bench.link.heard().gaps, 1, "7 is missing on a connection that was whole");
    bench.event(9, 8);
    bench.opened(&[(7, 6), (8, 7), (9, 8)], "", false);
    assert_eq!(bench.link.heard().gaps, 1, "once, and its repair is none");
    bench.take(&format!(r#"{{"t":"resync","conversation":"{C}"}}"#));
    bench.event(12, 11);
    bench.opened(&[(10, 9), (11, 10), (12, 11)], "", false);
    assert_eq!(bench.link.heard().gaps, 1, "the gateway said that live frames may be lost");
    // After coming back, an acknowledgement may overtake the rest of a long answer.
    bench.link.lost();
    let id = bench.link.send(conversation(), "a".into());
    bench.welcome();
    bench.opened(&[(13, 12)], "", true);
    bench.take(&format!(r#"{{"t":"ack","id":"{id}","conversation":"{C}","seq":15,"prev":14,"at":1}}"#));
    bench.opened(&[(14, 13), (15, 14)], "", false);
    assert_eq!(bench.link.heard().gaps, 1);
    bench.link.lost();
    bench.welcome();
    bench.opened(&[(18, 17)], "", false);
    assert_eq!(bench.link.heard().gaps, 2, "an answer that does not join on to what was asked for");
}
