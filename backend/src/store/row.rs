//! Rows of the tables, which are the same in every database.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::StoreError;
use crate::domain::{Account, EmailAddress, Invalid, Role, User, UserId, UserName};

/// A user.
#[derive(sqlx::FromRow)]
pub(super) struct UserRow {
    id: i64,
    email: String,
    name: String,
    role: String,
    created_at: i64,
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        let corrupt = |invalid: Invalid| StoreError::Failed(invalid.into());
        Ok(Self {
            id: UserId::from_stored(row.id),
            email: EmailAddress::parse(&row.email).map_err(corrupt)?,
            name: UserName::parse(&row.name).map_err(corrupt)?,
            role: Role::parse(&row.role).map_err(corrupt)?,
            created_at: from_millis(row.created_at),
        })
    }
}

/// A user, and what the tokens are checked against.
#[derive(sqlx::FromRow)]
pub(super) struct AccountRow {
    #[sqlx(flatten)]
    user: UserRow,
    token_version: i64,
}

impl TryFrom<AccountRow> for Account {
    type Error = StoreError;

    fn try_from(row: AccountRow) -> Result<Self, StoreError> {
        Ok(Self { user: row.user.try_into()?, token_version: row.token_version })
    }
}

pub(super) fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn to_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
