//! A visitor under attack: one session, one conversation, and a diary of all it said and heard.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use bellhop_protocol::{Ack, AuthorKind, Hello, Id, RefusalCode, Refused, Welcome};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::{
    client::{Ended, Manner, Place, run},
    ledger::{Diary, Outcome, Said, words},
    link::{Heard, Link, Parting, Role},
    scene::{Scene, Tally},
    stage::lock,
    valve::Valve,
    visitor,
    wire::{BodyKind, EventHead},
};

pub(crate) enum GuestOrder {
    /// Say something.
    Say,
    /// Say something that was due then; what becomes of it is tallied.
    SayAt(Instant, Arc<Tally>),
}

/// What kind of visitor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Temper {
    /// Bytes of each message.
    pub(crate) bytes: u32,
    /// Says the next as soon as it was answered, while the scene talks.
    pub(crate) eager: bool,
    /// Repeats what was refused for the moment; if not, the refusal is the outcome.
    pub(crate) patient: bool,
}

pub(crate) struct Guest {
    number: u32,
    temper: Temper,
    scene: Arc<Scene>,
    diary: Arc<Mutex<Diary>>,
    valve: Option<Arc<Valve>>,
    token: Option<String>,
    conversation: Option<Id>,
    start: Option<Id>,
    welcomed: bool,
    made: u32,
    timed: HashMap<Id, (Instant, Arc<Tally>)>,
}

impl Guest {
    pub(crate) fn new(number: u32, temper: Temper, scene: Arc<Scene>, valve: Option<Arc<Valve>>) -> Self {
        let diary = Diary { from_the_start: true, ..Diary::default() };
        Self {
            number,
            temper,
            scene,
            diary: Arc::new(Mutex::new(diary)),
            valve,
            token: None,
            conversation: None,
            start: None,
            welcomed: false,
            made: 0,
            timed: HashMap::new(),
        }
    }

    /// Different for each message of each guest; agents' keys have the highest bit.
    fn key(&mut self) -> u64 {
        self.made += 1;
        (u64::from(self.number) << 32) | u64::from(self.made)
    }

    fn note(&mut self, id: Id, key: u64) {
        let said = Said { conversation: self.conversation, key, bytes: self.temper.bytes, outcome: Outcome::Open };
        lock(&self.diary).said.insert(id, said);
    }

    fn say(&mut self, link: &mut Link) -> Option<Id> {
        let conversation = self.conversation?;
        let key = self.key();
        let id = link.send(conversation, words(key, self.temper.bytes));
        self.note(id, key);
        Some(id)
    }
}

impl Role for Guest {
    type Order = GuestOrder;

    async fn hello(&mut self) -> Result<Hello, String> {
        Ok(visitor::hello(self.scene.workspace, self.token.as_ref()))
    }

    fn welcome(&mut self, link: &mut Link, welcome: &Welcome) {
        if welcome.token.is_some() {
            self.token.clone_from(&welcome.token);
        }
        self.welcomed = true;
        self.scene.came();
        link.conversations();
        if self.start.is_none() {
            let key = self.key();
            let id = link.start(words(key, self.temper.bytes), None);
            self.start = Some(id);
            self.note(id, key);
        }
    }

    fn order(&mut self, link: &mut Link, order: GuestOrder) {
        match order {
            GuestOrder::Say => drop(self.say(link)),
            GuestOrder::SayAt(due, tally) => {
                if let Some(id) = self.say(link) {
                    tally.said(link.now().saturating_duration_since(due));
                    // From when it was said: the generator's lateness is tallied apart, and no answer holds it up.
                    self.timed.insert(id, (link.now(), tally));
                }
            }
        }
    }

    fn event(&mut self, _: &mut Link, conversation: Id, event: &EventHead) {
        lock(&self.diary).heard.entry(conversation).or_default().push(event.seq);
        if event.body.kind == BodyKind::Message && event.author.kind == AuthorKind::Agent {
            self.scene.answered();
        }
    }

    fn reset(&mut self, conversation: Id) {
        self.scene.reset();
        let mut diary = lock(&self.diary);
        diary.heard.remove(&conversation);
        diary.from_the_start = false;
    }

    fn ack(&mut self, ack: &Ack) {
        let mut diary = lock(&self.diary);
        if let (Some(said), Some(seq)) = (diary.said.get_mut(&ack.id), ack.seq) {
            said.outcome = Outcome::Acknowledged(seq);
            said.conversation = ack.conversation;
        }
    }

    fn acked(&mut self, link: &mut Link, id: Id, conversation: Option<Id>) {
        if self.start == Some(id)
            && let Some(conversation) = conversation
        {
            self.conversation = Some(conversation);
            self.scene.began(self.number, conversation);
        }
        self.scene.acknowledge();
        if let Some((said, tally)) = self.timed.remove(&id) {
            tally.acknowledged(link.now().saturating_duration_since(said));
        }
        if self.temper.eager && self.scene.talking() {
            self.say(link);
        }
    }

    fn repeats(&mut self, refusal: &Refused) -> bool {
        self.scene.refuse(refusal);
        // `unknown` asks for a repeat: what became of it is not decided. So does a beginning that must be made.
        self.temper.patient
            || refusal.code == RefusalCode::Unknown
            || refusal.id.is_none_or(|id| Some(id) == self.start && self.conversation.is_none())
    }

    fn refused(&mut self, _: &mut Link, refusal: &Refused) {
        if let Some(id) = refusal.id
            && let Some(said) = lock(&self.diary).said.get_mut(&id)
        {
            said.outcome = Outcome::Refused;
        }
        if let Some((_, tally)) = refusal.id.and_then(|id| self.timed.remove(&id)) {
            tally.refused();
        }
        let passing =
            matches!(refusal.code, RefusalCode::Overloaded | RefusalCode::Unavailable | RefusalCode::RateLimited);
        if !passing || self.temper.patient {
            let what = if refusal.id.is_some() { "command" } else { "reading" };
            self.scene
                .stage
                .trouble(format!("a visitor's {what} was refused: {:?}, {}", refusal.code, refusal.message));
        }
    }

    fn parted(&mut self, how: Parting) {
        self.scene.parted(std::mem::take(&mut self.welcomed), how);
    }

    fn valve(&self) -> Option<Arc<Valve>> {
        self.valve.clone()
    }
}

/// A guest's session as its attack holds it. Dropping `orders` lets it leave once all is answered.
pub(crate) struct Seat {
    pub(crate) orders: UnboundedSender<GuestOrder>,
    pub(crate) diary: Arc<Mutex<Diary>>,
    pub(crate) session: tokio::task::JoinHandle<Heard>,
}

/// Lets a guest play; an end that it did not want is trouble.
pub(crate) fn seat(mut guest: Guest, place: &Place, manner: Manner) -> Seat {
    // tidy(every queue is bounded): orders come from the attack's own schedule, which ends
    let (orders, receiver) = unbounded_channel();
    let diary = Arc::clone(&guest.diary);
    let (place, number) = (place.clone(), guest.number);
    let session = tokio::spawn(async move {
        let (ended, heard) = run(&mut guest, receiver, &place, number, manner).await;
        if let Ended::Stopped(why) = ended {
            guest.scene.stage.trouble(why);
        }
        heard
    });
    Seat { orders, diary, session }
}
