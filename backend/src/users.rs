//! Users as the API knows them: the store, and the cache before it.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tracing::Instrument;

use crate::accounts::Accounts;
pub use crate::accounts::UserView;
use crate::domain::{Account, NewUser, UserChanges, UserId};
use crate::store::{Position, Read, StoreError, UserStore, Written};

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

    /// Changes a user; `None` if there is none of this id.
    pub async fn update(
        &self,
        id: UserId,
        changes: UserChanges,
    ) -> Result<Written<Option<UserView>>, StoreError> {
        let (store, accounts) = (Arc::clone(&self.store), self.accounts.clone());
        to_the_end(async move {
            let Written { value, position } = store.update(id, changes).await?;
            let Read { value: account, position: seen } =
                after_writing(&*store, id, &value, position).await;
            accounts.written(id, account.as_ref(), seen).await;
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
            accounts.written(id, None, written.position).await;
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

/// What the cache is told of an account that has been changed. The change itself may not be:
/// where two change the same account, the first may be told its position after the second,
/// and its account would stand in the cache as the newer one. So the account is read again,
/// like everything else that is kept: in a state no older than its position.
async fn after_writing(
    store: &dyn UserStore,
    id: UserId,
    written: &Option<Account>,
    position: Position,
) -> Read<Option<Account>> {
    match store.account(id).await {
        Ok(read) if read.position >= position => read,
        // The primary is gone, in this moment: a replica may not have the change yet.
        Ok(_) | Err(_) => Read { value: written.clone(), position },
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

    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::*;
    use crate::cache::{Cache, CacheAside, CacheError, Entry};
    use crate::domain::{Role, UserName};
    use crate::metrics::Metrics;
    use crate::testing::FakeStore;

    /// What was written to the cache, in that order.
    #[derive(Default)]
    struct Written(Mutex<Vec<(String, Entry)>>);

    #[async_trait]
    impl Cache for Written {
        async fn find(&self, _: &str) -> Result<Option<Entry>, CacheError> {
            Ok(None)
        }

        async fn fill(&self, _: &str, _: Entry, _: Duration) -> Result<(), CacheError> {
            Ok(())
        }

        async fn replace(&self, key: &str, entry: Entry, _: Duration) -> Result<(), CacheError> {
            self.0.lock().push((key.to_owned(), entry));
            Ok(())
        }

        async fn ping(&self) -> Result<(), CacheError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_change_that_was_overtaken_does_not_bring_back_what_is_gone() {
        let store = FakeStore::new();
        let ann = store.put("ann@example.com", Role::User).id;
        let written = Arc::new(Written::default());
        let aside = CacheAside::new(written.clone(), Metrics::new("one").unwrap().cache);
        let users = Users::new(store.clone(), Accounts::new(store.clone(), aside));

        // Another instance removes the user before this one is told its position.
        store.remove_after_next_write(ann);
        let changes =
            UserChanges { name: Some(UserName::parse("Anna").unwrap()), ..UserChanges::default() };
        let changed = users.update(ann, changes).await.unwrap();
        assert_eq!(changed.value.unwrap().name, "Anna");

        let written = written.0.lock();
        assert_eq!(written.len(), 2, "user and account");
        for (key, entry) in &*written {
            assert_eq!(entry.value, "", "{key}: the user is gone");
            assert!(entry.position >= changed.position);
        }
    }
}
