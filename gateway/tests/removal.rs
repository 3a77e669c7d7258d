//! A member who was removed is out, whatever becomes of the store right after the one write that counts.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too: a failed unwrap is a failed test")]

mod ws_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bellhop_engine::domain::{ConversationKey, Epoch, Event, Role, Row, Seq, Shard};
use bellhop_engine::ports::{
    Answer, Append, Appended, Audit, ConversationPage, Expect, Loaded, Projection, Range, Reader, Record, RecordKey,
    RecordList, RowList, RowPage, Store, StoreError, Version, Written,
};
use bellhop_engine::{Engine, Options, Ports};
use bellhop_gateway::accounts::{Accounts, OperatorCommand, Rates, desks};
use bellhop_gateway::site::Site;
use bellhop_gateway::telemetry::SystemClock;
use bellhop_gateway::ws::Hub;
use bellhop_protocol::CloseCode;
use bellhop_storage::Model;
use serde_json::json;
use ws_support::{Client, limits, listen};

/// Gone from the moment at which a member's removal is written.
struct Fragile(Model, AtomicBool);

impl Fragile {
    fn or_gone<'a, T: Send + 'a>(&'a self, answer: Answer<'a, T>) -> Answer<'a, T> {
        if self.1.load(Ordering::SeqCst) {
            let gone = StoreError::Unavailable("gone after the removal".to_owned());
            return Box::pin(std::future::ready(Err(gone)));
        }
        answer
    }
}

impl Store for Fragile {
    fn epoch(&self) -> Epoch {
        self.0.epoch()
    }
    fn secret(&self) -> [u8; 32] {
        self.0.secret()
    }
    fn append(&self, append: Append, done: Appended) {
        self.0.append(append, done);
    }
    fn load(&self, key: ConversationKey) -> Answer<'_, Option<Loaded>> {
        self.or_gone(self.0.load(key))
    }
    fn events(&self, key: ConversationKey, range: Range, limit: usize) -> Answer<'_, Vec<Arc<Event>>> {
        self.or_gone(self.0.events(key, range, limit))
    }
    fn project(&self, projection: Projection) -> Answer<'_, ()> {
        self.or_gone(self.0.project(projection))
    }
    fn row(&self, key: ConversationKey) -> Answer<'_, Option<Row>> {
        self.or_gone(self.0.row(key))
    }
    fn reads(&self, key: ConversationKey) -> Answer<'_, Vec<(Reader, Seq)>> {
        self.or_gone(self.0.reads(key))
    }
    fn rows(&self, list: RowList, after: Option<Vec<u8>>, limit: usize) -> Answer<'_, RowPage> {
        self.or_gone(self.0.rows(list, after, limit))
    }
    fn dirty(&self) -> Answer<'_, Vec<(Shard, ConversationKey)>> {
        self.or_gone(self.0.dirty())
    }
    fn record(&self, key: RecordKey) -> Answer<'_, Option<(Record, Version)>> {
        self.or_gone(self.0.record(key))
    }
    fn put_record(&self, key: RecordKey, record: Record, expect: Expect) -> Answer<'_, Written> {
        let removal = matches!(&record, Record::Member(member) if member.removed_at.is_some());
        let written = self.or_gone(self.0.put_record(key, record, expect));
        Box::pin(async move {
            let written = written.await;
            self.1.fetch_or(removal, Ordering::SeqCst);
            written
        })
    }
    fn delete_record(&self, key: RecordKey) -> Answer<'_, ()> {
        self.or_gone(self.0.delete_record(key))
    }
    fn records(&self, list: RecordList, after: Option<u128>, limit: usize) -> Answer<'_, Vec<(Record, Version)>> {
        self.or_gone(self.0.records(list, after, limit))
    }
    fn conversations(&self, after: Option<Vec<u8>>, limit: usize) -> Answer<'_, ConversationPage> {
        self.or_gone(self.0.conversations(after, limit))
    }
    fn audit(&self, key: ConversationKey) -> Answer<'_, Audit> {
        self.or_gone(self.0.audit(key))
    }
    fn healthy(&self) -> bool {
        true
    }
    fn failed(&self) -> Option<String> {
        None
    }
    fn close(&self) -> Answer<'_, ()> {
        self.0.close()
    }
}

/// Found in the first issue's review: telling the desk read the store, and its failure left the sockets open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_members_sockets_and_desk_end_though_the_store_fails_right_after() {
    let store: Arc<dyn Store> = Arc::new(Fragile(Model::new(5), AtomicBool::new(false)));
    let hub = Hub::new(limits());
    let ports = Ports { store: Arc::clone(&store), answers: Arc::clone(&hub) as Arc<_>, clock: Arc::new(SystemClock) };
    let options = Options {
        max_requests_in_flight: 1_000,
        max_requests_per_conversation: 100,
        commands_per_second: 0,
        sleep_after: std::time::Duration::from_secs(60),
        release_after: std::time::Duration::from_secs(60),
    };
    let engine = Engine::start(ports, options, desks(store.as_ref()).await.unwrap()).await.unwrap();
    let address = listen(&hub).await;
    let site = Arc::new(Site::new(address, "", false, None));
    let accounts = Accounts::open(Arc::clone(&store), Arc::new(SystemClock), site, Rates::new(1_000)).await.unwrap();
    let accounts = Arc::new(accounts);
    accounts.attach(engine.clone(), Arc::clone(&hub));
    hub.attach(engine.clone(), Arc::clone(&accounts) as Arc<_>);

    let owner = OperatorCommand::CreateWorkspace { name: "Acme".into(), owner_email: "ada@acme.example".into() };
    let lines = accounts.operate(owner).await.unwrap();
    let workspace = bellhop_protocol::Id::parse(lines[0].strip_prefix("workspace ").unwrap()).unwrap();
    let workspace = bellhop_engine::domain::WorkspaceId(workspace.0);
    let (key, _) = accounts.add_key(workspace, "tests").await.unwrap();
    let member = accounts.add_member(workspace, "Eve", "eve@acme.example", Role::Agent).await.unwrap().member.id;
    let token = accounts.socket_token_for(workspace, key, member).await.unwrap();
    let mut socket = Client::connect(address).await;
    socket.say(json!({"t": "hello", "v": 1, "as": "agent", "token": token.expose()})).await;
    assert_eq!(socket.hear().await["t"], "welcome");
    assert_eq!(engine.members(workspace).len(), 1);

    accounts.remove_member(workspace, member).await.expect_err("the store is gone, and the caller hears it");
    socket.ends_with(CloseCode::Revoked).await;
    assert!(engine.members(workspace).is_empty(), "the queue gives them nothing more");
}
