//! [`UserStore`]: which statement goes where.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::join_all;

use super::PostgresStore;
use super::statements::{
    Create, Delete, Find, FindAccount, FindCredentials, IsRevoked, List, Revoke, Update,
};
use crate::domain::{
    Account, Credentials, EmailAddress, NewUser, TokenId, User, UserChanges, UserId,
};
use crate::secret::Secret;
use crate::store::{Position, Read, ReadCounts, StoreError, StoreStatus, UserStore, Written};

/// How long the ends of connections are waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

#[async_trait]
impl UserStore for PostgresStore {
    async fn create(&self, user: NewUser) -> Result<Written<User>, StoreError> {
        let Written { value, position } = self.write(Create(&user)).await?;
        Ok(Written { value: value.ok_or(StoreError::EmailTaken)?.try_into()?, position })
    }

    async fn update(
        &self,
        id: UserId,
        changes: UserChanges,
    ) -> Result<Written<Option<Account>>, StoreError> {
        let Written { value, position } = self.write(Update { id, changes: &changes }).await?;
        Ok(Written { value: value.map(Account::try_from).transpose()?, position })
    }

    async fn delete(&self, id: UserId) -> Result<Written<bool>, StoreError> {
        let Written { value, position } = self.write(Delete(id)).await?;
        Ok(Written { value: value.rows_affected() > 0, position })
    }

    async fn find(&self, id: UserId, at_least: Position) -> Result<Read<Option<User>>, StoreError> {
        let Read { value, position } = self.read(at_least, Find(id)).await?;
        Ok(Read { value: value.map(User::try_from).transpose()?, position })
    }

    async fn list(
        &self,
        after: Option<UserId>,
        limit: u32,
        at_least: Position,
    ) -> Result<Vec<User>, StoreError> {
        let rows = self.read(at_least, List { after, limit }).await?.value;
        rows.into_iter().map(User::try_from).collect()
    }

    async fn credentials(&self, email: &EmailAddress) -> Result<Option<Credentials>, StoreError> {
        let found = self.read_newest(FindCredentials(email)).await?.value;
        Ok(found.map(|(id, hash, token_version)| Credentials {
            id: UserId::from_stored(id),
            password_hash: Secret::new(hash),
            token_version,
        }))
    }

    async fn account(&self, id: UserId) -> Result<Read<Option<Account>>, StoreError> {
        let Read { value, position } = self.read_newest(FindAccount(id)).await?;
        Ok(Read { value: value.map(Account::try_from).transpose()?, position })
    }

    async fn revoke(
        &self,
        token: &TokenId,
        expires_at: SystemTime,
    ) -> Result<Written<()>, StoreError> {
        self.write(Revoke { token, expires_at }).await
    }

    async fn is_revoked(&self, token: &TokenId) -> Result<Read<bool>, StoreError> {
        self.read_newest(IsRevoked(token)).await
    }

    async fn status(&self) -> StoreStatus {
        self.watch.refresh().await;
        self.known_status()
    }

    fn known_status(&self) -> StoreStatus {
        StoreStatus {
            is_migrated: self.servers.iter().any(|server| server.is_migrated()),
            servers: self.servers.iter().map(|server| server.status()).collect(),
        }
    }

    fn read_counts(&self) -> ReadCounts {
        self.counts.read()
    }

    async fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
        // A server that hangs does not say goodbye.
        let closing = async {
            self.watch.close().await;
            join_all(self.servers.iter().map(|server| server.close())).await;
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }
}
