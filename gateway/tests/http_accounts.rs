//! What time does to accounts: links, log-ins and tokens end. The clock is the test's, the store is real.
#![allow(clippy::unwrap_used)] // To panic is how a test fails.

mod http_support;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bellhop_engine::domain::Millis;
use bellhop_engine::exchange::Party;
use bellhop_engine::ports::{Clock, Store};
use bellhop_gateway::accounts::{
    Accounts, LoggedIn, NewLogin, OperatorCommand, Problem, Rates, Secret, Setup, WorkspaceChange,
};
use bellhop_gateway::database::store_options;
use bellhop_gateway::site::Site;
use bellhop_protocol::{As, CloseCode, Hello, Id, VERSION};
use bellhop_storage::{Embedded, LOCK_WAIT};
use http_support::{Folder, PASSWORD, token};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

struct Books {
    accounts: Accounts,
    clock: Arc<Hand>,
    _folder: Folder,
}

impl Books {
    async fn open() -> Self {
        let folder = Folder::new();
        let store: Arc<dyn Store> = Arc::new(Embedded::open(&folder.0, store_options(LOCK_WAIT)).unwrap());
        let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000_000)));
        let site = Arc::new(Site::new("127.0.0.1:8080".parse().unwrap(), "https://chat.example", false, None));
        let accounts = Accounts::open(store, Arc::clone(&clock) as Arc<_>, site, Rates::new(1_000)).await.unwrap();
        Self { accounts, clock, _folder: folder }
    }

    fn pass(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    async fn link(&self) -> Secret {
        Secret::new(token(self.accounts.make_setup_link().await.unwrap().unwrap().expose()))
    }

    async fn set_up(&self) -> NewLogin {
        let setup = Setup {
            workspace_name: "Harbour".into(),
            name: "Olive".into(),
            email: "olive@example.org".into(),
            password: Secret::new(PASSWORD.into()),
        };
        self.accounts.set_up(&self.link().await, setup, HERE).await.unwrap()
    }

    async fn operate(&self, command: OperatorCommand) -> Secret {
        Secret::new(token(self.accounts.operate(command).await.unwrap().last().unwrap()))
    }
}

fn hello(who: As, workspace: Option<Id>, token: Option<&str>) -> Hello {
    Hello { v: VERSION, who, workspace, token: token.map(str::to_owned), client: None }
}

