//! Workspaces, people and what lets them in: every rule about accounts, over the store's records.
//!
//! Absent: HTTP, cookies, JSON. Whoever asks (REST, sockets, the command line) is answered with a value or a
//! [`Problem`]. How operations over several records stay harmless when the process dies in between is said at each.

mod fields;
mod invites;
mod keys;
mod links;
mod login;
mod members;
mod operator;
mod passwords;
mod problem;
mod rates;
mod records;
mod secret;
mod setup;
mod signed;
mod workspaces;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bellhop_engine::Engine;
use bellhop_engine::domain::{Member, MemberId, Millis, TokenId, Workspace, WorkspaceId};
use bellhop_engine::ports::{Clock, Store, StoreError};
use dashmap::DashMap;

pub(crate) use fields::{MAX_EMAIL_CHARS, MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS, is_out_of_a_name, origin};
pub use invites::{Invite, InviteLook};
pub use login::{LoggedIn, NewLogin};
pub use members::MemberView;
pub use operator::OperatorCommand;
pub use problem::Problem;
pub use rates::{Counted, Rates};
pub use secret::Secret;
pub(crate) use secret::random_bytes;
pub use setup::Setup;
pub(crate) use signed::{BadToken, Root, SOCKET_TOKEN_MS, SocketToken, VISITOR_TOKEN_MS, VisitorToken};
pub use workspaces::{WorkspaceChange, desks};

use crate::site::Site;
use crate::ws::Hub;

/// What changes are told to while a server runs; absent for commands that open the store themselves.
struct Live {
    engine: Engine,
    hub: Arc<Hub>,
}

/// The accounts of one store.
pub struct Accounts {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    site: Arc<Site>,
    signing: signed::SigningKeys,
    passwords: passwords::Passwords,
    rates: Rates,
    /// Every workspace, so that a visitor's `hello` reads no record. This process alone writes them (the store refuses
    /// a second server), so the copy is always as stored.
    workspaces: DashMap<WorkspaceId, Arc<Workspace>>,
    live: OnceLock<Live>,
    /// Held by changes that look at several records before they write one ("is there another owner?"). Such changes
    /// are rare; one lock keeps them simple.
    changes: tokio::sync::Mutex<()>,
}

impl Accounts {
    /// Reads every workspace.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        site: Arc<Site>,
        rates: Rates,
    ) -> Result<Self, StoreError> {
        let workspaces = DashMap::new();
        for workspace in workspaces::all(store.as_ref()).await? {
            workspaces.insert(workspace.id, Arc::new(workspace));
        }
        Ok(Self {
            signing: signed::SigningKeys::derive(store.secret()),
            passwords: passwords::Passwords::new(),
            rates,
            workspaces,
            live: OnceLock::new(),
            changes: tokio::sync::Mutex::new(()),
            store,
            clock,
            site,
        })
    }

    /// From here on the engine and the open sockets are told of changes. Called once, before anything is served.
    pub fn attach(&self, engine: Engine, hub: Arc<Hub>) {
        // A second call would be a second server in one process; the first one stays.
        let _ = self.live.set(Live { engine, hub });
    }

    /// Milliseconds since 1970 by the server's clock.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Counts an attempt (SECURITY.md, row G).
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Where this server is reached, and which origins are its own.
    pub fn site(&self) -> &Site {
        &self.site
    }

    pub(crate) fn signing(&self) -> &signed::SigningKeys {
        &self.signing
    }

    fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Tells the engine who is there now.
    async fn tell_desk(&self, workspace: WorkspaceId) -> Result<(), StoreError> {
        let Some(live) = self.live.get() else { return Ok(()) };
        let Some(record) = self.workspace(workspace) else { return Ok(()) };
        live.engine.set_desk(workspaces::desk(self.store(), &record).await?);
        Ok(())
    }

    /// The same, where the members are known: nothing can fail.
    fn tell_desk_of(&self, workspace: WorkspaceId, members: Vec<Member>) {
        if let (Some(live), Some(record)) = (self.live.get(), self.workspace(workspace)) {
            live.engine.set_desk(workspaces::desk_of(&record, members));
        }
    }

    fn tell_available(&self, workspace: WorkspaceId, member: MemberId, available: bool) {
        if let Some(live) = self.live.get() {
            live.engine.set_available(workspace, member, available);
        }
    }

    fn end_sockets_of_login(&self, login: TokenId) {
        if let Some(live) = self.live.get() {
            live.hub.revoke_login(login);
        }
    }

    fn end_sockets_of_member(&self, workspace: WorkspaceId, member: MemberId) {
        if let Some(live) = self.live.get() {
            live.hub.revoke_member(workspace, member);
        }
    }

    /// Counts an attempt with a link from an address.
    fn count_link(&self, from: IpAddr) -> Result<(), Problem> {
        self.rates.take(Counted::LinkPerAddress, from)
    }

    /// Removes what is over: log-ins past their end, links a month after theirs. Run at the start and then daily.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.now();
        self.sweep_logins(now).await?;
        self.sweep_links(now).await
    }
}
