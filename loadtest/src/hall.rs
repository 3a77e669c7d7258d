//! A server with pairs in it, as the measuring commands have them: a visitor each with a conversation, ten agents
//! between whom the server shares these out, all played by the fast generator.

use bellhop_protocol::Id;

use crate::{
    args::Target,
    compare::Words,
    dice::Dice,
    fast::{Bellhop, Crowd, Loop, Round, seconds, with},
    house::{AGENTS, House},
    report::Report,
    run::{check_files, progress},
    server::Extras,
    stage::Stage,
    transcript::Side,
    verify::{Said, verify},
};

/// Messages that are read back and compared: all of a short run, some conversations of a long one (a quarter of a
/// minute of reading at most).
const MOST_VERIFIED: usize = 200_000;

pub(crate) struct Hall {
    pub(crate) house: House,
    pairs: u32,
    /// Absent while it plays, and for good once a round has failed.
    crowd: Option<Crowd<Bellhop>>,
}

impl Hall {
    /// Reaches or starts the server, and lets everyone come: each pair has its conversation, with an agent.
    pub(crate) async fn open(target: &Target, extras: Extras, pairs: u32) -> Result<Self, String> {
        check_files(u64::from(pairs) + u64::from(AGENTS))?;
        let house = House::open_with(target, extras).await?;
        let tokens = house.agent_tokens(pairs).await?;
        let agents = tokens.len();
        let address = house.place.address;
        let seed = Dice::random()?.next();
        let bellhop = Bellhop::new(house.workspace, address.to_string(), house.place.origin.clone(), tokens, seed);
        let crowd = Crowd::new(bellhop, address, house.server.pid(), pairs as usize, seconds(target.patience))?;
        let coming = with(crowd, move |crowd| {
            crowd.connect(agents)?;
            crowd.connect(agents + pairs as usize)
        });
        let (crowd, ()) = coming.await.map_err(|why| words_of(&house, &why))?;
        Ok(Self { house, pairs, crowd: Some(crowd) })
    }

    pub(crate) async fn round(&mut self, which: Loop, warm_up: u32, measured: u32) -> Result<Round, String> {
        self.with(move |crowd| crowd.play(which, seconds(warm_up), seconds(measured))).await
    }

    async fn with<R: Send + 'static>(
        &mut self,
        play: impl FnOnce(&mut Crowd<Bellhop>) -> Result<R, String> + Send + 'static,
    ) -> Result<R, String> {
        let crowd = self.crowd.take().ok_or("an earlier round failed")?;
        let (crowd, result) = with(crowd, play).await.map_err(|why| words_of(&self.house, &why))?;
        self.crowd = Some(crowd);
        Ok(result)
    }

    /// Settles every conversation, reads back and compares, and stops a server of our own. Figures go into the report
    /// behind `prefix`. False if something was found.
    pub(crate) async fn leave(mut self, report: &mut Report, prefix: &str) -> Result<bool, String> {
        let pairs = self.pairs as usize;
        let (said, receipts) = self
            .with(move |crowd| {
                for pair in 0..pairs {
                    let desk = crowd.tongue.desk(pair).ok_or("a pair has no agent")?;
                    crowd.speak(desk, |bellhop, out| bellhop.resolve(pair, out))?;
                }
                crowd.until("all to be resolved", |bellhop| bellhop.resolved() >= pairs)?;
                Ok((all_said(crowd, pairs), crowd.tongue.receipts))
            })
            .await?;
        let messages = said.iter().map(|it| it.words.len()).sum::<usize>();
        let bar = progress(said.len() as u64, "read back");
        let (conversations, differences) = (said.len(), verify(&self.house.rest, said, &bar).await);
        bar.finish_and_clear();
        report.note(&format!("{prefix}receipts"), receipts);
        report.note(&format!("{prefix}verified_conversations"), conversations);
        report.count(&format!("{prefix}verified_messages"), "messages read back and compared", messages as u64);
        let good = differences.is_empty();
        for difference in differences {
            report.difference(difference);
        }
        if !good {
            self.house.server.keep();
        }
        self.house.server.stop().await?;
        Ok(good)
    }
}

/// What was said, of as many pairs as are worth reading back.
fn all_said(crowd: &Crowd<Bellhop>, pairs: usize) -> Vec<Said> {
    let (mut all, mut messages) = (Vec::new(), 0);
    for pair in 0..pairs {
        // The first words were said in arriving.
        let turns = crowd.said(pair) + 1;
        messages += turns as usize;
        if !all.is_empty() && messages > MOST_VERIFIED {
            break;
        }
        let words = |turn| Words { side: Side::Visitor, text: crowd.tongue.text(pair, turn) };
        let conversation: Id = crowd.tongue.conversation(pair);
        all.push(Said {
            name: format!("pair {}", pair + 1),
            conversation: Some(conversation),
            words: (0..turns).map(words).collect(),
        });
    }
    all
}

/// A server that has ended says more about why than its clients can.
fn words_of(house: &House, why: &str) -> String {
    match house.server.alive() {
        Ok(()) => why.into(),
        Err(end) => format!("{why}; {end}"),
    }
}

/// Ends a report of halls: what was found, and the exit.
pub(crate) fn conclude(mut report: Report, target: &Target) -> Result<bool, String> {
    let faults = report.faults(&*Stage::new()?);
    report.print();
    if let Some(path) = &target.json {
        report.write(path)?;
    }
    Ok(!faults)
}
