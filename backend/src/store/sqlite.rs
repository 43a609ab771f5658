//! Users in one SQLite file, shared by every process on the machine.
//!
//! Write-ahead logging lets readers go on while somebody writes. SQLite has
//! one writer at a time anyway, so a process has one connection that writes:
//! its own requests queue in order instead of colliding.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::row::{AccountRow, UserRow, now_millis, to_seconds};
use super::{
    PoolUsage, Position, Read, ReadCounts, ServerStatus, StoreError, StoreStatus, UserStore,
    Written,
};
use crate::causes::chain;
use crate::domain::{
    Account, Credentials, EmailAddress, NewUser, TokenId, User, UserChanges, UserId,
};
use crate::secret::Secret;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations/sqlite");

/// How long a statement waits for a lock that another process holds. Writes
/// here take milliseconds: five seconds mean that something is stuck.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Reading connections. Each is a thread of its own; reads are short and
/// mostly from memory, so that more would only wait for the cores.
const READERS: u32 = 4;

/// How long a look at the state of the database may take.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// A [`UserStore`] in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file, or the lock beside it, cannot be made or opened.
    #[error("cannot open {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("cannot connect to {path}")]
    Connect {
        /// Which database.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema cannot be brought to what this build needs.
    #[error("cannot migrate {path}")]
    Migrate {
        /// Which database.
        path: PathBuf,
        /// Why.
        source: MigrateError,
    },
}

impl SqliteStore {
    /// Opens the database at `path`, makes it if there is none, and applies
    /// the migrations that it lacks.
    ///
    /// # Errors
    /// If that is not possible.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        // Held to the end of this function.
        let _lock = lock_for_opening(path).await?;

        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let connect_error = |source| OpenError::Connect { path: path.to_owned(), source };

        let writer = pool(1)
            .connect_with(
                options
                    .clone()
                    .journal_mode(SqliteJournalMode::Wal)
                    // With WAL, NORMAL may lose the last commits when the
                    // machine loses power, but never corrupts the file.
                    .synchronous(SqliteSynchronous::Normal),
            )
            .await
            .map_err(connect_error)?;
        MIGRATOR
            .run(&writer)
            .await
            .map_err(|source| OpenError::Migrate { path: path.to_owned(), source })?;
        let readers =
            pool(READERS).connect_with(options.read_only(true)).await.map_err(connect_error)?;

        Ok(Self { path: path.to_owned(), writer, readers })
    }

    async fn ping(&self) -> Result<(), sqlx::Error> {
        // A constant would be answered without a look at the file.
        sqlx::query("SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1)")
            .execute(&self.readers)
            .await?;
        Ok(())
    }

    fn server(&self) -> ServerStatus {
        let pools = [&self.writer, &self.readers];
        let size = pools.iter().map(|pool| pool.size() as usize).sum();
        let idle: usize = pools.iter().map(|pool| pool.num_idle()).sum();
        ServerStatus {
            name: "primary".to_owned(),
            host: self.path.display().to_string(),
            is_primary: true,
            is_up: true,
            takes_reads: true,
            reason: None,
            latency: None,
            lag: None,
            position: Position::START,
            is_streaming: false,
            pool: PoolUsage {
                size,
                // The two are read one after the other, so idle may be ahead of size.
                checked_out: size.saturating_sub(idle),
                max: 1 + READERS as usize,
                timeouts: 0,
            },
        }
    }
}

/// A file has no history: what is stored is there for everybody at once.
fn current<T>(value: T) -> Read<T> {
    Read { value, position: Position::START }
}

fn stored<T>(value: T) -> Written<T> {
    Written { value, position: Position::START }
}

#[async_trait]
impl UserStore for SqliteStore {
    async fn create(&self, user: NewUser) -> Result<Written<User>, StoreError> {
        let row: UserRow = sqlx::query_as(
            "INSERT INTO users (email, email_key, name, role, password_hash, created_at)
             VALUES (?, ?, ?, ?, ?, ?)
             RETURNING id, email, name, role, created_at",
        )
        .bind(user.email.as_str())
        .bind(user.email.key())
        .bind(user.name.as_str())
        .bind(user.role.as_str())
        .bind(user.password_hash.expose())
        .bind(now_millis())
        .fetch_one(&self.writer)
        .await?;
        row.try_into().map(stored)
    }

    async fn update(
        &self,
        id: UserId,
        changes: UserChanges,
    ) -> Result<Written<Option<Account>>, StoreError> {
        let row: Option<AccountRow> = sqlx::query_as(
            "UPDATE users SET
                 email = coalesce(?1, email),
                 email_key = coalesce(?2, email_key),
                 name = coalesce(?3, name),
                 role = coalesce(?4, role),
                 password_hash = coalesce(?5, password_hash),
                 token_version = token_version + (?5 IS NOT NULL)
             WHERE id = ?6 AND token_version = coalesce(?7, token_version)
             RETURNING id, email, name, role, created_at, token_version",
        )
        .bind(changes.email.as_ref().map(EmailAddress::as_str))
        .bind(changes.email.as_ref().map(EmailAddress::key))
        .bind(changes.name.as_ref().map(|name| name.as_str()))
        .bind(changes.role.map(|role| role.as_str()))
        .bind(changes.password_hash.as_ref().map(|hash| hash.expose().as_str()))
        .bind(id.value())
        .bind(changes.if_token_version)
        .fetch_optional(&self.writer)
        .await?;
        row.map(Account::try_from).transpose().map(stored)
    }

