//! Log-ins: by password, by cookie, and their ends.

use std::net::IpAddr;
use std::sync::Arc;

use bellhop_engine::domain::{
    LoginSession, Member, MemberId, Millis, Person, PersonId, TokenId, Workspace, WorkspaceId,
};
use bellhop_engine::ports::{RecordKey, RecordList, StoreError};

use super::secret::{self, TokenKind};
use super::{Accounts, Counted, Problem, Root, SOCKET_TOKEN_MS, Secret, SocketToken, fields, records};

/// A log-in lasts 30 days from its last use.
pub(super) const LOGIN_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// The end slides at most once a day: a write a day a browser, not one a request.
const SLIDE_MS: i64 = 24 * 60 * 60 * 1000;

/// A live log-in and whom it speaks for.
#[derive(Debug, Clone)]
#[must_use]
pub struct LoggedIn {
    pub session: LoginSession,
    pub person: Person,
    pub member: Member,
    pub workspace: Arc<Workspace>,
    /// What unsafe requests with the cookie must carry.
    pub csrf: String,
}

/// A log-in that just began, with the cookie's value.
#[derive(Debug)]
#[must_use]
pub struct NewLogin {
    pub who: LoggedIn,
    pub cookie: Secret,
}

impl Accounts {
    /// Logs in by password. Takes the same time for an unknown e-mail and a wrong password.
    pub async fn log_in(
        &self,
        email: &str,
        password: Secret,
        workspace: Option<WorkspaceId>,
        from: IpAddr,
    ) -> Result<NewLogin, Problem> {
        self.rates.take(Counted::LoginPerAddress, from)?;
        let email = fields::email("email", email)?;
        let person = self.check_password(&email, password).await?;
        let mut places = self.places(&person).await?;
        if let Some(wanted) = workspace {
            places.retain(|(place, _)| place.id == wanted);
        }
        match places.len() {
            // Removed everywhere: as if there were no such person.
            0 => Err(Problem::LoginFailed),
            1 => {
                let (workspace, member) = places.swap_remove(0);
                self.begin(person, member, workspace).await
            }
            _ => Err(Problem::ChooseWorkspace(places.iter().map(|(it, _)| (it.id, it.name.clone())).collect())),
        }
    }

    /// The person whose password it is. Only failures count against the e-mail, so that nobody is locked out by
    /// logging in often.
    pub(super) async fn check_password(&self, email: &str, password: Secret) -> Result<Person, Problem> {
        self.rates.take(Counted::LoginPerEmail, email)?;
        let person = records::person_of(self.store(), email).await?.map(|(person, _)| person);
        let phc = person.as_ref().and_then(|it| it.password.clone());
        let right = self.passwords.verify(password, phc).await?;
        let Some(person) = person.filter(|_| right) else { return Err(Problem::LoginFailed) };
        self.rates.give_back(Counted::LoginPerEmail, email);
        Ok(person)
    }

    /// Where the person is a member now.
    async fn places(&self, person: &Person) -> Result<Vec<(Arc<Workspace>, Member)>, Problem> {
        let mut places = Vec::new();
        for (workspace, member) in &person.memberships {
            let Some(place) = self.workspace(*workspace) else { continue };
            if let Some((member, _)) = records::member(self.store(), *workspace, *member).await? {
                places.push((place, member));
            }
        }
        Ok(places)
    }

    /// Writes one record: a crash before it is no log-in, after it one whose cookie nobody has and that ends by itself.
    pub(super) async fn begin(
        &self,
        person: Person,
        member: Member,
        workspace: Arc<Workspace>,
    ) -> Result<NewLogin, Problem> {
        let minted = secret::mint(TokenKind::Login);
        let now = self.now();
        let session = LoginSession {
            id: minted.id,
            secret_hash: minted.hash,
            person: person.id,
            email: person.email.clone(),
            workspace: workspace.id,
            member: member.id,
            generation: person.generation,
            created_at: now,
            expires_at: now.plus(LOGIN_MS),
        };
        records::add(self.store(), session.clone()).await?;
        let csrf = self.signing.csrf(session.id);
        Ok(NewLogin { who: LoggedIn { session, person, member, workspace, csrf }, cookie: minted.text })
    }

    /// Whom a cookie speaks for.
    pub async fn by_cookie(&self, cookie: &str) -> Result<LoggedIn, Problem> {
        let (id, hash) = secret::parse(TokenKind::Login, cookie).ok_or(Problem::NotLoggedIn)?;
        let (session, _) = records::login(self.store(), id).await?.ok_or(Problem::NotLoggedIn)?;
        if !secret::same(&session.secret_hash, &hash) {
            return Err(Problem::NotLoggedIn);
        }
        self.live_login(session).await?.ok_or(Problem::NotLoggedIn)
    }

