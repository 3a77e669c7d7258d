//! Actors of ractor alone, which do nothing but answer: what a message among so many of them takes at least.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

struct Idler;

impl Actor for Idler {
    type Msg = oneshot::Sender<()>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        answer: Self::Msg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        // Whoever asked waits.
        let _heard = answer.send(());
        Ok(())
    }
}

/// So many actors on a runtime of their own.
pub struct Crew {
    actors: Arc<Vec<ActorRef<oneshot::Sender<()>>>>,
    runtime: Runtime,
}

impl Crew {
    pub fn new(size: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let actors = runtime.block_on(async {
            let mut actors = Vec::with_capacity(size);
            for _ in 0..size {
                actors.push(Actor::spawn(None, Idler, ()).await.expect("an actor starts").0);
            }
            actors
        });
        Self { actors: Arc::new(actors), runtime }
    }

    /// Sends each of `lots` to the actor that it falls on, `in_flight` of them under way at once, each answered before
    /// the next of its lane.
    pub fn talk(&self, lots: &[u64], in_flight: usize) {
        let lanes = lots.chunks(lots.len().div_ceil(in_flight).max(1)).map(|lots| {
            let (actors, lots) = (Arc::clone(&self.actors), lots.to_vec());
            self.runtime.spawn(async move {
                for lot in lots {
                    let (answer, answered) = oneshot::channel();
                    actors[(lot % actors.len() as u64) as usize].cast(answer).expect("it lives");
                    answered.await.expect("it answers");
                }
            })
        });
        let lanes: Vec<_> = lanes.collect();
        for lane in lanes {
            self.runtime.block_on(lane).expect("no lane panics");
        }
    }
}
