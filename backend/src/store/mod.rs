//! Where users are kept. [`UserStore`] is what the handlers know; which
//! database stands behind it is decided in [`crate::app`].
//!
//! The contract of every implementation: what one call has stored, the next
//! call of any instance of the service finds, if it asks for a state that is
//! no older than the [`Position`] the first one gave.

mod failure;
mod position;
mod postgres;
mod row;
mod sqlite;
mod status;

use std::error::Error;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::domain::{
    Account, Credentials, EmailAddress, NewUser, TokenId, User, UserChanges, UserId,
};

pub use position::Position;
pub use postgres::{PostgresSettings, PostgresStore};
pub use sqlite::{OpenError, SqliteStore};
pub use status::{PoolUsage, ReadCounts, ServerStatus, StoreStatus};

/// How long a refused token is remembered after its end: longer than the clocks of
/// a fleet are ever apart.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(3600);

/// What was read, and how new the state is in which it was.
#[derive(Debug, Clone)]
pub struct Read<T> {
    /// What was found.
    pub value: T,
    /// Everything written up to here was seen.
    pub position: Position,
}

/// What was written, and from where on it can be read.
#[derive(Debug, Clone)]
pub struct Written<T> {
    /// What there is now.
    pub value: T,
    /// Whoever sees the state of this position, or of a later one, sees the write.
    pub position: Position,
}

/// Storage of users.
#[async_trait]
pub trait UserStore: Send + Sync + 'static {
    /// Stores a new user.
    ///
    /// # Errors
    /// [`StoreError::EmailTaken`] if the address is in use, without regard to
    /// case.
    async fn create(&self, user: NewUser) -> Result<Written<User>, StoreError>;

    /// Changes a user, and gives it as it is then; `None` if there is none of
    /// this id, or if its tokens are of another version than the changes are for.
    ///
    /// # Errors
    /// [`StoreError::EmailTaken`] as in [`UserStore::create`].
    async fn update(
        &self,
        id: UserId,
        changes: UserChanges,
    ) -> Result<Written<Option<Account>>, StoreError>;

    /// Removes a user; whether there was one.
    async fn delete(&self, id: UserId) -> Result<Written<bool>, StoreError>;

    /// The user with this id, in a state no older than `at_least`.
    async fn find(&self, id: UserId, at_least: Position) -> Result<Read<Option<User>>, StoreError>;

    /// Up to `limit` users with an id greater than `after`, by ascending id, in
    /// a state no older than `at_least`.
    async fn list(
        &self,
        after: Option<UserId>,
        limit: u32,
        at_least: Position,
    ) -> Result<Vec<User>, StoreError>;

    /// What the login of this address is checked against, in the newest state
    /// that can be had.
    async fn credentials(&self, email: &EmailAddress) -> Result<Option<Credentials>, StoreError>;

    /// What the tokens of this user are checked against, in the newest state
    /// that can be had.
    async fn account(&self, id: UserId) -> Result<Read<Option<Account>>, StoreError>;

    /// Refuses a token from now on. It is kept until `expires_at`.
    async fn revoke(
        &self,
        token: &TokenId,
        expires_at: SystemTime,
    ) -> Result<Written<()>, StoreError>;

    /// Whether a token has been refused, in the newest state that can be had.
    async fn is_revoked(&self, token: &TokenId) -> Result<Read<bool>, StoreError>;

    /// How the servers are: asked now, or a moment ago. Takes a second or two at
    /// most, whatever they do.
    async fn status(&self) -> StoreStatus;

    /// What can be told without asking anybody: what was known last.
    fn known_status(&self) -> StoreStatus;

    /// Where reads have gone since the start.
    fn read_counts(&self) -> ReadCounts;

    /// Whether its states have positions, by which values can be kept in a cache. Without,
    /// all that it reads and writes is at [`Position::START`].
    fn has_positions(&self) -> bool {
        true
    }

    /// Ends all connections.
    async fn close(&self);
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another user has this address.
    #[error("e-mail address is taken")]
    EmailTaken,
    /// The database takes no writes now, but may be read.
    #[error("database takes no writes")]
    ReadOnly(#[source] Box<dyn Error + Send + Sync>),
    /// The database is busy or cannot be reached; the same call may succeed
    /// later.
    #[error("database is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Anything else; somebody has to look.
    #[error("database failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}
