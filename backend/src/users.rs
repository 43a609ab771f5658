//! Users as the API knows them: the store, and the cache before it.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tracing::Instrument;

use crate::accounts::Accounts;
pub use crate::accounts::UserView;
use crate::domain::{Account, NewUser, UserChanges, UserId};
use crate::store::{Position, StoreError, UserStore, Written};

/// All users.
pub struct Users {
    store: Arc<dyn UserStore>,
    accounts: Accounts,
}

impl Users {
    /// The users of `store`, which `accounts` are of too.
    pub fn new(store: Arc<dyn UserStore>, accounts: Accounts) -> Self {
        Self { store, accounts }
    }

    /// Stores a new user.
    pub async fn create(&self, user: NewUser) -> Result<Written<UserView>, StoreError> {
        let (store, accounts) = (Arc::clone(&self.store), self.accounts.clone());
        to_the_end(async move {
            let Written { value, position } = store.create(user).await?;
            let value = UserView::from(value);
            accounts.created(&value, position).await;
            Ok(Written { value, position })
        })
        .await
    }

    /// Changes a user; `None` if there is none of this id, or none that the changes are
    /// for.
    pub async fn update(
        &self,
        id: UserId,
        changes: UserChanges,
    ) -> Result<Written<Option<UserView>>, StoreError> {
        let (store, accounts) = (Arc::clone(&self.store), self.accounts.clone());
        to_the_end(async move {
            let Written { value, position } = store.update(id, changes).await?;
            if let Some(account) = &value {
                accounts.changed(id, account, position).await;
            }
            let value = value.map(|Account { user, .. }| user.into());
            Ok(Written { value, position })
        })
        .await
    }

    /// Removes a user; whether there was one.
    pub async fn delete(&self, id: UserId) -> Result<Written<bool>, StoreError> {
        let (store, accounts) = (Arc::clone(&self.store), self.accounts.clone());
        to_the_end(async move {
            let written = store.delete(id).await?;
            // An id that nobody had may yet be given.
            if written.value {
                accounts.removed(id).await;
            }
            Ok(written)
        })
        .await
    }

    /// The JSON of a [`UserView`], in a state no older than `at_least`.
    pub async fn find(&self, id: UserId, at_least: Position) -> Result<Option<Bytes>, StoreError> {
        self.accounts.view(id, at_least).await
    }

    /// Up to `limit` users with an id greater than `after`, by ascending id, in
    /// a state no older than `at_least`.
    pub async fn list(
        &self,
        after: Option<UserId>,
        limit: u32,
        at_least: Position,
    ) -> Result<Vec<UserView>, StoreError> {
        let users = self.store.list(after, limit, at_least).await?;
        Ok(users.into_iter().map(UserView::from).collect())
    }
}

/// Ends a write even if the client leaves: between the store and the cache there is no
/// place to stop.
pub(crate) async fn to_the_end<T: Send + 'static>(
    write: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(write.in_current_span()).await {
        Ok(result) => result,
        // Only if it panicked: nobody aborts it.
        Err(error) => Err(StoreError::Failed(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::{Cache, Entry};
    use crate::domain::{Role, UserName};
    use crate::testing::{FakeStore, MemoryCache, services_with};

    fn renamed(name: &str) -> UserChanges {
        UserChanges { name: Some(UserName::parse(name).unwrap()), ..UserChanges::default() }
    }

    #[tokio::test]
    async fn of_two_changes_that_come_together_the_cache_has_the_later_one() {
        let store = FakeStore::new();
        let id = store.put("ann@example.com", Role::User).id;
        let services = services_with(store.clone(), Arc::new(MemoryCache::default())).await;
        let users = &services.users;

        // Stored, and then slow to learn where the database is.
        let held = store.hold_next_position();
        let first = users.update(id, renamed("First"));
        let second = async {
            held.stored().await;
            let second = users.update(id, renamed("Second")).await.unwrap();
            held.release();
            second
        };
        let (first, second) = tokio::join!(first, second);
        assert!(first.unwrap().position >= second.position);

        let seen = users.find(id, second.position).await.unwrap().unwrap();
        let seen: UserView = serde_json::from_slice(&seen).unwrap();
        assert_eq!(seen.name, "Second");
    }

    #[tokio::test]
    async fn who_is_gone_is_gone_whatever_the_cache_has() {
        let store = FakeStore::new();
        let id = store.put("ann@example.com", Role::User).id;
        let memory = Arc::new(MemoryCache::default());
        let services = services_with(store, memory.clone()).await;

        // As read from a primary that is gone, with what nobody else had of it.
        let position = Position::from_bytes(1 << 60);
        let lost = Entry { position, value: Bytes::from_static(b"{}") };
        memory.fill(&format!("user:{id}"), lost, Duration::MAX).await.unwrap();
        assert!(services.users.find(id, Position::START).await.unwrap().is_some());
        assert!(services.users.delete(id).await.unwrap().value);
        assert!(services.users.find(id, Position::START).await.unwrap().is_none());
    }
}