fn place(who: &LoggedIn) -> Id {
    Id(who.workspace.id.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn links_expire() {
    let books = Books::open().await;
    let link = books.link().await;
    books.pass(DAY - 1);
    books.accounts.look_at_setup(&link, HERE).await.unwrap();
    books.pass(1);
    assert_eq!(books.accounts.look_at_setup(&link, HERE).await, Err(Problem::LinkDead));

    let owner = books.set_up().await;
    let invite =
        books.operate(OperatorCommand::InviteUser { workspace: place(&owner.who), email: None, owner: false }).await;
    let reset = books.operate(OperatorCommand::ResetPassword { email: "olive@example.org".into() }).await;
    books.pass(DAY);
    let new = || Secret::new("another password".into());
    assert!(matches!(books.accounts.reset_password(&reset, new(), HERE).await, Err(Problem::LinkDead)));
    books.pass(6 * DAY - 1);
    books.accounts.look_at_invite(&invite, HERE).await.unwrap();
    books.pass(1);
    assert!(matches!(books.accounts.look_at_invite(&invite, HERE).await, Err(Problem::LinkDead)));
    let accepted = books.accounts.accept_invite(&invite, "Ada", "ada@example.org", new(), HERE).await;
    assert!(matches!(accepted, Err(Problem::LinkDead)));
    assert_eq!(books.accounts.invites(owner.who.workspace.id).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_lasts_30_days_from_its_last_use() {
    let books = Books::open().await;
    let login = books.set_up().await;
    books.pass(29 * DAY);
    let who = books.accounts.by_cookie(login.cookie.expose()).await.unwrap();
    assert!(books.accounts.slide(&who).await.unwrap());
    let who = books.accounts.by_cookie(login.cookie.expose()).await.unwrap();
    assert!(!books.accounts.slide(&who).await.unwrap(), "once a day is enough");
    books.pass(30 * DAY - 1);
    let _ = books.accounts.by_cookie(login.cookie.expose()).await.unwrap();
    books.pass(1);
    assert!(matches!(books.accounts.by_cookie(login.cookie.expose()).await, Err(Problem::NotLoggedIn)));
    books.accounts.sweep().await.unwrap();
    books.pass(-DAY);
    assert!(
        matches!(books.accounts.by_cookie(login.cookie.expose()).await, Err(Problem::NotLoggedIn)),
        "a sweep deletes it, and a clock that falls does not bring it back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_keeps_their_identity_for_a_year_and_longer_if_they_come_back() {
    let books = Books::open().await;
    let owner = books.set_up().await;
    let workspace = Some(place(&owner.who));
    let first = books.accounts.admit(&hello(As::Visitor, workspace, None), None).await.unwrap();
    let token = first.token.clone().expect("who has no token gets one");
    let known = |token: &str| hello(As::Visitor, workspace, Some(token));
    books.pass(180 * DAY);
    let back = books.accounts.admit(&known(&token), None).await.unwrap();
    assert_eq!((back.party.clone(), back.token), (first.party.clone(), None));
    books.pass(4 * DAY);
    let renewed = books.accounts.admit(&known(&token), None).await.unwrap();
    assert_eq!(renewed.party, first.party);
    let newer = renewed.token.expect("the second half has begun");
    books.pass(182 * DAY);
    let refused = |token: &str, workspace| hello(As::Visitor, workspace, Some(token));
    assert_eq!(books.accounts.admit(&known(&token), None).await.unwrap_err(), CloseCode::TokenExpired);
    assert_eq!(books.accounts.admit(&known(&newer), None).await.unwrap().party, first.party);

    // Another workspace's token, an altered one, none of ours.
    books
        .accounts
        .operate(OperatorCommand::CreateWorkspace { name: "Other".into(), owner_email: "eve@example.org".into() })
        .await
        .unwrap();
    let lines = books
        .accounts
        .operate(OperatorCommand::CreateWorkspace { name: "Third".into(), owner_email: "eve@example.org".into() });
    let other = Id::parse(lines.await.unwrap()[0].strip_prefix("workspace ").unwrap()).unwrap();
    let altered = format!("{}A", &newer[..newer.len() - 1]);
    let altered = if altered == newer { format!("{}B", &newer[..newer.len() - 1]) } else { altered };
    for (hello, code) in [
        (refused(&newer, Some(other)), CloseCode::TokenInvalid),
        (refused(&altered, workspace), CloseCode::TokenInvalid),
        (refused("", workspace), CloseCode::TokenInvalid),
        (refused("bhv_", workspace), CloseCode::TokenInvalid),
        (refused(&newer, None), CloseCode::HelloExpected),
        (refused(&newer, Some(Id(7))), CloseCode::WorkspaceUnknown),
        (Hello { v: VERSION + 1, ..refused(&newer, workspace) }, CloseCode::UnsupportedVersion),
    ] {
        assert_eq!(books.accounts.admit(&hello, None).await.unwrap_err(), code, "{hello:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_token_lasts_a_minute_and_no_longer_than_its_log_in() {
    let books = Books::open().await;
    let owner = books.set_up().await;
    let token = books.accounts.socket_token(&owner.who);
    let agent = || hello(As::Agent, None, Some(token.expose()));
    let in_from = async |origin: Option<&str>| books.accounts.admit(&agent(), origin).await.map(|it| it.party);
    assert!(matches!(in_from(None).await, Ok(Party::Agent { .. })));
    for (origin, fits) in [
        ("https://chat.example", true),
        ("http://127.0.0.1:8080", true),
        ("null", false),
        ("", false),
        ("http://chat.example", false),
        ("https://chat.example.evil", false),
        ("https://evil.example", false),
    ] {
        let admitted = in_from(Some(origin)).await;
        assert_eq!(admitted.is_ok(), fits, "{origin}");
        assert!(fits || admitted == Err(CloseCode::OriginRefused));
    }
    for (text, code) in [(None, CloseCode::TokenInvalid), (Some("bhs_x"), CloseCode::TokenInvalid)] {
        let refused = books.accounts.admit(&hello(As::Agent, None, text), None).await;
        assert_eq!(refused.unwrap_err(), code);
    }
    let foreign = hello(As::Agent, Some(Id(7)), Some(token.expose()));
    assert_eq!(books.accounts.admit(&foreign, None).await.unwrap_err(), CloseCode::TokenInvalid);
    let as_visitor = hello(As::Visitor, Some(place(&owner.who)), Some(token.expose()));
    assert_eq!(books.accounts.admit(&as_visitor, None).await.unwrap_err(), CloseCode::TokenInvalid);
    books.pass(60_000);
    assert_eq!(in_from(None).await, Err(CloseCode::TokenExpired));
    books.pass(-30_000);
    books.accounts.log_out(&owner.who, false).await.unwrap();
    assert_eq!(in_from(None).await, Err(CloseCode::Revoked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspaces_list_of_origins_is_exact() {
    let books = Books::open().await;
    let owner = books.set_up().await;
    let visitor = hello(As::Visitor, Some(place(&owner.who)), None);
    for origin in [None, Some("null"), Some("https://any.example")] {
        assert!(books.accounts.admit(&visitor, origin).await.is_ok(), "an empty list means any: {origin:?}");
    }
    let change = WorkspaceChange {
        allowed_origins: Some(vec!["https://shop.example".into(), "http://127.0.0.1:8081".into()]),
        ..WorkspaceChange::default()
    };
    books.accounts.change_workspace(owner.who.workspace.id, change).await.unwrap();
    for (origin, fits) in [
        (Some("https://shop.example"), true),
        (Some("http://127.0.0.1:8081"), true),
        (None, false),
        (Some("null"), false),
        (Some(""), false),
        (Some("http://shop.example"), false),
        (Some("https://shop.example:8443"), false),
        (Some("https://shop.example.evil"), false),
        (Some("https://evilshop.example"), false),
        (Some("https://www.shop.example"), false),
        (Some("http://127.0.0.1:8082"), false),
    ] {
        let admitted = books.accounts.admit(&visitor, origin).await;
        assert_eq!(admitted.is_ok(), fits, "{origin:?}");
        assert!(fits || admitted.unwrap_err() == CloseCode::OriginRefused);
    }
}
