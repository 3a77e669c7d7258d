//! What an operator may ask for on the command line, whether this process opens the store or a running server is asked.

use bellhop_engine::domain::{Role, WorkspaceId};
use bellhop_protocol::Id;
use serde::{Deserialize, Serialize};

use super::{Accounts, Problem};

/// Everything an operator may do to accounts. The same value goes to the store directly or to the admin port.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum OperatorCommand {
    /// A new set-up link, while nobody owns a workspace.
    SetupLink {},
    /// A workspace, and the invite of its owner.
    CreateWorkspace { name: String, owner_email: String },
    /// An invite link.
    InviteUser { workspace: Id, email: Option<String>, owner: bool },
    /// A link that sets a new password.
    ResetPassword { email: String },
    /// An API key.
    CreateKey { workspace: Id, name: String },
}

impl Accounts {
    /// Does it and says, line by line, what the operator needs: links and keys in full, for they asked for them.
    pub async fn operate(&self, command: OperatorCommand) -> Result<Vec<String>, Problem> {
        match command {
            OperatorCommand::SetupLink {} => match self.make_setup_link().await? {
                Some(link) => Ok(vec![link.expose().to_owned()]),
                None => Err(Problem::BadField {
                    field: "setup-link",
                    message: "There is an owner already. Log in, or use `bellhop user reset-password`.".into(),
                }),
            },
            OperatorCommand::CreateWorkspace { name, owner_email } => {
                let (workspace, link) = self.create_workspace(&name, &owner_email).await?;
                Ok(vec![format!("workspace {workspace}"), link.expose().to_owned()])
            }
            OperatorCommand::InviteUser { workspace, email, owner } => {
                let role = if owner { Role::Owner } else { Role::Agent };
                let invite = self.invite(WorkspaceId(workspace.0), role, email.as_deref()).await?;
                Ok(vec![invite.link.expose().to_owned()])
            }
            OperatorCommand::ResetPassword { email } => {
                Ok(vec![self.make_reset_link(&email).await?.expose().to_owned()])
            }
            OperatorCommand::CreateKey { workspace, name } => {
                let (_, key) = self.add_key(WorkspaceId(workspace.0), &name).await?;
                Ok(vec![key.expose().to_owned()])
            }
        }
    }
}
