//! The CQL store on a real CQL server: the one suite, and what only a store that others can reach has to hold.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod words;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bellhop_engine::domain::{ConversationState, Epoch, Millis, Shard, Status, VisitorId};
use bellhop_engine::ports::{Projection, Reader, RowList, Store, StoreError};
use bellhop_storage::conformance::{CASES, Factory, Opening};
use bellhop_storage::verify::{News, rebuild, verify};
use bellhop_storage::{Scylla, ScyllaOpenError, ScyllaOptions};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use words::{begin_append, key, message};

/// A lease for what is not about leases: emptying tables stops a small server for up to a second.
const CALM: Duration = Duration::from_secs(10);

static NEXT: AtomicU32 = AtomicU32::new(0);

fn contacts() -> Vec<String> {
    let contacts = std::env::var("BELLHOP_CQL").expect("BELLHOP_CQL names the CQL server");
    contacts.split(',').map(|contact| contact.trim().to_owned()).collect()
}

/// A keyspace of a test's own.
struct Keyspace {
    name: String,
    raw: Session,
    server: String,
}

impl Keyspace {
    async fn new() -> Self {
        let raw = SessionBuilder::new().known_nodes(contacts()).build().await.unwrap();
        let mut random = [0; 4];
        getrandom::fill(&mut random).unwrap();
        let name = format!("bellhop_test_{}_{}", u32::from_ne_bytes(random), NEXT.fetch_add(1, Ordering::Relaxed));
        let rows = raw.query_unpaged("SELECT release_version FROM system.local", ()).await.unwrap();
        let (version,) = rows.into_rows_result().unwrap().first_row::<(String,)>().unwrap();
        let nodes = raw.get_cluster_state().get_nodes_info().len();
        let server = format!("Cassandra {version}, {nodes} node{}", if nodes == 1 { "" } else { "s" });
        Self { name, raw, server }
    }

    fn options(&self) -> ScyllaOptions {
        let nodes = self.raw.get_cluster_state().get_nodes_info().len();
        ScyllaOptions {
            replication: nodes.min(3) as u16,
            migrate: true,
            ..ScyllaOptions::new(contacts(), "datacenter1".to_owned(), self.name.clone())
        }
    }

    async fn open(&self) -> Result<Scylla, ScyllaOpenError> {
        Scylla::open(self.options()).await
    }

    async fn run(&self, cql: &str) {
        let statement = cql.replace("{k}", &self.name);
        self.raw.query_unpaged(statement.as_str(), ()).await.unwrap();
    }

    async fn drop(self) {
        self.run("DROP KEYSPACE IF EXISTS {k}").await;
    }

    /// As if it had never been used; the next opening fills in what a new one has.
    async fn empty(&self) {
        let tables = format!("SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{}'", self.name);
        let tables = self.raw.query_unpaged(tables, ()).await.unwrap().into_rows_result().unwrap();
        for table in tables.rows::<(String,)>().unwrap() {
            self.run(&format!("TRUNCATE {{k}}.{}", table.unwrap().0)).await;
        }
    }

    /// Every row of `events`, as (seq, epoch, bytes), by bucket.
    async fn partitions(&self) -> BTreeMap<i64, Vec<(i64, i64, usize)>> {
        let mut statement =
            scylla::statement::Statement::new(format!("SELECT bucket, seq, epoch, value FROM {}.events", self.name));
        statement.set_page_size(5_000);
        let rows = self.raw.query_unpaged(statement, ()).await.unwrap().into_rows_result().unwrap();
        let mut partitions: BTreeMap<i64, Vec<(i64, i64, usize)>> = BTreeMap::new();
        for row in rows.rows::<(i64, i64, i64, Vec<u8>)>().unwrap() {
            let (bucket, seq, epoch, value) = row.unwrap();
            partitions.entry(bucket).or_default().push((seq, epoch, value.len()));
        }
        partitions
    }
}

