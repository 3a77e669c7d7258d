//! Workspaces and their settings.

use std::sync::Arc;

use bellhop_engine::domain::{Corner, Member, Millis, Workspace, WorkspaceId};
use bellhop_engine::ports::{Colleague, Desk, RecordKey, RecordList, Store, StoreError};

use super::{Accounts, Problem, fields, records, secret};

/// LOOK.md's accent.
const FIRST_ACCENT: u32 = 0x0f_5c63;
/// Says what happens next, and is true at every hour.
const FIRST_GREETING: &str = "Hello. Ask us anything; the answer appears right here.";
/// Conversations the queue gives one agent at most, in a new workspace: what a person can answer well at once.
const FIRST_AGENT_CAP: u32 = 5;

/// What an owner wants otherwise; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct WorkspaceChange {
    pub name: Option<String>,
    pub greeting: Option<String>,
    pub accent: Option<String>,
    pub position: Option<Corner>,
    pub allowed_origins: Option<Vec<String>>,
    pub agent_cap: Option<u32>,
}

pub(super) fn fresh(name: String, now: Millis) -> Workspace {
    Workspace {
        id: WorkspaceId(secret::random_id()),
        name,
        greeting: FIRST_GREETING.to_owned(),
        accent: FIRST_ACCENT,
        position: Corner::Right,
        allowed_origins: Vec::new(),
        agent_cap: FIRST_AGENT_CAP,
        created_at: now,
    }
}

pub(super) async fn all(store: &dyn Store) -> Result<Vec<Workspace>, StoreError> {
    records::all(store, RecordList::Workspaces).await
}

pub(super) async fn desk(store: &dyn Store, workspace: &Workspace) -> Result<Desk, StoreError> {
    let members: Vec<Member> = records::all(store, RecordList::Members(workspace.id)).await?;
    Ok(desk_of(workspace, members))
}

/// The desk of these members, without those who were removed.
pub(super) fn desk_of(workspace: &Workspace, members: Vec<Member>) -> Desk {
    let members = members
        .into_iter()
        .filter(|it| it.removed_at.is_none())
        .map(|it| Colleague {
            member: bellhop_engine::domain::MemberName { id: it.id, name: it.name.into() },
            role: it.role,
            available: it.available,
        })
        .collect();
    Desk { workspace: workspace.id, agent_cap: workspace.agent_cap, members }
}

/// Every workspace as routing sees it: what the engine starts with.
pub async fn desks(store: &dyn Store) -> Result<Vec<Desk>, StoreError> {
    let mut out = Vec::new();
    for workspace in all(store).await? {
        out.push(desk(store, &workspace).await?);
    }
    Ok(out)
}

impl Accounts {
    /// A workspace, if there is one of this id. Reads memory only.
    pub fn workspace(&self, id: WorkspaceId) -> Option<Arc<Workspace>> {
        self.workspaces.get(&id).map(|it| Arc::clone(it.value()))
    }

    pub(super) fn workspace_ids(&self) -> Vec<WorkspaceId> {
        self.workspaces.iter().map(|it| *it.key()).collect()
    }

    /// The workspace that was made first: what the demo page shows.
    pub fn first_workspace(&self) -> Option<Arc<Workspace>> {
        self.workspaces.iter().map(|it| Arc::clone(it.value())).min_by_key(|it| (it.created_at, it.id))
    }

    pub(super) async fn add_workspace(&self, workspace: Workspace) -> Result<Arc<Workspace>, Problem> {
        records::add(self.store(), workspace.clone()).await?;
        let workspace = Arc::new(workspace);
        self.workspaces.insert(workspace.id, Arc::clone(&workspace));
        Ok(workspace)
    }

    /// Changes settings; all of them or, when one is not fit, none.
    pub async fn change_workspace(&self, id: WorkspaceId, change: WorkspaceChange) -> Result<Arc<Workspace>, Problem> {
        let name = change.name.as_deref().map(|it| fields::name("name", it)).transpose()?;
        let greeting = change.greeting.as_deref().map(fields::greeting).transpose()?;
        let accent = change.accent.as_deref().map(fields::accent).transpose()?;
        let origins = change.allowed_origins.as_deref().map(fields::origins).transpose()?;
        let agent_cap = change.agent_cap.map(fields::agent_cap).transpose()?;
        let _changes = self.changes.lock().await;
        let changed = records::change::<Workspace>(self.store(), RecordKey::Workspace(id), |it| {
            if let Some(name) = &name {
                it.name.clone_from(name);
            }
            if let Some(greeting) = &greeting {
                it.greeting.clone_from(greeting);
            }
            it.accent = accent.unwrap_or(it.accent);
            it.position = change.position.unwrap_or(it.position);
            if let Some(origins) = &origins {
                it.allowed_origins.clone_from(origins);
            }
            it.agent_cap = agent_cap.unwrap_or(it.agent_cap);
            Ok(())
        });
        let workspace = Arc::new(changed.await?.ok_or(Problem::NotFound)?);
        self.workspaces.insert(id, Arc::clone(&workspace));
        self.tell_desk(id).await?;
        Ok(workspace)
    }
}
