//! Ends the server, and nodes of its database, at moments drawn from a seed, and brings them back.

use std::time::Duration;

use tokio::time::sleep;

use super::scene::Scene;
use crate::{cassandra::Cassandra, dice::Dice, server::Server};

/// After SIGTERM; the configured deadline for draining is 10 s.
const STOP: Duration = Duration::from_secs(15);
/// Longest time that things are left alone between two attacks.
const CALM_MS: u64 = 1_100;

/// What was done, and what it took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// `kill -9` of the server.
    pub(super) kills: u32,
    /// Of these, while it was still starting.
    pub(super) while_starting: u32,
    pub(super) terms: u32,
    /// `kill -9` of a database node.
    pub(super) nodes: u32,
    /// Of the server's kills, with a node away.
    pub(super) without_node: u32,
    /// From the end of the server until a command was acknowledged again, longest.
    pub(super) longest: Duration,
    /// Longest time without an acknowledgement while a node was away and came back.
    pub(super) longest_node: Duration,
    /// Longest time from SIGTERM to the end of the process.
    pub(super) longest_term: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    Term,
    Node,
}

/// What is left to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) kills: u32,
    pub(super) terms: u32,
}

pub(super) struct Attack<'a> {
    scene: &'a Scene,
    server: &'a Server,
    dice: Dice,
    left: Plan,
    done: Done,
    /// Until commands are accepted again after a restart. A server that was killed on a CQL store waits out its old
    /// lease (3 s); a busy machine is slow.
    patience: Duration,
}

impl<'a> Attack<'a> {
    pub(super) fn new(scene: &'a Scene, server: &'a Server, plan: Plan, seed: u64, patience: Duration) -> Self {
        Self { scene, server, dice: Dice::new(seed), left: plan, done: Done::default(), patience }
    }

    /// Does everything; `told` hears how many blows are done.
    pub(super) async fn run(mut self, mut told: impl FnMut(u64)) -> Result<Done, String> {
        self.scene.accepting(self.patience).await?;
        let nodes = self.server.cassandra().filter(|it| it.nodes() >= 3).cloned();
        let mut node_next = false;
        while let Some(blow) = self.next(nodes.is_some() && node_next) {
            // One in seven comes at once: soon after the restart before, and before anyone is served.
            let calm = if self.dice.below(7) == 0 { 60 } else { CALM_MS };
            sleep(Duration::from_millis(self.dice.below(calm))).await;
            match (blow, &nodes) {
                (Blow::Node, Some(cassandra)) => self.node(cassandra).await?,
                (Blow::Term, _) => self.term().await?,
                (Blow::Kill | Blow::Node, _) => self.kill().await?,
            }
            if blow != Blow::Term {
                node_next = !node_next;
            }
            told(u64::from(self.done.kills + self.done.terms + self.done.nodes));
        }
        self.scene.accepting(self.patience).await?;
        Ok(self.done)
    }

    /// Kills and SIGTERMs in an order that the dice choose.
    fn next(&mut self, node: bool) -> Option<Blow> {
        let Plan { kills, terms } = self.left;
        if kills + terms == 0 {
            return None;
        }
        if self.dice.below(u64::from(kills + terms)) < u64::from(terms) {
            self.left.terms -= 1;
            return Some(Blow::Term);
        }
        self.left.kills -= 1;
        Some(if node { Blow::Node } else { Blow::Kill })
    }

    async fn kill(&mut self) -> Result<(), String> {
        self.scene.ends(true);
        self.server.kill()?;
        self.done.kills += 1;
        // One in eight is followed by another, before the server is up.
        while self.left.kills > 0 && self.dice.below(8) == 0 {
            self.server.start()?;
            sleep(Duration::from_millis(self.dice.below(250))).await;
            self.server.kill()?;
            self.left.kills -= 1;
            self.done.kills += 1;
            self.done.while_starting += 1;
        }
        self.again().await
    }

    async fn term(&mut self) -> Result<(), String> {
        self.server.until_up().await?;
        self.scene.ends(true);
        let farewell = self.server.terminate(STOP).await?;
        if farewell.code != Some(0) {
            return Err(format!("SIGTERM ended the server with {:?}, not with 0", farewell.code));
        }
        self.done.terms += 1;
        self.done.longest_term = self.done.longest_term.max(farewell.took);
        self.again().await
    }

    async fn again(&mut self) -> Result<(), String> {
        self.server.start()?;
        self.server.until_up().await?;
        // One in seven: the next blow may come before anybody was served.
        if self.left.kills > 0 && self.dice.below(7) == 0 {
            return Ok(());
        }
        self.scene.accepting(self.patience).await?;
        self.done.longest = self.done.longest.max(self.scene.longest());
        Ok(())
    }

    /// Never more than one node is away: the next is touched when this one is back.
    async fn node(&mut self, cassandra: &Cassandra) -> Result<(), String> {
        let node = 1 + self.dice.below(cassandra.nodes() as u64) as usize;
        self.scene.accepting(self.patience).await?;
        self.scene.ends(false);
        cassandra.kill(node).await?;
        self.done.nodes += 1;
        sleep(Duration::from_millis(300 + self.dice.below(2_000))).await;
        self.done.longest_node = self.done.longest_node.max(self.scene.longest());
        if self.left.kills > 0 && self.dice.below(3) == 0 {
            self.left.kills -= 1;
            self.done.without_node += 1;
            self.kill().await?;
        }
        self.scene.ends(false);
        cassandra.start(node)?;
        cassandra.until_up(node).await?;
        // Its neighbours send it requests again once gossip has said so.
        sleep(Duration::from_millis(700)).await;
        self.done.longest_node = self.done.longest_node.max(self.scene.longest());
        Ok(())
    }
}
