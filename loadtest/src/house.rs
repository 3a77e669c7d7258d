//! A workspace made ready for a run: the server, the workspace's key, and ten agents at work in it.

use std::sync::{Arc, atomic::AtomicU64};

use bellhop_protocol::Id;
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

use crate::{
    agent::{Agent, AgentOrder},
    args::Target,
    client::{AGENT, Ended, Place, run},
    link::Heard,
    rest::{Owner, Rest},
    server::{Extras, Server},
    stage::Stage,
};

/// Agents of the workspace, a session each. Issue 3 fixes the number, so that figures can be compared.
pub(crate) const AGENTS: u32 = 10;
/// Highest number of conversations an agent may hold (REST contract), and may follow on one session.
pub(crate) const HIGHEST_CAP: u32 = 1_000;
/// Source addresses of agents, above those of any visitors.
const FIRST_SOURCE: u32 = 14_000_000;

pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) rest: Arc<Rest>,
    pub(crate) workspace: Id,
    pub(crate) place: Place,
    owner: Option<Owner>,
}

impl House {
    /// The server as a user gets it.
    pub(crate) async fn open(target: &Target) -> Result<Self, String> {
        Self::open_with(target, Extras::default()).await
    }

    /// A server of our own may be started with `extras`.
    pub(crate) async fn open_with(target: &Target, extras: Extras) -> Result<Self, String> {
        let server = Server::reach(target, extras).await?;
        let rest = Arc::clone(&server.rest);
        let (workspace, owner) = match server.set_up_token() {
            Some(token) => {
                let owner =
                    rest.set_up(token, "Load test").await.map_err(|trouble| format!("setting up: {trouble}"))?;
                let key = rest.make_key(&owner).await.map_err(|trouble| format!("making an API key: {trouble}"))?;
                rest.set_key(key);
                (owner.workspace, Some(owner))
            }
            None => {
                let workspace =
                    rest.workspace().await.map_err(|trouble| format!("asking with the API key: {trouble}"))?;
                (workspace, None)
            }
        };
        let place =
            Place { address: rest.address(), origin: rest.origin().to_string(), losses: Arc::new(AtomicU64::new(0)) };
        Ok(Self { server, rest, workspace, place, owner })
    }

    /// New members, without sessions, each of whom may hold `cap` conversations (up to [`HIGHEST_CAP`]).
    pub(crate) async fn members(&self, names: &[String], cap: u32) -> Result<Vec<Id>, String> {
        self.rest
            .set_agent_cap(cap.min(HIGHEST_CAP), self.owner.as_ref())
            .await
            .map_err(|trouble| format!("raising the agents' cap to {cap}: {trouble}"))?;
        let mut members = Vec::with_capacity(names.len());
        for name in names {
            let member = self.rest.add_member(name, &format!("{name}@loadtest.invalid")).await;
            members.push(member.map_err(|trouble| format!("adding {name}: {trouble}"))?.id);
        }
        Ok(members)
    }

    /// Ten members that may hold `conversations` between them. A run against a server that was used before finds its
    /// agents again.
    async fn agent_members(&self, conversations: u32) -> Result<Vec<Id>, String> {
        // Room for all at one agent while the bound allows it: who holds what is the server's choice.
        let cap = conversations.clamp(5, HIGHEST_CAP);
        self.rest
            .set_agent_cap(cap, self.owner.as_ref())
            .await
            .map_err(|trouble| format!("raising the agents' cap to {cap}: {trouble}"))?;
        let mut known = self.rest.members().await.map_err(|trouble| format!("listing the members: {trouble}"))?;
        let mut members = Vec::new();
        for number in 0..AGENTS {
            let email = format!("agent-{number}@loadtest.invalid");
            let member = match known.iter().position(|member| member.email == email) {
                Some(index) => known.swap_remove(index),
                None => {
                    let added = self.rest.add_member(&format!("Load agent {number}"), &email).await;
                    added.map_err(|trouble| format!("adding an agent: {trouble}"))?
                }
            };
            members.push(member.id);
        }
        Ok(members)
    }

    /// What ten agents say in their hello, good for 60 s.
    pub(crate) async fn agent_tokens(&self, conversations: u32) -> Result<Vec<String>, String> {
        let mut tokens = Vec::new();
        for member in self.agent_members(conversations).await? {
            let token = self.rest.socket_token(member).await;
            tokens.push(token.map_err(|trouble| format!("an agent's token: {trouble}"))?);
        }
        Ok(tokens)
    }

    /// Ten agents that may hold `conversations` between them, each with its session.
    pub(crate) async fn agents(&self, stage: &Arc<Stage>, conversations: u32) -> Result<Agents, String> {
        let mut agents = Agents { orders: Vec::new(), sessions: Vec::new() };
        for (number, member) in (0..).zip(self.agent_members(conversations).await?) {
            // tidy(every queue is bounded): orders come from our own roles, at most a few for each conversation they play
            let (sender, receiver) = unbounded_channel();
            let mut agent = Agent::new(member, Arc::clone(&self.rest), Arc::clone(stage), sender.clone());
            let place = self.place.clone();
            agents.orders.push(sender);
            agents.sessions.push(tokio::spawn(async move {
                run(&mut agent, receiver, &place, FIRST_SOURCE + number, AGENT).await
            }));
        }
        Ok(agents)
    }
}

pub(crate) struct Agents {
    orders: Vec<UnboundedSender<AgentOrder>>,
    sessions: Vec<JoinHandle<(Ended, Heard)>>,
}

impl Agents {
    /// An error if one has ended: nobody told them to.
    pub(crate) async fn present(&mut self) -> Result<(), String> {
        for index in 0..self.sessions.len() {
            if self.sessions[index].is_finished() {
                let ended = self.sessions.swap_remove(index).await;
                return Err(match ended {
                    Ok((Ended::Stopped(why), _)) => format!("an agent's session ended: {why}"),
                    Ok((Ended::Left, _)) => "an agent left".into(),
                    Err(error) => format!("an agent's session failed: {error}"),
                });
            }
        }
        Ok(())
    }

    /// Ends the sessions; what they heard, summed up.
    pub(crate) async fn leave(self) -> Heard {
        for orders in &self.orders {
            drop(orders.send(AgentOrder::Leave));
        }
        let mut sum = Heard::default();
        for session in self.sessions {
            // A server that is away would let them try for ever.
            if let Ok(Ok((_, heard))) = tokio::time::timeout(std::time::Duration::from_secs(10), session).await {
                sum.add(heard);
            }
        }
        sum
    }
}
