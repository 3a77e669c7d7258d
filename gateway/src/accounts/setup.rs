//! The first workspace and its owner.

use std::net::IpAddr;
use std::sync::Arc;

use bellhop_engine::domain::{LinkPurpose, Member, MemberId, Person, PersonId, Role, WorkspaceId};
use bellhop_engine::ports::{Expect, Record, RecordKey, RecordList, StoreError, Written};

use super::links::SHORT_LINK_MS;
use super::{Accounts, NewLogin, Problem, Secret, fields, records, secret, workspaces};

/// What the first owner says.
#[derive(Debug, Clone)]
pub struct Setup {
    pub workspace_name: String,
    pub name: String,
    pub email: String,
    pub password: Secret,
}

impl Accounts {
    /// Whether anybody owns a workspace yet.
    pub async fn has_owner(&self) -> Result<bool, StoreError> {
        for workspace in self.workspace_ids() {
            let members: Vec<Member> = records::all(self.store(), RecordList::Members(workspace)).await?;
            if members.iter().any(|it| it.role == Role::Owner && it.removed_at.is_none()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A new set-up link; earlier ones are dead from here on. `None` once there is an owner.
    pub async fn make_setup_link(&self) -> Result<Option<Secret>, Problem> {
        let _changes = self.changes.lock().await;
        if self.has_owner().await? {
            return Ok(None);
        }
        for link in self.live_links().await? {
            if link.purpose == LinkPurpose::Setup {
                self.delete_link(&link).await?;
            }
        }
        let (_, token) = self.make_link(LinkPurpose::Setup, SHORT_LINK_MS).await?;
        Ok(Some(self.site.link("setup", &token)))
    }

    /// Whether a set-up link still works.
    pub async fn look_at_setup(&self, token: &Secret, from: IpAddr) -> Result<(), Problem> {
        let (link, _) = self.live_link(token, from).await?;
        if link.purpose == LinkPurpose::Setup && !self.has_owner().await? { Ok(()) } else { Err(Problem::LinkDead) }
    }

    /// Makes the first workspace and its owner, and logs them in.
    ///
    /// The link is used up first. Then person and e-mail, then member, the workspace last: only with it does anything
    /// count (log-in and lists start from workspaces). A crash in between leaves a person without a workspace and no
    /// owner, so the next start prints a new link, and the same e-mail and password go on with that person.
    pub async fn set_up(&self, token: &Secret, setup: Setup, from: IpAddr) -> Result<NewLogin, Problem> {
        let workspace_name = fields::name("workspace_name", &setup.workspace_name)?;
        let name = fields::name("name", &setup.name)?;
        let email = fields::email("email", &setup.email)?;
        fields::password("password", &setup.password)?;
        let (link, version) = self.live_link(token, from).await?;
        if link.purpose != LinkPurpose::Setup {
            return Err(Problem::LinkDead);
        }
        let person = self.person_for(&email, &name, setup.password).await?;
        let _changes = self.changes.lock().await;
        if self.has_owner().await? {
            return Err(Problem::LinkDead);
        }
        self.use_up(link, version).await?;
        let workspace = workspaces::fresh(workspace_name, self.now());
        let (person, member) = self.join(person, name, workspace.id, Role::Owner).await?;
        let workspace = self.add_workspace(workspace).await?;
        self.tell_desk(workspace.id).await?;
        self.begin(person, member, workspace).await
    }

    /// The person of an e-mail, whose password it must then be; or a new one, not stored yet.
    pub(super) async fn person_for(&self, email: &str, name: &str, password: Secret) -> Result<Joining, Problem> {
        if records::person_of(self.store(), email).await?.is_some() {
            return Ok(Joining::Known(self.check_password(email, password).await?));
        }
        Ok(Joining::New(Person {
            id: PersonId(secret::random_id()),
            email: email.to_owned(),
            name: name.to_owned(),
            password: Some(self.passwords.hash(password).await?),
            memberships: Vec::new(),
            generation: 1,
        }))
    }

    /// Makes a person a member. Order: the person's record (nobody finds a new one yet), the e-mail that points to it
    /// (`Absent` makes it unique), the member. A membership without its member record is skipped by every reader, so a
    /// crash before the last step is a member that never was.
    pub(super) async fn join(
        &self,
        joining: Joining,
        name: String,
        workspace: WorkspaceId,
        role: Role,
    ) -> Result<(Person, Member), Problem> {
        let id = MemberId(secret::random_id());
        let person = match joining {
            Joining::New(mut person) => {
                person.memberships.push((workspace, id));
                records::add(self.store(), person.clone()).await?;
                let key = RecordKey::Email(person.email.clone());
                match self.store().put_record(key, Record::Email(person.id), Expect::Absent).await? {
                    Written::Done(_) => person,
                    // Somebody took the address at the same moment: this person was never reachable.
                    Written::Conflict => return Err(Problem::Busy),
                }
            }
            Joining::Known(person) => {
                let changed = records::change::<Person>(self.store(), RecordKey::Person(person.id), |it| {
                    it.memberships.push((workspace, id));
                    Ok(())
                });
                changed.await?.ok_or(Problem::LoginFailed)?
            }
        };
        let member = Member {
            id,
            workspace,
            person: person.id,
            email: person.email.clone(),
            name,
            role,
            available: true,
            created_at: self.now(),
            removed_at: None,
        };
        records::add(self.store(), member.clone()).await?;
        Ok((person, member))
    }

    /// A workspace whose owner comes by an invite; for the operator.
    pub(super) async fn create_workspace(
        &self,
        name: &str,
        owner_email: &str,
    ) -> Result<(WorkspaceId, Secret), Problem> {
        let name = fields::name("name", name)?;
        let email = fields::email("owner_email", owner_email)?;
        let workspace: Arc<_> = self.add_workspace(workspaces::fresh(name, self.now())).await?;
        self.tell_desk(workspace.id).await?;
        let invite = self.make_invite(workspace.id, Role::Owner, Some(email)).await?;
        Ok((workspace.id, invite.link))
    }
}

/// Who joins a workspace.
#[derive(Debug)]
pub(super) enum Joining {
    New(Person),
    /// Has proved it by the password.
    Known(Person),
}
