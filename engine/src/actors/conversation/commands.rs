//! Commands: decided on `ahead`, each answered once and in order.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::super::pending::{Entry, Owner};
use super::super::runtime::RETRY_AFTER_MS;
use super::super::slot::{Follower, InHand, Origin, Permit};
use super::Live;
use super::searched::{SEARCHED_COMMANDS, Searched};
use crate::domain::{
    Audience, Command, CommandId, CommandMark, Context, ConversationState, Decision, Event, Issued, MemberId,
    MemberName, Refusal, Remembered, Sender, Seq, SessionId, again, decide,
};
use crate::exchange::{Answer, BATCH_EVENTS, Party};
use crate::ports::{Range, StoreError};
use crate::sabotage::{self, Fault, Spot};

impl Live {
    pub(super) async fn start(
        &mut self,
        session: SessionId,
        party: &Party,
        id: CommandId,
        command: Command,
        permit: Permit,
    ) {
        self.slot.take_in_hand(InHand { session, command: Some(id) });
        let (audience, origin) = (party.audience(), Origin::Session(session));
        let issued = Issued { author: party.author(), id: Some(id), command };
        let mut greets = false;
        if self.durable.is_some() {
            self.open(session, party, None).await;
        } else if matches!(self.decide(&issued), Ok(Decision::Events { .. })) {
            self.slot.follow(Follower { session, audience });
            self.visitor_online = true;
            greets = true;
        }
        let owner = Owner { origin, id: Some(id), audience, greets, _permit: Some(permit) };
        self.command(issued, owner, 0).await;
    }

    pub(super) fn decide(&self, issued: &Issued) -> Result<Decision, Refusal> {
        let context = Context {
            key: self.slot.key,
            now: self.runtime.now(),
            epoch: self.runtime.epoch,
            next_number: self.workroom.as_ref().map_or(0, |room| room.next_number()),
        };
        decide(self.latest(), issued, &context)
    }

