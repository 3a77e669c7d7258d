//! API keys: made, listed, checked, revoked.

use std::sync::Arc;

use bellhop_engine::domain::{ApiKey, TokenId, Workspace, WorkspaceId};
use bellhop_engine::ports::{RecordKey, RecordList, StoreError};

use super::secret::{self, TokenKind};
use super::{Accounts, Counted, Problem, Secret, fields, records};

impl Accounts {
    /// Makes a key; its text is shown once.
    pub async fn add_key(&self, workspace: WorkspaceId, name: &str) -> Result<(TokenId, Secret), Problem> {
        let name = fields::name("name", name)?;
        if self.workspace(workspace).is_none() {
            return Err(Problem::NotFound);
        }
        let minted = secret::mint(TokenKind::ApiKey);
        let key = ApiKey { id: minted.id, secret_hash: minted.hash, workspace, name, created_at: self.now() };
        records::add(self.store(), key).await?;
        Ok((minted.id, minted.text))
    }

    /// A workspace's keys, newest first.
    pub async fn keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, StoreError> {
        let mut keys: Vec<ApiKey> = records::all(self.store(), RecordList::ApiKeys).await?;
        keys.retain(|it| it.workspace == workspace);
        keys.sort_by_key(|it| (std::cmp::Reverse(it.created_at), it.id));
        Ok(keys)
    }

    /// Revokes a key: requests with it fail from here on, and the sockets that it opened are closed.
    pub async fn delete_key(&self, workspace: WorkspaceId, id: TokenId) -> Result<(), Problem> {
        let (key, _) = records::api_key(self.store(), id).await?.ok_or(Problem::NotFound)?;
        if key.workspace != workspace {
            return Err(Problem::NotFound);
        }
        self.store().delete_record(RecordKey::ApiKey(id)).await?;
        self.end_sockets_of_login(id);
        Ok(())
    }

    /// Whom a key speaks for. Every use counts against the key.
    pub async fn by_key(&self, text: &str) -> Result<(ApiKey, Arc<Workspace>), Problem> {
        let (id, hash) = secret::parse(TokenKind::ApiKey, text).ok_or(Problem::KeyInvalid)?;
        let (key, _) = records::api_key(self.store(), id).await?.ok_or(Problem::KeyInvalid)?;
        if !secret::same(&key.secret_hash, &hash) {
            return Err(Problem::KeyInvalid);
        }
        self.rates.take(Counted::PerKey, id)?;
        let workspace = self.workspace(key.workspace).ok_or(Problem::KeyInvalid)?;
        Ok((key, workspace))
    }

    /// Whether a key is still there; for sockets that it opened.
    pub(crate) async fn key_lives(&self, workspace: WorkspaceId, id: TokenId) -> Result<bool, StoreError> {
        Ok(records::api_key(self.store(), id).await?.is_some_and(|(key, _)| key.workspace == workspace))
    }
}
