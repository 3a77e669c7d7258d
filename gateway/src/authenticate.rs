//! The one entrance for `hello`, on every transport: who is it, and may they come in from where they are.

use std::sync::Arc;

use bellhop_engine::domain::{MemberId, MemberName, Refusal, TokenId, VisitorId, WorkspaceId, visitor_name};
use bellhop_engine::exchange::Party;
use bellhop_protocol::{As, CloseCode, Hello, VERSION};

use crate::accounts::{Accounts, BadToken, Root, VISITOR_TOKEN_MS, VisitorToken, random_bytes};
use crate::ws::{Admission, Later};

/// Who came in.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    pub party: Party,
    pub workspace_name: Arc<str>,
    /// Visitor: the token to come back with, when there was none or its second half has begun.
    pub token: Option<String>,
    /// Agent: whether they take new conversations.
    pub available: Option<bool>,
    /// Agent: what the session rests on (the log-in, or the API key that made the token); `Hub::revoke_login` with it
    /// ends the session.
    pub login: Option<TokenId>,
}

impl From<BadToken> for CloseCode {
    fn from(bad: BadToken) -> Self {
        match bad {
            BadToken::Invalid => Self::TokenInvalid,
            BadToken::Expired => Self::TokenExpired,
        }
    }
}

impl Accounts {
    /// Decides on a first frame. `origin` is the `Origin` header of the handshake, if there was one.
    ///
    /// # Errors
    /// `UnsupportedVersion`; `HelloExpected` for a visitor who names no workspace; `WorkspaceUnknown`; `OriginRefused`;
    /// `TokenInvalid`, `TokenExpired`; `Revoked` for an agent whose log-in, key or membership is gone; `Overloaded` when
    /// the store did not answer.
    pub async fn admit(&self, hello: &Hello, origin: Option<&str>) -> Result<Admitted, CloseCode> {
        if hello.v != VERSION {
            return Err(CloseCode::UnsupportedVersion);
        }
        match hello.who {
            As::Visitor => self.admit_visitor(hello, origin),
            As::Agent => self.admit_agent(hello, origin).await,
        }
    }

    fn admit_visitor(&self, hello: &Hello, origin: Option<&str>) -> Result<Admitted, CloseCode> {
        let id = WorkspaceId(hello.workspace.ok_or(CloseCode::HelloExpected)?.0);
        let workspace = self.workspace(id).ok_or(CloseCode::WorkspaceUnknown)?;
        // An owner who made a list means it: no origin at all, or `null`, is not on it.
        let allowed = &workspace.allowed_origins;
        if !allowed.is_empty() && !origin.is_some_and(|it| allowed.iter().any(|known| known == it)) {
            return Err(CloseCode::OriginRefused);
        }
        let now = self.now();
        let known = match hello.token.as_deref() {
            Some(text) => {
                let token = self.signing().open_visitor(text, now)?;
                if token.workspace != id {
                    return Err(CloseCode::TokenInvalid);
                }
                Some(token)
            }
            None => None,
        };
        let visitor = known.map_or_else(new_visitor, |token| token.visitor);
        let token = known.is_none_or(|token| token.wants_renewal(now)).then(|| {
            let expires = now.plus(VISITOR_TOKEN_MS);
            let token = VisitorToken { workspace: id, visitor, issued: now, expires };
            self.signing().sign_visitor(token).expose().to_owned()
        });
        Ok(Admitted {
            party: Party::Visitor { workspace: id, visitor, name: visitor_name(visitor) },
            workspace_name: workspace.name.as_str().into(),
            token,
            available: None,
            login: None,
        })
    }

    async fn admit_agent(&self, hello: &Hello, origin: Option<&str>) -> Result<Admitted, CloseCode> {
        // A browser always says where its page is from; what says nothing is a program, and has a token of its own.
        if origin.is_some_and(|it| !self.site().is_own_origin(it)) {
            return Err(CloseCode::OriginRefused);
        }
        let text = hello.token.as_deref().ok_or(CloseCode::TokenInvalid)?;
        let token = self.signing().open_socket(text, self.now())?;
        if hello.workspace.is_some_and(|it| it.0 != token.workspace.0) {
            return Err(CloseCode::TokenInvalid);
        }
        let workspace = self.workspace(token.workspace).ok_or(CloseCode::TokenInvalid)?;
        let (lives, login) = match token.root {
            Root::Login(id) => {
                let who = self.by_login(id).await.map_err(|_| CloseCode::Overloaded)?;
                (who.is_some_and(|it| it.member.id == token.member), id)
            }
            Root::Key(id) => (self.key_lives(token.workspace, id).await.map_err(|_| CloseCode::Overloaded)?, id),
        };
        if !lives {
            return Err(CloseCode::Revoked);
        }
        let member = self.live_member(token.workspace, token.member).await.map_err(|_| CloseCode::Overloaded)?;
        let member = member.ok_or(CloseCode::Revoked)?;
        Ok(Admitted {
            party: Party::Agent {
                workspace: workspace.id,
                member: MemberName { id: member.id, name: member.name.as_str().into() },
            },
            workspace_name: workspace.name.as_str().into(),
            token: None,
            available: Some(member.available),
            login: Some(login),
        })
    }
}

impl Admission for Accounts {
    fn admit<'a>(&'a self, hello: &'a Hello, origin: Option<&'a str>) -> Later<'a, Result<Admitted, CloseCode>> {
        Box::pin(Accounts::admit(self, hello, origin))
    }

    fn set_available(
        &self,
        workspace: WorkspaceId,
        member: MemberId,
        available: bool,
    ) -> Later<'_, Result<(), Refusal>> {
        Box::pin(Accounts::set_available(self, workspace, member, available))
    }
}

fn new_visitor() -> VisitorId {
    let bytes = random_bytes();
    let mut half = [0u8; 16];
    half.copy_from_slice(&bytes[..16]);
    VisitorId(u128::from_be_bytes(half))
}