    pub(super) async fn command(&mut self, issued: Issued, owner: Owner, seen: Seq) {
        sabotage::trip(Spot::Conversation);
        let decision = match self.before_memory(&issued, seen).await {
            Ok(Some(before)) => before,
            Ok(None) => self.decide(&issued),
            Err(_unreadable) => Err(Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS }),
        };
        match decision {
            Ok(Decision::Events { events, own }) => {
                let mut owner = Some(owner);
                let mut decided = SmallVec::new();
                for (index, event) in events.into_iter().enumerate() {
                    let event = Arc::new(event);
                    self.fold_ahead(&event);
                    if let (Some(searched), Some(command)) = (&mut self.searched, Remembered::of(&event)) {
                        searched.push(command);
                    }
                    let owner = if index == own { owner.take() } else { None };
                    if sabotage::on(Fault::FanOutBeforeDurable) {
                        self.fan_out(&event, None);
                    }
                    self.pending.push(event.seq, Entry::Event { event: Arc::clone(&event), owner });
                    decided.push(event);
                }
                self.gathered.push_back(decided);
            }
            Ok(Decision::Again(before)) => self.acknowledge_again(owner, &before),
            Err(refusal) => self.refuse_owner(owner, refusal),
        }
    }

    /// An assignment to somebody who is not a member: refused, unless it is a repeat from when they were.
    pub(super) async fn repeat_of_assign(
        &mut self,
        session: SessionId,
        party: &Party,
        id: CommandId,
        seen: Seq,
        to: MemberId,
        permit: Permit,
    ) {
        // The hash of an assignment's body is made of the id alone.
        let to = MemberName { id: to, name: Arc::from("") };
        let issued = Issued { author: party.author(), id: Some(id), command: Command::Assign { to } };
        let before = match self.before_memory(&issued, seen).await {
            Ok(Some(before)) => before,
            Ok(None) => self.decide(&issued),
            Err(_unreadable) => Err(Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS }),
        };
        let owner = Owner {
            origin: Origin::Session(session),
            id: Some(id),
            audience: party.audience(),
            greets: false,
            _permit: Some(permit),
        };
        match before {
            Ok(Decision::Again(before)) => self.acknowledge_again(owner, &before),
            Ok(Decision::Events { .. }) => self.refuse_owner(owner, Refusal::MemberUnknown),
            Err(refusal) => self.refuse_owner(owner, refusal),
        }
    }

    /// Looks for the command in the part of the log that the state no longer remembers: between what its sender had
    /// seen when it was made and the oldest remembered command.
    pub(super) async fn before_memory(
        &mut self,
        issued: &Issued,
        seen: Seq,
    ) -> Result<Option<Result<Decision, Refusal>>, StoreError> {
        let (Some(state), Some(id)) = (self.latest(), issued.id) else { return Ok(None) };
        let sender = issued.author.sender();
        if seen >= state.recent_floor || state.remembered(sender, id).is_some() {
            return Ok(None);
        }
        let reaches = self.searched.as_ref().is_some_and(|searched| searched.floor() <= seen);
        let before = match self.searched.as_ref().and_then(|searched| searched.find(sender, id)) {
            Some(before) => Some(*before),
            None if reaches => None,
            None => self.search(sender, id, seen).await?,
        };
        let mark = CommandMark { id, hash: issued.command.body_hash() };
        Ok(before.map(|before| again(&before, mark)))
    }

    /// Reads what lies above `seen` and was not read yet, and keeps it for the next one who asks.
    async fn search(&mut self, sender: Sender, id: CommandId, seen: Seq) -> Result<Option<Remembered>, StoreError> {
        let (durable, pending) = (self.durable_seq(), &self.pending);
        let is_it = |command: &Remembered| command.sender == sender && command.mark.id == id;
        // Decided, forgotten by the state already perhaps, and not in the log yet.
        if let Some(found) = pending.commands().find(is_it) {
            return Ok(Some(found));
        }
        let searched = self.searched.get_or_insert_with(|| {
            let mut searched = Searched::above(durable);
            pending.commands().for_each(|command| searched.push(command));
            searched
        });
        let (mut at, upto) = (seen, searched.floor().min(durable));
        let (mut floor, mut below, mut found) = (seen, VecDeque::new(), None);
        while at < upto {
            let chunk = self.runtime.store.events(self.slot.key, Range::After(at), BATCH_EVENTS).await?;
            let Some(last) = chunk.last().map(|event| event.seq) else { break };
            for command in chunk.iter().filter(|event| event.seq <= upto).filter_map(|event| Remembered::of(event)) {
                if is_it(&command) {
                    found = Some(command);
                }
                below.push_back(command);
                if below.len() > SEARCHED_COMMANDS {
                    floor = below.pop_front().map_or(floor, |oldest| oldest.seq);
                }
            }
            at = last;
        }
        // If more than is kept is on its way, what was read does not join on to it.
        if seen < upto && searched.floor() <= durable {
            searched.extend_down(floor, below.into());
        }
        Ok(found)
    }

    pub(super) fn acknowledge_again(&mut self, owner: Owner, before: &Remembered) {
        match (owner.origin, owner.id) {
            (Origin::Session(session), Some(id)) => {
                let prev = match owner.audience {
                    Audience::All => before.prev_all,
                    Audience::Staff => before.seq - 1,
                };
                let conversation = self.slot.key.conversation;
                let answer =
                    Answer::Acknowledged { id, conversation, seq: before.seq, prev, at: before.at, again: true };
                self.answer_in_order(session, Some(id), answer, owner._permit);
            }
            (Origin::Reservation(member), _) => self.runtime.settle(self.slot.key, member, true),
            _ => {}
        }
    }

    pub(super) fn refuse_owner(&mut self, owner: Owner, refusal: Refusal) {
        match owner.origin {
            Origin::Session(session) => {
                let answer = Answer::Refused { id: owner.id, conversation: Some(self.slot.key.conversation), refusal };
                self.answer_in_order(session, owner.id, answer, owner._permit);
            }
            Origin::Reservation(_) if self.settled() => self.unroute(&owner),
            Origin::Reservation(_) => self.pending.push(self.ahead_seq(), Entry::Unrouted { owner }),
            Origin::Nobody => {}
        }
    }

    pub(super) fn unroute(&self, owner: &Owner) {
        if let Origin::Reservation(member) = owner.origin {
            self.runtime.settle(self.slot.key, member, false);
        }
    }

    /// The state with every decided event.
    fn latest(&self) -> Option<&ConversationState> {
        self.ahead.as_deref().or(self.durable.as_ref())
    }

    fn fold_ahead(&mut self, event: &Event) {
        let key = self.slot.key;
        match (&mut self.ahead, &self.durable) {
            (Some(ahead), _) => ahead.apply(event),
            (ahead, Some(durable)) => ahead.insert(Box::new(durable.clone())).apply(event),
            (ahead, None) => *ahead = Some(Box::new(ConversationState::begin(key, event))),
        }
    }

    pub(super) fn ahead_seq(&self) -> Seq {
        self.latest().map_or(0, |state| state.seq)
    }

    pub(super) fn durable_seq(&self) -> Seq {
        self.durable.as_ref().map_or(0, |state| state.seq)
    }

    pub(super) fn settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// An answer that rests on `ahead` waits until that is durable.
    pub(super) fn answer_in_order(
        &mut self,
        session: SessionId,
        id: Option<CommandId>,
        answer: Answer,
        permit: Option<Permit>,
    ) {
        if self.settled() {
            self.runtime.tell(session, &answer);
            self.slot.put_down(InHand { session, command: id });
        } else {
            self.pending.push(self.ahead_seq(), Entry::Answer { session, id, answer, _permit: permit });
        }
    }

    pub(super) fn refuse(&self, session: SessionId, id: Option<CommandId>, refusal: Refusal) {
        let answer = Answer::Refused { id, conversation: Some(self.slot.key.conversation), refusal };
        self.runtime.tell(session, &answer);
        self.slot.put_down(InHand { session, command: id });
    }
}
