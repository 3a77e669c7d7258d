//! A visitor: one session, one conversation, subscribed as the widget is (its conversations, the open one, receipts).

use std::sync::Arc;

use bellhop_protocol::{As, AuthorKind, Hello, Id, Refused, VERSION, Welcome};

use crate::{
    link::{Link, Role},
    talk::{Next, Talk},
    transcript::Side,
    wire::{BodyKind, EventHead},
};

#[derive(Debug)]
pub(crate) enum VisitorOrder {
    /// The next turn is the visitor's.
    Play,
    /// The conversation is over.
    Leave,
    /// The conversation failed; nothing more will be answered.
    GiveUp,
}

/// The hello of a visitor; the token is what an earlier `welcome` gave.
pub(crate) fn hello(workspace: Id, token: Option<&String>) -> Hello {
    Hello {
        v: VERSION,
        who: As::Visitor,
        workspace: Some(workspace),
        token: token.cloned(),
        client: Some(concat!("bellhop-loadtest/", env!("CARGO_PKG_VERSION")).into()),
    }
}

pub(crate) struct Visitor {
    workspace: Id,
    token: Option<String>,
    talk: Arc<Talk>,
    began: bool,
}

impl Visitor {
    pub(crate) fn new(workspace: Id, talk: Arc<Talk>) -> Self {
        Self { workspace, token: None, talk, began: false }
    }
}

impl Role for Visitor {
    type Order = VisitorOrder;

    async fn hello(&mut self) -> Result<Hello, String> {
        Ok(hello(self.workspace, self.token.as_ref()))
    }

    fn welcome(&mut self, link: &mut Link, welcome: &Welcome) {
        if welcome.token.is_some() {
            self.token.clone_from(&welcome.token);
        }
        link.conversations();
        if !self.began {
            self.began = true;
            self.talk.play(link);
        }
    }

    fn order(&mut self, link: &mut Link, order: VisitorOrder) {
        match order {
            VisitorOrder::Play => self.talk.play(link),
            VisitorOrder::Leave => link.leave(),
            VisitorOrder::GiveUp => {
                link.abandon();
                link.leave();
            }
        }
    }

    fn event(&mut self, link: &mut Link, conversation: Id, event: &EventHead) {
        let by_agent = matches!(event.author.kind, AuthorKind::Agent | AuthorKind::Bot);
        if event.body.kind != BodyKind::Message || !by_agent {
            return;
        }
        link.read(conversation, event.seq);
        if self.talk.received(Side::Visitor, Side::Agent, event.cmd, link.now()) == Next::Mine {
            self.talk.play(link);
        }
    }

    fn acked(&mut self, link: &mut Link, id: Id, conversation: Option<Id>) {
        if self.talk.acked(Side::Visitor, id, conversation) == Next::Mine {
            self.talk.play(link);
        }
    }

    fn refused(&mut self, _link: &mut Link, refusal: &Refused) {
        self.talk.fail(&format!("the visitor was refused: {:?}, {}", refusal.code, refusal.message));
    }
}