async fn append(store: &dyn Store, one: u128, seqs: std::ops::RangeInclusive<u64>) -> Result<(), StoreError> {
    let events = seqs.map(|seq| message(seq, store.epoch(), &format!("word {seq}"))).collect();
    begin_append(store, key(one), events).await.unwrap()
}

async fn seqs(store: &dyn Store, one: u128) -> Vec<u64> {
    let loaded = store.load(key(one)).await.unwrap();
    loaded.map_or(vec![], |loaded| loaded.tail.iter().map(|event| event.seq).collect())
}

fn proof(promise: &str, attack: &str, store: &str, count: &str, result: &str, passed: bool) {
    println!(
        "PROOF {{\"promise\":\"{promise}\",\"attack\":\"{attack}\",\"store\":\"{store}\",\"count\":\"{count}\",\
         \"result\":\"{result}\",\"passed\":{passed},\"seed\":0}}"
    );
}

struct ScyllaFactory(Mutex<Vec<Keyspace>>);

impl Factory for ScyllaFactory {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            // Emptied instead of made anew: making twelve tables takes seconds on a busy machine.
            let used = self.0.lock().unwrap().pop();
            let keyspace = match used {
                Some(used) => {
                    used.empty().await;
                    used
                }
                None => Keyspace::new().await,
            };
            let options = ScyllaOptions { lease: CALM, ..keyspace.options() };
            let store = Scylla::open(options).await.map_err(|error| error.to_string())?;
            self.0.lock().unwrap().push(keyspace);
            Ok(Arc::new(store) as Arc<dyn Store>)
        })
    }

    fn reopen(&self, store: Arc<dyn Store>) -> Opening<'_> {
        Box::pin(async move {
            store.close().await.map_err(|error| error.to_string())?;
            let options = self.0.lock().unwrap().last().expect("a store was opened").options();
            // The old handle still lives: closing must have let the keyspace go.
            let again =
                Scylla::open(ScyllaOptions { lease: CALM, ..options }).await.map_err(|error| error.to_string())?;
            drop(store);
            Ok(Arc::new(again) as Arc<dyn Store>)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a CQL server: cargo xtask cassandra"]
async fn the_cql_store_keeps_every_promise_of_the_trait() {
    let factory = ScyllaFactory(Mutex::new(Vec::new()));
    let mut broken = Vec::new();
    for case in CASES {
        let begun = Instant::now();
        let outcome = (case.run)(&factory).await;
        let shown = if outcome.is_ok() { "ok    " } else { "BROKEN" };
        println!("{:>6} ms  {shown}  {}", begun.elapsed().as_millis(), case.name);
        if let Err(what) = outcome {
            broken.push(format!("{}: {what}", case.name));
        }
    }
    let keyspace = factory.0.lock().unwrap().pop().unwrap();
    let server = keyspace.server.clone();
    keyspace.drop().await;
    let result = format!("{} broken", broken.len());
    proof(
        "G1 G2 G3 G6 G10",
        "the conformance suite of the store",
        &server,
        &format!("{} cases", CASES.len()),
        &result,
        broken.is_empty(),
    );
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a CQL server: cargo xtask cassandra"]
async fn a_second_live_server_is_refused_and_a_dead_ones_lease_runs_out() {
    let keyspace = Keyspace::new().await;
    let first = keyspace.open().await.unwrap();
    append(&first, 1, 1..=3).await.unwrap();
    let refused = keyspace.open().await.err().expect("a second live server is refused");
    assert!(matches!(&refused, ScyllaOpenError::InUse { holder, .. } if holder.contains("process")), "{refused}");
    assert!(first.healthy() && append(&first, 1, 4..=4).await.is_ok(), "the first goes on");
    // Dropped without closing, as by kill -9: nobody renews any more.
    let epoch = first.epoch();
    drop(first);
    let begun = Instant::now();
    let second = keyspace.open().await.unwrap();
    let waited = begun.elapsed();
    assert!(waited > Duration::from_millis(2_500) && waited < Duration::from_secs(7), "a lease, not more: {waited:?}");
    assert!(second.epoch() > epoch);
    assert_eq!(seqs(&second, 1).await, [1, 2, 3, 4]);
    second.close().await.unwrap();
    let begun = Instant::now();
    let third = keyspace.open().await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(1_500), "a clean close is no wait");
    third.close().await.unwrap();
    keyspace.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a CQL server: cargo xtask cassandra"]
async fn an_owner_whose_lease_was_taken_acknowledges_nothing_more() {
    let keyspace = Keyspace::new().await;
    let zombie = keyspace.open().await.unwrap();
    append(&zombie, 1, 1..=2).await.unwrap();
    // Another server took over while this one stood still.
    keyspace
        .run("UPDATE {k}.lease SET identity = 0xAA, holder = 'elsewhere', renewal = 9000000000000000000, epoch = 7 WHERE name = 'server' IF EXISTS")
        .await;
    let begun = Instant::now();
    let mut seq = 2;
    let refused = loop {
        seq += 1;
        match append(&zombie, 1, seq..=seq).await {
            // Until it hears of it the lease counts: the other one waited for it.
            Ok(()) => assert!(begun.elapsed() < Duration::from_secs(3)),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, StoreError::Fenced);
    assert!(zombie.failed().is_some_and(|why| why.contains("elsewhere")) && !zombie.healthy());
    assert_eq!(zombie.load(key(1)).await.err(), Some(StoreError::Fenced));
    zombie.close().await.unwrap();
    keyspace.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a CQL server: cargo xtask cassandra"]
async fn what_a_dead_owner_left_half_written_is_adopted_or_gone_for_ever() {
    let keyspace = Keyspace::new().await;
    let first = keyspace.open().await.unwrap();
    let epoch = first.epoch().0;
    for one in 1..=3 {
        append(&first, one, 1..=2).await.unwrap();
        append(&first, one, 3..=5).await.unwrap();
    }
    first.close().await.unwrap();
    // Conversation 2 lost a part of its last append on the way to a quorum; 3 has a row beyond a hole.
    let (workspace, two, three) = (format!("0x{:032x}", 1), format!("0x{:032x}", 2), format!("0x{:032x}", 3));
    let of = |conversation: &str| format!("workspace = {workspace} AND conversation = {conversation} AND bucket = 0");
    keyspace.run(&format!("DELETE FROM {{k}}.events WHERE {} AND seq = 5", of(&two))).await;
    let values = format!("{workspace}, {three}, 0, 9, {epoch}, 9, 9, 0x00");
    let columns = "workspace, conversation, bucket, seq, epoch, first, last, value";
    keyspace.run(&format!("INSERT INTO {{k}}.events ({columns}) VALUES ({values})")).await;
    let second = keyspace.open().await.unwrap();
    assert_eq!(seqs(&second, 1).await, [1, 2, 3, 4, 5], "whole: adopted");
    assert_eq!(seqs(&second, 2).await, [1, 2], "a part of an append was never acknowledged");
    assert_eq!(seqs(&second, 3).await, [1, 2, 3, 4, 5]);
    assert_eq!(seqs(&second, 4).await, Vec::<u64>::new());
    // The rest of it arrives from a node that was away, with the timestamps of its time.
    let late = |conversation: &str, seq: u64, first: u64, last: u64| {
        let values = format!("{workspace}, {conversation}, 0, {seq}, {epoch}, {first}, {last}, 0x00");
        format!("INSERT INTO {{k}}.events ({columns}) VALUES ({values}) USING TIMESTAMP 1000")
    };
    for seq in 3..=5 {
        keyspace.run(&late(&two, seq, 3, 5)).await;
    }
    keyspace.run(&late(&format!("0x{:032x}", 4), 1, 1, 1)).await;
    assert_eq!(seqs(&second, 2).await, [1, 2], "gone for ever");
    assert_eq!(seqs(&second, 4).await, Vec::<u64>::new(), "and nothing comes of nothing");
    append(&second, 2, 3..=3).await.unwrap();
    append(&second, 4, 1..=1).await.unwrap();
    assert_eq!((seqs(&second, 2).await, seqs(&second, 4).await), (vec![1, 2, 3], vec![1]));
    let audit = second.audit(key(2)).await.unwrap();
    assert_eq!((audit.head, audit.leftovers, audit.beyond_hole), (3, 0, None), "{audit:?}");
    second.close().await.unwrap();
    proof(
        "G1 G6",
        "rows of a dead owner: whole, torn, late",
        &keyspace.server,
        "4 conversations",
        "adopted or gone, none came back",
        true,
    );
    keyspace.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a CQL server: cargo xtask cassandra"]
async fn partitions_stay_small_whatever_a_conversation_does() {
    const RESTARTS: usize = 8;
    let keyspace = Keyspace::new().await;
    let mut head = 0;
    for _ in 0..RESTARTS {
        let store = keyspace.open().await.unwrap();
        assert_eq!(seqs(&store, 1).await.len() as u64, head);
        for events in [1, 15, 15] {
            let text = "x".repeat(64 * 1024);
            let batch = (head + 1..=head + events).map(|seq| message(seq, store.epoch(), &text)).collect();
            begin_append(&store, key(1), batch).await.unwrap().unwrap();
            head += events;
        }
        store.close().await.unwrap();
    }
    let partitions = keyspace.partitions().await;
    let rows = partitions.values().map(Vec::len).max().unwrap();
    let bytes = partitions.values().map(|rows| rows.iter().map(|row| row.2).sum::<usize>()).max().unwrap();
    assert!(partitions.len() > 2 && rows < 10_000 && bytes < 10_000_000, "{rows} rows, {bytes} bytes");
    let mut all: Vec<_> = partitions.values().flatten().map(|row| row.0).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=head as i64).collect::<Vec<_>>(), "superseded rows are gone");
    let store = keyspace.open().await.unwrap();
    let too_many = (head + 1..=head + 129).map(|seq| message(seq, store.epoch(), "x")).collect();
    let refused = begin_append(&store, key(1), too_many).await.unwrap();
    assert!(matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("128 events")), "{refused:?}");
    store.close().await.unwrap();
    keyspace.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a CQL server: cargo xtask cassandra"]
async fn a_store_of_another_version_or_replication_is_refused_and_two_make_it_at_once() {
    let keyspace = Keyspace::new().await;
    let options = ScyllaOptions { migrate: false, ..keyspace.options() };
    let not_made = Scylla::open(options.clone()).await.err().unwrap();
    assert!(matches!(not_made, ScyllaOpenError::NotMade { .. }), "{not_made}");
    let (one, other) = tokio::join!(Scylla::migrate(&options), Scylla::migrate(&options));
    one.unwrap();
    other.unwrap();
    Scylla::migrate(&options).await.unwrap();
    Scylla::open(options.clone()).await.unwrap().close().await.unwrap();
    let copies = ScyllaOptions { replication: 5, ..options.clone() };
    let refused = Scylla::open(copies).await.err().unwrap();
    assert!(matches!(refused, ScyllaOpenError::Replication { .. }), "{refused}");
    let elsewhere = ScyllaOptions { datacentre: "mars".to_owned(), ..options.clone() };
    let refused = Scylla::open(elsewhere).await.err().unwrap();
    assert!(matches!(refused, ScyllaOpenError::Datacentre { .. }), "{refused}");
    keyspace.run("UPDATE {k}.meta SET number = 2 WHERE name = 'schema' IF EXISTS").await;
    for migrate in [false, true] {
        let refused = Scylla::open(ScyllaOptions { migrate, ..options.clone() }).await.err().unwrap();
        assert!(matches!(refused, ScyllaOpenError::Newer { found: 2, known: 1, .. }), "{refused}");
    }
    keyspace.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a CQL server: cargo xtask cassandra"]
async fn a_row_never_stays_behind_at_a_place_where_a_crash_left_it() {
    let keyspace = Keyspace::new().await;
    let store = keyspace.open().await.unwrap();
    let first = message(1, store.epoch(), "word");
    let state = ConversationState::begin(key(1), &first);
    let projection = |status: Status, at: i64| {
        let mut row = state.row(0, 0);
        row.status = status;
        row.resolved_at = (status == Status::Resolved).then_some(Millis(at));
        Projection { row, state: state.clone(), reads: Vec::new(), clear_dirty: false }
    };
    store.project(projection(Status::Queued, 0)).await.unwrap();
    // A crash after the new place was written and the row put there: it stands in two.
    let workspace = format!("0x{:032x}", 1);
    let conversation = format!("0x{:032x}", 1);
    let of = format!("workspace = {workspace} AND conversation = {conversation}");
    let places = "[0x01, 0x020000000000000005]";
    keyspace.run(&format!("UPDATE {{k}}.projections SET places = {places} WHERE {of}")).await;
    keyspace
        .run(&format!(
            "INSERT INTO {{k}}.listed (workspace, list, visitor, hour, at, conversation, row) VALUES ({workspace}, 0, \
             0x{:032x}, 0, 5, {conversation}, 0x00) USING TIMESTAMP 1000",
            0
        ))
        .await;
    store.project(projection(Status::Resolved, 9)).await.unwrap();
    let page = store.rows(RowList::Resolved(key(1).workspace), None, 10).await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row.resolved_at).collect::<Vec<_>>(), [Some(Millis(9))]);
    assert!(store.rows(RowList::Open(key(1).workspace), None, 10).await.unwrap().rows.is_empty());
    // A straggler of a dead owner arrives, with the timestamp of its time.
    let straggler =
        format!("UPDATE {{k}}.projections USING TIMESTAMP 2000 SET epoch = 0, seq = 99, row = 0x00 WHERE {of}");
    keyspace.run(&straggler).await;
    let row = store.row(key(1)).await.unwrap().unwrap();
    assert_eq!((row.epoch, row.seq, row.status), (Epoch(1), 1, Status::Resolved));
    store.close().await.unwrap();
    keyspace.drop().await;
}

/// What a node that was away too long may bring back, and what a damaged row leaves.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a CQL server: cargo xtask cassandra"]
async fn a_rebuild_takes_away_what_no_log_bears_out_and_replaces_whatever_lies_there() {
    let keyspace = Keyspace::new().await;
    let store = Scylla::open(ScyllaOptions { lease: CALM, ..keyspace.options() }).await.unwrap();
    let workspace = key(1).workspace;
    let visitor = Reader::Visitor(VisitorId(1));
    for one in 1..=3 {
        append(&store, one, 1..=5).await.unwrap();
        let mut state = ConversationState::begin(key(one), &message(1, store.epoch(), "word 1"));
        (2..=5).for_each(|seq| state.apply(&message(seq, store.epoch(), &format!("word {seq}"))));
        let row = state.row(0, 4);
        store.project(Projection { row, state, reads: vec![(visitor, 4)], clear_dirty: true }).await.unwrap();
    }
    // A row that cannot be read and says that it is of a later epoch, with places that cannot be read either; a row of no
    // conversation.
    for (one, places) in [(1, "[0x01, 0x99]"), (9, "[0x01]")] {
        let row = format!("epoch = 77, seq = 99, row = 0xff, state = 0xff, places = {places}");
        let of = format!("workspace = 0x{:032x} AND conversation = 0x{one:032x}", 1);
        keyspace.run(&format!("UPDATE {{k}}.projections SET {row} WHERE {of}")).await;
    }
    // Marks that cannot be read: in place of one that is there, below one, and of somebody else.
    let marks = [(1, 1, "0xff", 4), (2, 1, "0x00", 3), (3, 7, "0xff", 5)];
    for (one, reader, value, stamp) in marks {
        keyspace
            .run(&format!(
                "INSERT INTO {{k}}.read_marks (workspace, conversation, side, reader, value) VALUES (0x{:032x}, \
                 0x{one:032x}, 0, 0x{reader:032x}, {value}) USING TIMESTAMP {stamp}",
                1
            ))
            .await;
    }
    // Entries: of no conversation, among the open ones and in an hour that no directory names; of a conversation that is
    // open, among the resolved ones; in a slice that is not its own; under an id that is none.
    let listed = |list: u8, visitor: u32, hour: i64, at: i64, one: u32| {
        let values = format!("0x{:032x}, {list}, 0x{visitor:032x}, {hour}, {at}, 0x{one:032x}, 0xff", 1);
        format!("INSERT INTO {{k}}.listed (workspace, list, visitor, hour, at, conversation, row) VALUES ({values})")
    };
    let open = |slice: u8, conversation: &str| {
        let values = format!("0x{:032x}, {slice}, {conversation}, 0xff", 1);
        format!("INSERT INTO {{k}}.listed_open (workspace, slice, conversation, row) VALUES ({values})")
    };
    let second = format!("0x{:032x}", 2);
    let shard = Shard::of(workspace, key(2).conversation).0;
    let strays = [
        open(3, &format!("0x{:032x}", 8)),
        listed(1, 5, 400_000, 1_440_000_000_001, 8),
        listed(0, 0, 0, 7, 2),
        open(((shard + 1) % 16) as u8, &second),
        open(0, "0x01"),
        listed(1, 1, 0, 99, 3),
    ];
    for stray in &strays {
        keyspace.run(stray).await;
    }
    assert!(store.rows(RowList::Open(workspace), None, 100).await.is_err(), "an entry cannot be read");
    let mut told = Vec::new();
    let rebuilt = rebuild(&store, &mut |news| told.push(format!("{news:?}"))).await.unwrap();
    assert_eq!((rebuilt.conversations, rebuilt.left), (3, 0), "{told:?}");
    assert_eq!(rebuilt.pruned, strays.len() as u64 + 1, "and the row of no conversation");
    let mut findings = Vec::new();
    let mut tell = |news: News<'_>| {
        if let News::Found(finding) = news {
            findings.push(finding.to_string());
        }
    };
    let verdict = verify(&store, &mut tell).await.unwrap();
    assert_eq!((verdict.conversations, verdict.findings), (3, 0), "{findings:?}");
    for list in [RowList::Open(workspace), RowList::OfVisitor(workspace, VisitorId(1))] {
        let page = store.rows(list, None, 100).await.unwrap();
        assert_eq!(page.rows.len(), 3, "{list:?}");
    }
    assert!(store.rows(RowList::Resolved(workspace), None, 100).await.unwrap().rows.is_empty());
    assert_eq!(store.row(key(9)).await.unwrap(), None);
    // Marks that cannot be read begin anew, and move from then on.
    assert_eq!(store.reads(key(1)).await.unwrap(), []);
    let row = store.row(key(1)).await.unwrap().unwrap();
    let state = store.load(key(1)).await.unwrap().unwrap().state.unwrap();
    store.project(Projection { row, state, reads: vec![(visitor, 5)], clear_dirty: true }).await.unwrap();
    assert_eq!(store.reads(key(1)).await.unwrap(), [(visitor, 5)]);
    // Nothing is left to take away, and a sweep that was asked for twice is made twice.
    let rebuilt = rebuild(&store, &mut |_| {}).await.unwrap();
    assert_eq!((rebuilt.conversations, rebuilt.left, rebuilt.pruned), (3, 0, 0));
    keyspace.run(&strays[2]).await;
    assert_eq!(store.prune(workspace).await, Ok(1));
    store.close().await.unwrap();
    keyspace.drop().await;
}

/// A way to the database that stops, breaks and mends, on one port of every contact's address.
struct Way {
    port: u16,
    state: tokio::sync::watch::Sender<Flow>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// Nothing gets through, nothing is closed: a node that hangs.
    Stalled,
    /// Everything is closed at once: a node that is gone.
    Cut,
}

impl Way {
    async fn new() -> Self {
        let (state, _) = tokio::sync::watch::channel(Flow::Open);
        let mut port = 0;
        for contact in contacts() {
            let (ip, _) = contact.rsplit_once(':').unwrap();
            let listener = tokio::net::TcpListener::bind((ip, port)).await.unwrap();
            port = listener.local_addr().unwrap().port();
            let changes = state.subscribe();
            tokio::spawn(async move {
                loop {
                    let Ok((near, _)) = listener.accept().await else { return };
                    if *changes.borrow() == Flow::Cut {
                        continue;
                    }
                    let Ok(far) = tokio::net::TcpStream::connect(&contact).await else { continue };
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::spawn(carry(near_in, far_out, changes.clone()));
                    tokio::spawn(carry(far_in, near_out, changes.clone()));
                }
            });
        }
        Self { port, state }
    }

    fn now(&self, flow: Flow) {
        self.state.send_replace(flow);
    }

    fn contacts(&self) -> Vec<String> {
        contacts().iter().map(|it| format!("{}:{}", it.rsplit_once(':').unwrap().0, self.port)).collect()
    }
}

async fn carry(
    from: tokio::net::tcp::OwnedReadHalf,
    to: tokio::net::tcp::OwnedWriteHalf,
    mut changes: tokio::sync::watch::Receiver<Flow>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.readable() => read.map(|()| from.try_read(&mut bytes)),
            gone = changes.wait_for(|flow| *flow == Flow::Cut) => { drop(gone); return }
        };
        let count = match read {
            Ok(Ok(0)) | Err(_) => return,
            Ok(Ok(count)) => count,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Ok(Err(_)) => return,
        };
        match changes.wait_for(|flow| *flow != Flow::Stalled).await.map(|flow| *flow) {
            Ok(Flow::Open) => {}
            _ => return,
        }
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            if to.writable().await.is_err() {
                return;
            }
            match to.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

async fn until(what: &str, most: Duration, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < most, "{what}: not within {most:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a CQL server: cargo xtask cassandra"]
async fn a_database_that_hangs_or_goes_is_refused_at_once_and_all_is_well_within_5_s_of_its_return() {
    let keyspace = Keyspace::new().await;
    let way = Way::new().await;
    let options = ScyllaOptions { contact_points: way.contacts(), ..keyspace.options() };
    let store = Arc::new(Scylla::open(options).await.unwrap());
    append(&*store, 1, 1..=3).await.unwrap();
    let (mut head, mut worst) = (3, Duration::ZERO);
    for (fault, away) in [(Flow::Stalled, 4), (Flow::Cut, 1), (Flow::Cut, 7)] {
        way.now(fault);
        let (writer, from) = (Arc::clone(&store), head + 1);
        let in_flight = tokio::spawn(async move { append(&*writer, 1, from..=from + 2).await });
        until("unhealthy", Duration::from_secs(2), || !store.healthy()).await;
        let begun = Instant::now();
        let refused = append(&*store, 2, 1..=1).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(begun.elapsed() < Duration::from_millis(100), "at once");
        tokio::time::sleep(Duration::from_secs(away)).await;
        way.now(Flow::Open);
        worst = worst.max(until("healthy again", Duration::from_secs(5), || store.healthy()).await);
        assert_eq!(store.failed(), None);
        let outcome = in_flight.await.unwrap();
        let found = seqs(&*store, 1).await;
        match &outcome {
            // Repeated by the load until it was in.
            Ok(()) | Err(StoreError::Unknown(_)) => head += 3,
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(found, (1..=head).collect::<Vec<_>>(), "{outcome:?}");
        append(&*store, 1, head + 1..=head + 1).await.unwrap();
        head += 1;
    }
    let rows: usize = keyspace.partitions().await.values().map(Vec::len).sum();
    assert_eq!(rows as u64, head, "one row a seq: what was repeated was the same");
    let result = format!("unavailable at once, well again {} ms after its return", worst.as_millis());
    proof("G1 G11", "the database hangs, goes, comes back", &keyspace.server, "3 outages", &result, true);
    store.close().await.unwrap();
    keyspace.drop().await;
}