    async fn delete(&self, id: UserId) -> Result<Written<bool>, StoreError> {
        let done = sqlx::query("DELETE FROM users WHERE id = ?")
            .bind(id.value())
            .execute(&self.writer)
            .await?;
        Ok(stored(done.rows_affected() > 0))
    }

    async fn find(&self, id: UserId, _: Position) -> Result<Read<Option<User>>, StoreError> {
        let row: Option<UserRow> =
            sqlx::query_as("SELECT id, email, name, role, created_at FROM users WHERE id = ?")
                .bind(id.value())
                .fetch_optional(&self.readers)
                .await?;
        row.map(User::try_from).transpose().map(current)
    }

    async fn list(
        &self,
        after: Option<UserId>,
        limit: u32,
        _: Position,
    ) -> Result<Vec<User>, StoreError> {
        let rows: Vec<UserRow> = sqlx::query_as(
            "SELECT id, email, name, role, created_at FROM users WHERE id > ? ORDER BY id LIMIT ?",
        )
        .bind(after.map_or(0, UserId::value))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(User::try_from).collect()
    }

    async fn credentials(&self, email: &EmailAddress) -> Result<Option<Credentials>, StoreError> {
        let row: Option<(i64, String, i64)> = sqlx::query_as(
            "SELECT id, password_hash, token_version FROM users WHERE email_key = ?",
        )
        .bind(email.key())
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.map(|(id, hash, token_version)| Credentials {
            id: UserId::from_stored(id),
            password_hash: Secret::new(hash),
            token_version,
        }))
    }

    async fn account(&self, id: UserId) -> Result<Read<Option<Account>>, StoreError> {
        let row: Option<AccountRow> = sqlx::query_as(
            "SELECT id, email, name, role, created_at, token_version FROM users WHERE id = ?",
        )
        .bind(id.value())
        .fetch_optional(&self.readers)
        .await?;
        row.map(Account::try_from).transpose().map(current)
    }

    async fn revoke(
        &self,
        token: &TokenId,
        expires_at: SystemTime,
    ) -> Result<Written<()>, StoreError> {
        sqlx::query("DELETE FROM revoked_tokens WHERE expires_at < ?")
            .bind(to_seconds(SystemTime::now() - super::KEPT_AFTER_EXPIRY))
            .execute(&self.writer)
            .await?;
        sqlx::query(
            "INSERT INTO revoked_tokens (id, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(token.as_str())
        .bind(to_seconds(expires_at))
        .execute(&self.writer)
        .await?;
        Ok(stored(()))
    }

    async fn is_revoked(&self, token: &TokenId) -> Result<Read<bool>, StoreError> {
        let found: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM revoked_tokens WHERE id = ?)")
                .bind(token.as_str())
                .fetch_one(&self.readers)
                .await?;
        Ok(current(found))
    }

    async fn status(&self) -> StoreStatus {
        let started_at = Instant::now();
        let reason = match tokio::time::timeout(STATUS_TIMEOUT, self.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "database failed");
                Some("failed")
            }
            Err(_) => Some("does not answer"),
        };
        let is_up = reason.is_none();
        let latency = is_up.then(|| started_at.elapsed());
        let server = ServerStatus { is_up, takes_reads: is_up, reason, latency, ..self.server() };
        // That was done when the file was opened.
        StoreStatus { is_migrated: true, servers: vec![server] }
    }

    fn known_status(&self) -> StoreStatus {
        StoreStatus { is_migrated: true, servers: vec![self.server()] }
    }

    fn read_counts(&self) -> ReadCounts {
        ReadCounts::default()
    }

    /// The last process to do so folds the log back into the file.
    fn has_positions(&self) -> bool {
        false
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The file is local: a connection neither goes stale nor needs a ping
        // before each use.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Makes processes that start together open the database one after the other.
///
/// The switch to WAL wants the file for itself and fails at once when it does
/// not get it (SQLite does not call the busy handler there), and sqlx takes no
/// lock around SQLite migrations. The lock is advisory, on a file of its own
/// (closing any descriptor of the database itself would drop SQLite's locks),
/// and gone with the process, however that ends.
async fn lock_for_opening(path: &Path) -> Result<File, OpenError> {
    let file_error = |path: &Path, source| OpenError::File { path: path.to_owned(), source };
    let mut name = path.as_os_str().to_owned();
    name.push("-open.lock");
    let lock_path = PathBuf::from(name);
    let database = path.to_owned();

    let locking = tokio::task::spawn_blocking(move || {
        let lock = private()
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|source| file_error(&lock_path, source))?;
        lock.lock().map_err(|source| file_error(&lock_path, source))?;
        // The database holds password hashes: made by SQLite it would be
        // readable to all that the umask allows. Its log inherits the mode.
        match private().create_new(true).open(&database) {
            Ok(_) => Ok(lock),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(lock),
            Err(source) => Err(file_error(&database, source)),
        }
    });
    // Fails when the runtime ends first.
    locking.await.unwrap_or_else(|stopped| Err(file_error(path, io::Error::other(stopped))))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}
