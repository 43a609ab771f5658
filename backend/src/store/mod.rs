//! Where users are kept. [`UserStore`] is what the handlers know; which
//! database stands behind it is decided in [`crate::app`].
//!
//! The contract of every implementation: what one call has stored, the next
//! call of any instance of the service finds.

mod sqlite;

use std::error::Error;

use async_trait::async_trait;

use crate::domain::{Credentials, EmailAddress, NewUser, User, UserId};

pub use sqlite::{OpenError, SqliteStore};

/// Storage of users.
#[async_trait]
pub trait UserStore: Send + Sync + 'static {
    /// Stores a new user.
    ///
    /// # Errors
    /// [`StoreError::EmailTaken`] if the address is in use, without regard to
    /// case.
    async fn create(&self, user: NewUser) -> Result<User, StoreError>;

    /// The user with this id.
    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// What the login of this address is checked against.
    async fn credentials(&self, email: &EmailAddress) -> Result<Option<Credentials>, StoreError>;

    /// Up to `limit` users with an id greater than `after`, by ascending id.
    async fn list(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError>;

    /// Makes a round trip to the database.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Whether every migration that this build knows has been applied.
    async fn is_migrated(&self) -> Result<bool, StoreError>;

    /// Connections now.
    fn pool_usage(&self) -> PoolUsage;
}

/// Connections to the database, read and write together.
#[derive(Debug, Clone, Copy)]
pub struct PoolUsage {
    /// Open, whether in use or idle.
    pub size: usize,
    /// In use.
    pub checked_out: usize,
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another user has this address.
    #[error("e-mail address is taken")]
    EmailTaken,
    /// The database is busy or cannot be reached; the same call may succeed
    /// later.
    #[error("database is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Anything else; somebody has to look.
    #[error("database failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}
