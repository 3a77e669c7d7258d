//! The line in front of a team, and to whom its conversations are offered. Pure: the queue's actor performs the offers.

use std::collections::{BTreeMap, HashMap};

use super::{ConversationId, MemberId};

/// What the line knows of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentSummary {
    /// Online and available.
    pub reachable: bool,
    /// Conversations held and reserved.
    pub load: u32,
}

#[derive(Debug)]
struct Agent {
    summary: AgentSummary,
    /// Counter value when they last got a conversation or became reachable: the lowest has been idle longest. A
    /// counter and not a clock, which may fall.
    idle_since: u64,
}

#[derive(Debug)]
struct Waiting {
    conversation: ConversationId,
    prefer: Option<MemberId>,
    offered_to: Option<MemberId>,
}

/// An offer: reserve at `member`, then commit in `conversation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub conversation: ConversationId,
    pub number: u64,
    pub member: MemberId,
}

/// The line. Conversations are ordered by their number; agents get the next one by who has been idle longest, below
/// the cap. Who held a conversation before is asked first.
#[derive(Debug, Default)]
pub struct Line {
    waiting: BTreeMap<u64, Waiting>,
    numbers: HashMap<ConversationId, u64>,
    agents: HashMap<MemberId, Agent>,
    turn: u64,
    cap: u32,
}

impl Line {
    pub fn new(cap: u32) -> Self {
        Self { cap, ..Self::default() }
    }

    /// Conversations that one agent gets at most.
    pub fn set_cap(&mut self, cap: u32) {
        self.cap = cap;
    }

    /// A conversation stands in the line now; again with another number replaces.
    pub fn join(&mut self, conversation: ConversationId, number: u64, prefer: Option<MemberId>) {
        self.leave(conversation);
        self.waiting.insert(number, Waiting { conversation, prefer, offered_to: None });
        self.numbers.insert(conversation, number);
    }

    /// It no longer does (assigned, resolved).
    pub fn leave(&mut self, conversation: ConversationId) {
        if let Some(number) = self.numbers.remove(&conversation) {
            self.waiting.remove(&number);
        }
    }

    /// An offer came to nothing; it may be made anew.
    pub fn declined(&mut self, conversation: ConversationId) {
        if let Some(waiting) = self.numbers.get(&conversation).and_then(|number| self.waiting.get_mut(number)) {
            waiting.offered_to = None;
        }
    }

    /// An agent's state changed.
    pub fn agent(&mut self, member: MemberId, summary: AgentSummary) {
        self.turn += 1;
        let turn = self.turn;
        let agent = self.agents.entry(member).or_insert(Agent { summary, idle_since: turn });
        if summary.reachable && !agent.summary.reachable {
            agent.idle_since = turn;
        }
        agent.summary = summary;
    }

    /// A member was removed, or begins anew: what was offered to them may be offered again.
    pub fn forget(&mut self, member: MemberId) {
        self.agents.remove(&member);
        for waiting in self.waiting.values_mut().filter(|it| it.offered_to == Some(member)) {
            waiting.offered_to = None;
        }
    }

    /// Every offer that can be made now, in the line's order. Each counts as load at once, so that one agent is not
    /// offered more than the cap before their own summary says so.
    pub fn offers(&mut self) -> Vec<Offer> {
        let mut offers = Vec::new();
        for (number, waiting) in &mut self.waiting {
            if waiting.offered_to.is_some() {
                continue;
            }
            let free = |agent: &Agent| agent.summary.reachable && agent.summary.load < self.cap;
            let preferred = waiting.prefer.filter(|member| self.agents.get(member).is_some_and(free));
            let longest_idle = || {
                self.agents.iter().filter(|(_, agent)| free(agent)).min_by_key(|(id, agent)| (agent.idle_since, **id))
            };
            let Some(member) = preferred.or_else(|| longest_idle().map(|(id, _)| *id)) else { break };
            self.turn += 1;
            if let Some(agent) = self.agents.get_mut(&member) {
                agent.summary.load += 1;
                agent.idle_since = self.turn;
            }
            waiting.offered_to = Some(member);
            offers.push(Offer { conversation: waiting.conversation, number: *number, member });
        }
        offers
    }

    /// The first `most` conversations in the line's order: place 1 first.
    pub fn places(&self, most: usize) -> impl Iterator<Item = ConversationId> {
        self.waiting.values().take(most).map(|waiting| waiting.conversation)
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAYA: MemberId = MemberId(1);
    const JONAS: MemberId = MemberId(2);

    fn reachable(load: u32) -> AgentSummary {
        AgentSummary { reachable: true, load }
    }

    fn given(line: &mut Line) -> Vec<(u128, u128)> {
        line.offers().into_iter().map(|offer| (offer.conversation.0, offer.member.0)).collect()
    }

    #[test]
    fn conversations_go_in_order_to_who_is_idle_longest_below_the_cap() {
        let mut line = Line::new(2);
        for number in 1..=6 {
            line.join(ConversationId(number), number as u64, None);
        }
        assert_eq!(given(&mut line), [], "nobody is there");
        line.agent(MAYA, reachable(0));
        line.agent(JONAS, reachable(0));
        assert_eq!(given(&mut line), [(1, 1), (2, 2), (3, 1), (4, 2)], "turn by turn, two each");
        line.leave(ConversationId(1));
        line.agent(MAYA, reachable(1));
        assert_eq!(given(&mut line), [(5, 1)]);
        line.agent(JONAS, AgentSummary { reachable: false, load: 0 });
        assert_eq!(given(&mut line), [], "an away agent gets nothing");
    }

    #[test]
    fn who_held_it_before_is_asked_first_and_a_declined_offer_is_made_anew() {
        let mut line = Line::new(5);
        line.agent(MAYA, reachable(0));
        line.agent(JONAS, reachable(0));
        line.join(ConversationId(9), 9, Some(JONAS));
        assert_eq!(given(&mut line), [(9, 2)]);
        assert_eq!(given(&mut line), [], "an open offer is not made twice");
        line.agent(JONAS, AgentSummary { reachable: false, load: 0 });
        line.declined(ConversationId(9));
        assert_eq!(given(&mut line), [(9, 1)], "the preferred one is gone: anyone");
    }

    #[test]
    fn who_returns_to_the_line_with_the_old_number_is_first() {
        let mut line = Line::new(1);
        line.join(ConversationId(7), 7, None);
        line.join(ConversationId(3), 3, None);
        assert_eq!(line.places(10).map(|it| it.0).collect::<Vec<_>>(), [3, 7]);
    }
}