    /// Whom a log-in speaks for, if it still does.
    pub(crate) async fn by_login(&self, id: TokenId) -> Result<Option<LoggedIn>, StoreError> {
        match records::login(self.store(), id).await? {
            Some((session, _)) => self.live_login(session).await,
            None => Ok(None),
        }
    }

    async fn live_login(&self, session: LoginSession) -> Result<Option<LoggedIn>, StoreError> {
        if session.expires_at.since(self.now()) <= 0 {
            return Ok(None);
        }
        let Some((person, _)) = records::person(self.store(), session.person).await? else { return Ok(None) };
        if person.generation != session.generation {
            return Ok(None);
        }
        let Some((member, _)) = records::member(self.store(), session.workspace, session.member).await? else {
            return Ok(None);
        };
        let Some(workspace) = self.workspace(session.workspace) else { return Ok(None) };
        let csrf = self.signing.csrf(session.id);
        Ok(Some(LoggedIn { session, person, member, workspace, csrf }))
    }

    /// Whether an unsafe request may use this log-in.
    #[must_use]
    pub fn csrf_holds(&self, who: &LoggedIn, given: &str) -> bool {
        self.signing.csrf_holds(who.session.id, given)
    }

    /// Moves the log-in's end to 30 days from now. True when the cookie should be set anew.
    pub async fn slide(&self, who: &LoggedIn) -> Result<bool, Problem> {
        let end = self.now().plus(LOGIN_MS);
        if end.since(who.session.expires_at) < SLIDE_MS {
            return Ok(false);
        }
        let key = RecordKey::LoginSession(who.session.id);
        let moved = records::change::<LoginSession>(self.store(), key, |session| {
            session.expires_at = end;
            Ok(())
        });
        Ok(moved.await?.is_some())
    }

    /// A token for a socket's first frame, good for 60 s while the log-in is.
    pub fn socket_token(&self, who: &LoggedIn) -> Secret {
        self.signing.sign_socket(SocketToken {
            workspace: who.workspace.id,
            member: who.member.id,
            root: Root::Login(who.session.id),
            expires: self.now().plus(SOCKET_TOKEN_MS),
        })
    }

    /// Ends this log-in, or all of the person's, with their sockets.
    ///
    /// Everywhere: the person's generation is raised first, which ends every session at once; the rows that are deleted
    /// after it were dead already, so a crash in between leaves only rows that the sweep takes.
    pub async fn log_out(&self, who: &LoggedIn, everywhere: bool) -> Result<(), Problem> {
        if everywhere {
            return self.end_all_logins(who.person.id).await;
        }
        self.store().delete_record(RecordKey::LoginSession(who.session.id)).await?;
        self.end_sockets_of_login(who.session.id);
        Ok(())
    }

    async fn end_all_logins(&self, person: PersonId) -> Result<(), Problem> {
        let raised = records::change::<Person>(self.store(), RecordKey::Person(person), |it| {
            it.generation += 1;
            Ok(())
        });
        raised.await?;
        self.delete_logins(|it| it.person == person).await?;
        Ok(())
    }

    /// Deletes the log-ins that `which` names and closes their sockets.
    pub(super) async fn delete_logins(&self, which: impl Fn(&LoginSession) -> bool) -> Result<(), StoreError> {
        for session in records::all::<LoginSession>(self.store(), RecordList::LoginSessions).await? {
            if which(&session) {
                self.store().delete_record(RecordKey::LoginSession(session.id)).await?;
                self.end_sockets_of_login(session.id);
            }
        }
        Ok(())
    }

    pub(super) async fn sweep_logins(&self, now: Millis) -> Result<(), StoreError> {
        self.delete_logins(|it| it.expires_at.since(now) <= 0).await
    }

    /// The first place where the person is a member, for a log-in without a choice (after a reset).
    pub(super) async fn first_place(&self, person: &Person) -> Result<(Arc<Workspace>, Member), Problem> {
        let places = self.places(person).await?;
        places.into_iter().next().ok_or(Problem::LoginFailed)
    }

    /// Whether the member is one now; for sockets that an API key opened.
    pub(crate) async fn live_member(
        &self,
        workspace: WorkspaceId,
        member: MemberId,
    ) -> Result<Option<Member>, StoreError> {
        Ok(records::member(self.store(), workspace, member).await?.map(|(member, _)| member))
    }
}
