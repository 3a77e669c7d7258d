//! Whether an engine does with much what it does with little: many live conversations, or a full store. Engine and
//! embedded store in this process, without sockets; little and much take turns, so that what else the machine does meets
//! both.
//!
//! `bellhop-scale live DIR FEW MANY MESSAGES`: messages to conversations chosen by chance among so few and so many live
//! ones, and what one of the many adds to the resident memory; then the same of ractor's actors alone, which do nothing.
//!
//! `bellhop-scale full DIR CONVERSATIONS EVENTS MESSAGES`: new messages beside so many stored conversations of so many
//! events each and beside none, and how long a stored one takes to wake.
//!
//! DIR is made anew, and should lie on a real disk.

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bellhop_benches::crew::Crew;
use bellhop_benches::room::Room;
use bellhop_benches::{WORKSPACE, message, visitor};
use bellhop_engine::domain::{
    Audience, Author, Body, CommandId, ConversationId, ConversationKey, ConversationState, Event, MemberId, MemberName,
    VisitorId,
};
use bellhop_engine::ports::{Append, Projection, Store, StoreError};
use bellhop_storage::{Embedded, EmbeddedOptions};

/// The servers' own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Messages under way at once: the load of the design page's figures.
const IN_FLIGHT: usize = 64;

/// Messages to ractor's actors alone for each to a conversation: a round of them takes about as long.
const ALONE: usize = 20;

/// Turns of little and much.
const ROUNDS: usize = 5;

/// Live conversations beside a full store.
const TALKING: usize = 10_000;

/// Conversations under way at once while a store is filled: half of what may wait for the commit thread.
const FILLING: usize = 4_096;

/// Stored conversations that are woken, one after another.
const WOKEN: u64 = 20_000;

/// Until a sweep has come by (every 5 s) and projections are written.
const SETTLED: Duration = Duration::from_secs(12);

/// Until the tables that filling left behind are merged: that work falls on either side by chance.
const MERGED: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Option<Vec<usize>> = arguments.iter().skip(2).map(|it| it.parse().ok()).collect();
    let words: Vec<&str> = arguments.iter().take(2).map(String::as_str).collect();
    match (words.as_slice(), numbers.as_deref()) {
        (["live", directory], Some([few, many, messages])) if few <= many => {
            live(Path::new(directory), *few, *many, *messages);
        }
        (["full", directory], Some([conversations, events, messages])) if *events > 1 => {
            full(Path::new(directory), *conversations as u64, *events as u64, *messages);
        }
        _ => {
            eprintln!("usage: bellhop-scale live DIR FEW MANY MESSAGES");
            eprintln!("       bellhop-scale full DIR CONVERSATIONS EVENTS MESSAGES");
            return ExitCode::from(2);
        }
    }
    // Draining so many conversations is not what is measured here.
    ExitCode::SUCCESS
}

fn live(directory: &Path, few: usize, many: usize, messages: usize) {
    let _ = std::fs::remove_dir_all(directory);
    let mut little = Room::new(open(&directory.join("few")), IN_FLIGHT);
    let mut much = Room::new(open(&directory.join("many")), IN_FLIGHT);
    little.begin(few, IN_FLIGHT);
    // The first ones bring what the process needs once.
    much.begin(few, IN_FLIGHT);
    std::thread::sleep(SETTLED);
    let before = resident();
    much.begin(many - few, IN_FLIGHT);
    std::thread::sleep(SETTLED);
    let added = resident().saturating_sub(before) / (many - few).max(1);
    println!("{} and {} conversations live; each of the many adds {added} B of memory", little.live(), much.live());
    compare(&format!("{few} live"), &mut little, &format!("{many} live"), &mut much, messages);
    alone([few, many], messages);
    std::process::exit(0);
}

/// The limit: messages to actors that do nothing, which are not even stored.
fn alone(sizes: [usize; 2], messages: usize) {
    let (crews, messages) = (sizes.map(Crew::new), messages * ALONE);
    let mut dice = 0x5eed;
    let lots: Vec<u64> = (0..messages).map(|_| throw(&mut dice)).collect();
    let mut sums = [Sum::default(), Sum::default()];
    for _ in 0..ROUNDS {
        for (crew, sum) in crews.iter().zip(&mut sums) {
            sum.turn(messages, || crew.talk(&lots, IN_FLIGHT));
        }
    }
    for (size, sum) in sizes.iter().zip(&sums) {
        println!("ractor alone, {size}: {:.2} us of processor each", sum.each_us(messages));
    }
    println!("rate of ractor alone: {:.1} %", sums[1].rate() / sums[0].rate() * 100.0);
}

fn full(directory: &Path, conversations: u64, events: u64, messages: usize) {
    let _ = std::fs::remove_dir_all(directory);
    let stored = directory.join("full");
    let began = Instant::now();
    fill(open(&stored), conversations, events);
    println!("filled with {} events in {:.0} s", conversations * events, began.elapsed().as_secs_f64());
    let began = Instant::now();
    let mut much = Room::new(open(&stored), IN_FLIGHT);
    println!("opened in {:.2} s", began.elapsed().as_secs_f64());
    let mut little = Room::new(open(&directory.join("empty")), IN_FLIGHT);
    much.begin(TALKING, IN_FLIGHT);
    little.begin(TALKING, IN_FLIGHT);
    std::thread::sleep(MERGED);
    compare("empty", &mut little, "full", &mut much, messages);
    let mut dice = 0x5eed_u64;
    let mut times: Vec<Duration> = (0..WOKEN)
        .map(|_| {
            let number = u128::from(throw(&mut dice) % conversations) + 1;
            much.wake(VisitorId(number), key(number).conversation)
        })
        .collect();
    println!("waking          {}", spread(&mut times));
    std::process::exit(0);
}

