//! An agent: one session that carries many conversations, subscribed as the inbox is (the list mine and the one that is
//! looked at, each conversation that it holds, receipts).

use std::{collections::HashMap, sync::Arc};

use bellhop_protocol::{As, AuthorKind, Hello, Id, Refused, Status, VERSION, View, Welcome};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    link::{Link, Role},
    rest::Rest,
    stage::Stage,
    talk::{Next, Talk},
    transcript::Side,
    wire::{BodyKind, EventHead, RowHead},
};

pub(crate) enum AgentOrder {
    /// The next turn of this conversation is its agent's.
    Play(Arc<Talk>),
    Leave,
}

pub(crate) struct Agent {
    member: Id,
    rest: Arc<Rest>,
    stage: Arc<Stage>,
    /// The other end of this session's orders, for the conversations that it takes on.
    orders: UnboundedSender<AgentOrder>,
    talks: HashMap<Id, Arc<Talk>>,
}

impl Agent {
    pub(crate) fn new(member: Id, rest: Arc<Rest>, stage: Arc<Stage>, orders: UnboundedSender<AgentOrder>) -> Self {
        Self { member, rest, stage, orders, talks: HashMap::new() }
    }

    fn talk(&mut self, conversation: Id, cmd: Option<Id>) -> Option<Arc<Talk>> {
        if let Some(talk) = self.talks.get(&conversation) {
            return Some(Arc::clone(talk));
        }
        let talk = self.stage.find(conversation, cmd)?;
        talk.held_by(&self.orders);
        self.talks.insert(conversation, Arc::clone(&talk));
        Some(talk)
    }

    fn drop_if_over(&mut self, link: &mut Link, conversation: Id) {
        if self.talks.get(&conversation).is_none_or(|talk| talk.is_over()) {
            self.talks.remove(&conversation);
            link.close(conversation);
        }
    }
}

impl Role for Agent {
    type Order = AgentOrder;

    async fn hello(&mut self) -> Result<Hello, String> {
        // Good for 60 s, so a new one for every connection.
        let token = self.rest.socket_token(self.member).await.map_err(|trouble| trouble.to_string())?;
        Ok(Hello {
            v: VERSION,
            who: As::Agent,
            workspace: None,
            token: Some(token),
            client: Some(concat!("bellhop-loadtest/", env!("CARGO_PKG_VERSION")).into()),
        })
    }

    fn welcome(&mut self, link: &mut Link, welcome: &Welcome) {
        for view in [View::Mine, View::Unassigned] {
            link.list(view);
        }
        if welcome.available == Some(true) {
            self.stage.agent_ready();
        } else {
            link.available();
        }
    }

    fn order(&mut self, link: &mut Link, order: AgentOrder) {
        match order {
            AgentOrder::Play(talk) => talk.play(link),
            AgentOrder::Leave => link.leave(),
        }
    }

    fn event(&mut self, link: &mut Link, conversation: Id, event: &EventHead) {
        if event.body.kind != BodyKind::Message || event.author.kind != AuthorKind::Visitor {
            return;
        }
        let Some(talk) = self.talk(conversation, event.cmd) else { return };
        link.read(conversation, event.seq);
        if talk.received(Side::Agent, Side::Visitor, event.cmd, link.now()) == Next::Mine {
            talk.play(link);
        }
    }

    fn acked(&mut self, link: &mut Link, id: Id, conversation: Option<Id>) {
        // Of what an agent says here, only its availability is about no conversation.
        let Some(conversation) = conversation else { return self.stage.agent_ready() };
        let Some(talk) = self.talks.get(&conversation).cloned() else { return };
        if talk.acked(Side::Agent, id, Some(conversation)) == Next::Mine {
            talk.play(link);
        }
        if talk.is_over() {
            self.talks.remove(&conversation);
            link.close(conversation);
        }
    }

    fn refused(&mut self, link: &mut Link, refusal: &Refused) {
        let why = format!("the agent was refused: {:?}, {}", refusal.code, refusal.message);
        let waiting = || self.talks.iter().find(|(_, talk)| refusal.id.is_some_and(|id| talk.waits_for(id)));
        let conversation = refusal.conversation.or_else(|| waiting().map(|(id, _)| *id));
        match conversation.and_then(|id| self.talks.remove(&id)) {
            Some(talk) => talk.fail(&why),
            None => self.stage.trouble(why),
        }
        if let Some(conversation) = conversation {
            link.close(conversation);
        }
    }

    fn rows(&mut self, link: &mut Link, rows: &[RowHead], removed: &[Id]) {
        for row in rows {
            if row.status == Status::Assigned && !link.follows(row.id) {
                link.open(row.id);
            }
        }
        for id in removed {
            self.drop_if_over(link, *id);
        }
    }
}
