//! The statements, all of them by an index.

use std::future::Future;
use std::time::SystemTime;

use sqlx::PgConnection;
use sqlx::postgres::PgQueryResult;

use crate::domain::{EmailAddress, NewUser, TokenId, UserChanges, UserId};
use crate::store::KEPT_AFTER_EXPIRY;
use crate::store::row::{AccountRow, UserRow, now_millis, to_seconds};

/// Something to do at a server, as often as it takes.
pub(super) trait Statement: Sync {
    /// What comes of it.
    type Output: Send;

    /// Does it.
    fn run(
        &self,
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<Self::Output, sqlx::Error>> + Send;
}

/// Stores a new user; nothing if the address is taken. That is not left to an error,
/// which PostgreSQL would log, with the address.
pub(super) struct Create<'a>(pub(super) &'a NewUser);

impl Statement for Create<'_> {
    type Output = Option<UserRow>;

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Output, sqlx::Error> {
        let Self(user) = self;
        sqlx::query_as(
            "INSERT INTO users (email, email_key, name, role, password_hash, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (email_key) DO NOTHING
             RETURNING id, email, name, role, created_at",
        )
        .bind(user.email.as_str())
        .bind(user.email.key())
        .bind(user.name.as_str())
        .bind(user.role.as_str())
        .bind(user.password_hash.expose())
        .bind(now_millis())
        .fetch_optional(connection)
        .await
    }
}

/// Changes a user.
pub(super) struct Update<'a> {
    pub(super) id: UserId,
    pub(super) changes: &'a UserChanges,
}

impl Statement for Update<'_> {
    type Output = Option<AccountRow>;

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Output, sqlx::Error> {
        let changes = self.changes;
        sqlx::query_as(
            "UPDATE users SET
                 email = coalesce($1, email),
                 email_key = coalesce($2, email_key),
                 name = coalesce($3, name),
                 role = coalesce($4, role),
                 password_hash = coalesce($5, password_hash),
                 token_version = token_version + ($5 IS NOT NULL)::int
             WHERE id = $6 AND token_version = coalesce($7, token_version)
             RETURNING id, email, name, role, created_at, token_version",
        )
        .bind(changes.email.as_ref().map(EmailAddress::as_str))
        .bind(changes.email.as_ref().map(EmailAddress::key))
        .bind(changes.name.as_ref().map(|name| name.as_str()))
        .bind(changes.role.map(|role| role.as_str()))
        .bind(changes.password_hash.as_ref().map(|hash| hash.expose().as_str()))
        .bind(self.id.value())
        .bind(changes.if_token_version)
        .fetch_optional(connection)
        .await
    }
}

/// Removes a user.
pub(super) struct Delete(pub(super) UserId);

impl Statement for Delete {
    type Output = PgQueryResult;

    async fn run(&self, connection: &mut PgConnection) -> Result<PgQueryResult, sqlx::Error> {
        sqlx::query("DELETE FROM users WHERE id = $1")
            .bind(self.0.value())
            .execute(connection)
            .await
    }
}

/// One user.
pub(super) struct Find(pub(super) UserId);

impl Statement for Find {
    type Output = Option<UserRow>;

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Output, sqlx::Error> {
        sqlx::query_as("SELECT id, email, name, role, created_at FROM users WHERE id = $1")
            .bind(self.0.value())
            .fetch_optional(connection)
            .await
    }
}

/// A page of users.
pub(super) struct List {
    pub(super) after: Option<UserId>,
    pub(super) limit: u32,
}

impl Statement for List {
    type Output = Vec<UserRow>;

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Output, sqlx::Error> {
        sqlx::query_as(
            "SELECT id, email, name, role, created_at FROM users
             WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(self.after.map_or(0, UserId::value))
        .bind(i64::from(self.limit))
        .fetch_all(connection)
        .await
    }
}

/// Identity, hash and token version of whoever has an address.
pub(super) struct FindCredentials<'a>(pub(super) &'a EmailAddress);

impl Statement for FindCredentials<'_> {
    type Output = Option<(i64, String, i64)>;

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Output, sqlx::Error> {
        sqlx::query_as("SELECT id, password_hash, token_version FROM users WHERE email_key = $1")
            .bind(self.0.key())
            .fetch_optional(connection)
            .await
    }
}

/// One user, with what tokens are checked against.
pub(super) struct FindAccount(pub(super) UserId);

impl Statement for FindAccount {
    type Output = Option<AccountRow>;

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Output, sqlx::Error> {
        sqlx::query_as(
            "SELECT id, email, name, role, created_at, token_version FROM users WHERE id = $1",
        )
        .bind(self.0.value())
        .fetch_optional(connection)
        .await
    }
}

/// Refuses a token, and forgets some of those that ended long ago.
pub(super) struct Revoke<'a> {
    pub(super) token: &'a TokenId,
    pub(super) expires_at: SystemTime,
}

impl Statement for Revoke<'_> {
    type Output = ();

    async fn run(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "WITH forgotten AS (
                 DELETE FROM revoked_tokens WHERE id IN (
                     SELECT id FROM revoked_tokens WHERE expires_at < $1
                     LIMIT 100 FOR UPDATE SKIP LOCKED
                 )
             )
             INSERT INTO revoked_tokens (id, expires_at) VALUES ($2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(to_seconds(SystemTime::now() - KEPT_AFTER_EXPIRY))
        .bind(self.token.as_str())
        .bind(to_seconds(self.expires_at))
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Whether a token has been refused.
pub(super) struct IsRevoked<'a>(pub(super) &'a TokenId);

impl Statement for IsRevoked<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM revoked_tokens WHERE id = $1)")
            .bind(self.0.as_str())
            .fetch_one(connection)
            .await
    }
}
