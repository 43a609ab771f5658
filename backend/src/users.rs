//! Users as the API knows them: the store, and the cache before it.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::domain::{Account, NewUser, User, UserChanges, UserId};
use crate::store::{Position, StoreError, UserStore, Written};

/// A user as clients see one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserView {
    /// Identity.
    pub id: i64,
    /// The address.
    pub email: String,
    /// What the user is called.
    pub name: String,
    /// `user` or `admin`.
    pub role: String,
    /// RFC 3339, in UTC, with milliseconds.
    pub created_at: String,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        // Destructured: whether a new field is for clients is decided here.
        let User { id, email, name, role, created_at } = user;
        Self {
            id: id.value(),
            email: email.as_str().to_owned(),
            name: name.as_str().to_owned(),
            role: role.as_str().to_owned(),
            created_at: humantime::format_rfc3339_millis(created_at).to_string(),
        }
    }
}

/// All users.
pub struct Users {
    store: Arc<dyn UserStore>,
    #[expect(dead_code, reason = "reads will go through it")]
    cache: Arc<dyn Cache>,
}

impl Users {
    /// The users of `store`, with `cache` before it.
    pub fn new(store: Arc<dyn UserStore>, cache: Arc<dyn Cache>) -> Self {
        Self { store, cache }
    }

    /// Stores a new user.
    pub async fn create(&self, user: NewUser) -> Result<Written<UserView>, StoreError> {
        let Written { value, position } = self.store.create(user).await?;
        Ok(Written { value: value.into(), position })
    }

    /// Changes a user; `None` if there is none of this id.
    pub async fn update(
        &self,
        id: UserId,
        changes: UserChanges,
    ) -> Result<Written<Option<UserView>>, StoreError> {
        let Written { value, position } = self.store.update(id, changes).await?;
        let value = value.map(|Account { user, .. }| user.into());
        Ok(Written { value, position })
    }

    /// Removes a user; whether there was one.
    pub async fn delete(&self, id: UserId) -> Result<Written<bool>, StoreError> {
        self.store.delete(id).await
    }

    /// The JSON of a [`UserView`], in a state no older than `at_least`.
    pub async fn find(&self, id: UserId, at_least: Position) -> Result<Option<Bytes>, StoreError> {
        let found = self.store.find(id, at_least).await?;
        found
            .value
            .map(|user| serde_json::to_vec(&UserView::from(user)).map(Bytes::from))
            .transpose()
            .map_err(|error| StoreError::Failed(error.into()))
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