fn open(path: &Path) -> Embedded {
    std::fs::create_dir_all(path.parent().unwrap_or(path)).expect("a directory");
    Embedded::open(path, EmbeddedOptions::new()).expect("a store opens")
}

/// Lets both talk in turns.
fn compare(few: &str, little: &mut Room, many: &str, much: &mut Room, messages: usize) {
    let mut sums = [Sum::default(), Sum::default()];
    // Once unmeasured.
    talk(little, messages / 4);
    talk(much, messages / 4);
    for _ in 0..ROUNDS {
        for (room, sum) in [&mut *little, &mut *much].into_iter().zip(&mut sums) {
            let times = sum.turn(messages, || talk(room, messages));
            sum.times.extend(times);
        }
    }
    for (name, sum) in [few, many].into_iter().zip(&mut sums) {
        println!(
            "{name:<15} {:.0} messages/s, durable; {:.1} us of processor each; {}",
            sum.rate(),
            sum.each_us(messages),
            spread(&mut sum.times)
        );
    }
    println!(
        "rate of \"{many}\" to \"{few}\", median of {ROUNDS} rounds: {:.1} %",
        sums[1].rate() / sums[0].rate() * 100.0
    );
}

#[derive(Default)]
struct Sum {
    rates: Vec<f64>,
    times: Vec<Duration>,
    busy: Duration,
}

impl Sum {
    fn turn<T>(&mut self, messages: usize, act: impl FnOnce() -> T) -> T {
        let (busy, began) = (processor(), Instant::now());
        let done = act();
        self.rates.push(messages as f64 / began.elapsed().as_secs_f64());
        self.busy += processor() - busy;
        done
    }

    /// The middle one.
    fn rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }

    /// Processor time a message, µs.
    fn each_us(&self, messages: usize) -> f64 {
        self.busy.as_secs_f64() * 1e6 / (ROUNDS * messages) as f64
    }
}

fn talk(room: &mut Room, messages: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(messages);
    let (mut dice, lanes) = (0x5eed, room.lanes());
    // A share of the visitors for each that is under way: nobody gets two at a time.
    let share = lanes / IN_FLIGHT;
    let mut free: Vec<usize> = (0..IN_FLIGHT).collect();
    for _ in 0..messages {
        let of = free.pop().unwrap_or_else(|| {
            let (lane, took) = room.finished();
            times.push(took);
            lane / share
        });
        room.say(of * share + (throw(&mut dice) % share as u64) as usize);
    }
    while times.len() < messages {
        times.push(room.finished().1);
    }
    times
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at =
        |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default().as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms", at(0.5), at(0.99), at(0.999))
}

/// xorshift64: where the load falls, the same in every run.
fn throw(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice
}

/// Ids are keyed hashes: neighbours in time are none in the tables.
fn key(number: u128) -> ConversationKey {
    let conversation = ConversationId(number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
    ConversationKey { workspace: WORKSPACE, conversation }
}

/// Writes conversations as they are when they sleep: the log and its projection, resolved.
fn fill(store: Embedded, conversations: u64, events: u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let (done, finished) = sync_channel(FILLING);
    let mut projected = VecDeque::with_capacity(FILLING);
    for number in 1..=conversations {
        if projected.len() == FILLING {
            settle(&runtime, &finished, projected.pop_front().expect("it is full"));
        }
        let (events, state) = talked(u128::from(number), events);
        let (done, key) = (done.clone(), state.key);
        // Never blocks: the channel holds the answers of all that are under way.
        let told = Box::new(move |outcome: Result<(), StoreError>| drop(done.send(outcome)));
        store.append(Append { key, events, mark_dirty: false }, told);
        let row = state.row(0, 0);
        projected.push_back(store.project(Projection { row, state, reads: Vec::new(), clear_dirty: true }));
    }
    for one in projected {
        settle(&runtime, &finished, one);
    }
    runtime.block_on(store.close()).expect("the store closes");
}

fn settle<'a>(
    runtime: &tokio::runtime::Runtime,
    finished: &std::sync::mpsc::Receiver<Result<(), StoreError>>,
    projected: bellhop_engine::ports::Answer<'a, ()>,
) {
    finished.recv().expect("every append is answered").expect("the disk takes it");
    runtime.block_on(projected).expect("the disk takes it");
}

/// A conversation of so many events, the last of which resolves it, and what they fold to.
fn talked(number: u128, events: u64) -> (Vec<Arc<Event>>, ConversationState) {
    let author = visitor(number);
    let mut all: Vec<Event> = (1..=events).map(|seq| message(&author, seq, CommandId(u128::from(seq)))).collect();
    if let Some(last) = all.last_mut() {
        last.author = Author::Agent(MemberName { id: MemberId(7), name: Arc::from("Amir Agent") });
        last.audience = Audience::All;
        last.body = Body::Resolved;
    }
    let mut state = ConversationState::begin(key(number), &all[0]);
    all[1..].iter().for_each(|event| state.apply(event));
    (all.into_iter().map(Arc::new).collect(), state)
}

/// Resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line VmRSS");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kB") * 1_024
}

/// Processor time of this process so far, user's and system's.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("the name in brackets");
    // Fields 14 and 15 of proc(5), in ticks of 10 ms.
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|it| it.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}
