//! Invites: an owner makes a link, somebody becomes a member by it.

use std::net::IpAddr;

use bellhop_engine::domain::{LinkPurpose, Member, Millis, Role, TokenId, WorkspaceId};
use bellhop_engine::ports::{RecordList, StoreError};

use super::links::INVITE_MS;
use super::{Accounts, NewLogin, Problem, Secret, fields, records};

/// An invite that was just made; the link is shown once.
#[derive(Debug)]
pub struct Invite {
    pub id: TokenId,
    pub link: Secret,
    pub expires_at: Millis,
}

/// What an invite says to whoever holds it, and to the owner.
#[derive(Debug, Clone)]
pub struct InviteLook {
    pub id: TokenId,
    pub workspace_name: String,
    pub email: Option<String>,
    pub role: Role,
    pub created_at: Millis,
    pub expires_at: Millis,
}

impl Accounts {
    /// Makes an invite, good for 7 days and one person.
    pub async fn invite(&self, workspace: WorkspaceId, role: Role, email: Option<&str>) -> Result<Invite, Problem> {
        let email = email.map(|it| fields::email("email", it)).transpose()?;
        self.make_invite(workspace, role, email).await
    }

    pub(super) async fn make_invite(
        &self,
        workspace: WorkspaceId,
        role: Role,
        email: Option<String>,
    ) -> Result<Invite, Problem> {
        if self.workspace(workspace).is_none() {
            return Err(Problem::NotFound);
        }
        let (link, token) = self.make_link(LinkPurpose::Invite { workspace, role, email }, INVITE_MS).await?;
        Ok(Invite { id: link.id, link: self.site.link("invite", &token), expires_at: link.expires_at })
    }

    /// A workspace's invites that could still be accepted, newest first.
    pub async fn invites(&self, workspace: WorkspaceId) -> Result<Vec<InviteLook>, StoreError> {
        let mut out = Vec::new();
        for link in self.live_links().await? {
            if let LinkPurpose::Invite { workspace: of, role, email } = link.purpose
                && of == workspace
            {
                out.push(InviteLook {
                    id: link.id,
                    workspace_name: String::new(),
                    email,
                    role,
                    created_at: link.created_at,
                    expires_at: link.expires_at,
                });
            }
        }
        out.sort_by_key(|it| (std::cmp::Reverse(it.created_at), it.id));
        Ok(out)
    }

    /// Takes an invite back. `NotFound` for one of another workspace as for none at all.
    pub async fn delete_invite(&self, workspace: WorkspaceId, id: TokenId) -> Result<(), Problem> {
        let (link, _) = records::link(self.store(), id).await?.ok_or(Problem::NotFound)?;
        match link.purpose {
            LinkPurpose::Invite { workspace: of, .. } if of == workspace => Ok(self.delete_link(&link).await?),
            _ => Err(Problem::NotFound),
        }
    }

    /// What an invite is for.
    pub async fn look_at_invite(&self, token: &Secret, from: IpAddr) -> Result<InviteLook, Problem> {
        let (link, _) = self.live_link(token, from).await?;
        let LinkPurpose::Invite { workspace, role, email } = link.purpose else { return Err(Problem::LinkDead) };
        let workspace = self.workspace(workspace).ok_or(Problem::LinkDead)?;
        Ok(InviteLook {
            id: link.id,
            workspace_name: workspace.name.clone(),
            email,
            role,
            created_at: link.created_at,
            expires_at: link.expires_at,
        })
    }

    /// Becomes a member and logs in. An e-mail that has a person already needs their password (`LoginFailed`); an
    /// invite made for an address takes no other.
    ///
    /// The link is used up before anything is written: a crash after it costs the invite, and the owner makes another.
    pub async fn accept_invite(
        &self,
        token: &Secret,
        name: &str,
        email: &str,
        password: Secret,
        from: IpAddr,
    ) -> Result<NewLogin, Problem> {
        let name = fields::name("name", name)?;
        let email = fields::email("email", email)?;
        fields::password("password", &password)?;
        let (link, version) = self.live_link(token, from).await?;
        let LinkPurpose::Invite { workspace, role, email: ref wanted } = link.purpose else {
            return Err(Problem::LinkDead);
        };
        if wanted.as_ref().is_some_and(|it| *it != email) {
            let message = "This invite is for another e-mail address.".into();
            return Err(Problem::BadField { field: "email", message });
        }
        let place = self.workspace(workspace).ok_or(Problem::LinkDead)?;
        let joining = self.person_for(&email, &name, password).await?;
        let _changes = self.changes.lock().await;
        let members: Vec<Member> = records::all(self.store(), RecordList::Members(workspace)).await?;
        if members.iter().any(|it| it.removed_at.is_none() && it.email == email) {
            return Err(Problem::MemberExists);
        }
        self.use_up(link, version).await?;
        let (person, member) = self.join(joining, name, workspace, role).await?;
        self.tell_desk(workspace).await?;
        self.begin(person, member, place).await
    }
}
