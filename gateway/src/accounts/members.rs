//! Members: listed, made by integrations, switched to away, removed.

use std::collections::HashMap;

use bellhop_engine::domain::{Member, MemberId, Person, PersonId, Refusal, Role, WorkspaceId};
use bellhop_engine::ports::{RecordKey, RecordList};

use super::{Accounts, Problem, Root, SOCKET_TOKEN_MS, Secret, SocketToken, fields, records, secret};
use bellhop_engine::domain::TokenId;

/// A member with what the engine knows of them now.
#[derive(Debug, Clone)]
pub struct MemberView {
    pub member: Member,
    pub online: bool,
    /// Conversations they hold.
    pub open: u32,
}

impl Accounts {
    /// The members now, first joined first.
    pub async fn members(&self, workspace: WorkspaceId) -> Result<Vec<MemberView>, Problem> {
        let states: HashMap<MemberId, (bool, u32)> = match self.live.get() {
            Some(live) => {
                let states = live.engine.members(workspace);
                states.into_iter().map(|it| (it.member.id, (it.online, it.open))).collect()
            }
            None => HashMap::new(),
        };
        let members: Vec<Member> = records::all(self.store(), RecordList::Members(workspace)).await?;
        let mut out: Vec<MemberView> = members
            .into_iter()
            .filter(|it| it.removed_at.is_none())
            .map(|member| {
                let (online, open) = states.get(&member.id).copied().unwrap_or_default();
                MemberView { member, online, open }
            })
            .collect();
        out.sort_by_key(|it| (it.member.created_at, it.member.id));
        Ok(out)
    }

    /// A member for an integration: acts through its API key and cannot log in.
    ///
    /// Their person owns no e-mail record: whoever holds a key could otherwise claim, for ever and for every
    /// workspace, an address that is not theirs. Order: person, then member; a person whom no member and no e-mail
    /// points to is never found.
    pub async fn add_member(
        &self,
        workspace: WorkspaceId,
        name: &str,
        email: &str,
        role: Role,
    ) -> Result<MemberView, Problem> {
        let name = fields::name("name", name)?;
        let email = fields::email("email", email)?;
        let _changes = self.changes.lock().await;
        let members: Vec<Member> = records::all(self.store(), RecordList::Members(workspace)).await?;
        if members.iter().any(|it| it.removed_at.is_none() && it.email == email) {
            return Err(Problem::MemberExists);
        }
        let member = Member {
            id: MemberId(secret::random_id()),
            workspace,
            person: PersonId(secret::random_id()),
            email: email.clone(),
            name: name.clone(),
            role,
            available: true,
            created_at: self.now(),
            removed_at: None,
        };
        let person = Person {
            id: member.person,
            email,
            name,
            password: None,
            memberships: vec![(workspace, member.id)],
            generation: 1,
        };
        records::add(self.store(), person).await?;
        records::add(self.store(), member.clone()).await?;
        self.tell_desk(workspace).await?;
        Ok(MemberView { member, online: false, open: 0 })
    }

    /// Removes a member: every log-in and socket of theirs in this workspace ends now.
    ///
    /// The mark on the member's record is what counts: every authentication looks at it, so from that one write on
    /// nothing of theirs works. What follows (log-ins, desk, sockets, the person's list) only tidies up, and a crash in
    /// between is made good by the next start, which reads desks without removed members.
    pub async fn remove_member(&self, workspace: WorkspaceId, id: MemberId) -> Result<(), Problem> {
        let _changes = self.changes.lock().await;
        let members: Vec<Member> = records::all(self.store(), RecordList::Members(workspace)).await?;
        let there = |it: &&Member| it.removed_at.is_none();
        let member = members.iter().filter(there).find(|it| it.id == id).ok_or(Problem::NotFound)?;
        // An owner who cannot log in (made by an integration) could not run the workspace.
        if member.role == Role::Owner {
            let mut others = 0;
            for other in members.iter().filter(there).filter(|it| it.role == Role::Owner && it.id != id) {
                let person = records::person(self.store(), other.person).await?;
                others += u32::from(person.is_some_and(|(it, _)| it.password.is_some()));
            }
            if others == 0 {
                return Err(Problem::LastOwner);
            }
        }
        let now = self.now();
        let removed = records::change::<Member>(self.store(), RecordKey::Member(workspace, id), |it| {
            it.removed_at = Some(now);
            it.available = false;
            Ok(())
        });
        removed.await?.ok_or(Problem::NotFound)?;
        let person = member.person;
        // From what was read above: a store that fails from here on must not leave the member's sockets open, nor
        // their conversations with them.
        self.end_sockets_of_member(workspace, id);
        self.tell_desk_of(workspace, members.into_iter().filter(|it| it.id != id).collect());
        self.delete_logins(|it| it.workspace == workspace && it.member == id).await?;
        let left = records::change::<Person>(self.store(), RecordKey::Person(person), |it| {
            it.memberships.retain(|place| *place != (workspace, id));
            Ok(())
        });
        left.await?;
        Ok(())
    }

    /// Stores whether a member takes new conversations, then tells the engine.
    pub async fn set_available(
        &self,
        workspace: WorkspaceId,
        member: MemberId,
        available: bool,
    ) -> Result<(), Refusal> {
        // Told in the order in which it was stored, also beside other changes of the workspace.
        let _turn = self.changes.lock().await;
        let changed = records::change::<Member>(self.store(), RecordKey::Member(workspace, member), |it| {
            if it.removed_at.is_some() {
                return Err(Problem::NotFound);
            }
            it.available = available;
            Ok(())
        });
        let changed = changed.await.and_then(|it| it.ok_or(Problem::NotFound));
        changed.map_err(|problem| problem.as_refusal())?;
        self.tell_available(workspace, member, available);
        Ok(())
    }

    /// A token by which an API key's program connects as a member, good for 60 s while the key is.
    pub async fn socket_token_for(
        &self,
        workspace: WorkspaceId,
        key: TokenId,
        member: MemberId,
    ) -> Result<Secret, Problem> {
        self.live_member(workspace, member).await?.ok_or(Problem::NotFound)?;
        Ok(self.signing.sign_socket(SocketToken {
            workspace,
            member,
            root: Root::Key(key),
            expires: self.now().plus(SOCKET_TOKEN_MS),
        }))
    }
}
