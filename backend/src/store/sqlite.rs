//! Users in one SQLite file, shared by every process on the machine.
//!
//! Write-ahead logging lets readers go on while somebody writes. SQLite has
//! one writer at a time anyway, so a process has one connection that writes:
//! its own requests queue in order instead of colliding.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::{PoolUsage, StoreError, UserStore};
use crate::domain::{Credentials, EmailAddress, NewUser, User, UserId, UserName};
use crate::secret::Secret;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// How long a statement waits for a lock that another process holds. Writes
/// here take milliseconds: five seconds mean that something is stuck.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Reading connections. Each is a thread of its own; reads are short and
/// mostly from memory, so that more would only wait for the cores.
const READERS: u32 = 4;

/// A [`UserStore`] in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
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

        Ok(Self { writer, readers })
    }

    /// Closes all connections; the last process to do so folds the log back
    /// into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[async_trait]
impl UserStore for SqliteStore {
    async fn create(&self, user: NewUser) -> Result<User, StoreError> {
        let row: UserRow = sqlx::query_as(
            "INSERT INTO users (email, email_key, name, password_hash, created_at)
             VALUES (?, ?, ?, ?, ?)
             RETURNING id, email, name, created_at",
        )
        .bind(user.email.as_str())
        .bind(user.email.key())
        .bind(user.name.as_str())
        .bind(user.password_hash.expose())
        .bind(to_millis(SystemTime::now()))
        .fetch_one(&self.writer)
        .await?;
        row.try_into()
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> =
            sqlx::query_as("SELECT id, email, name, created_at FROM users WHERE id = ?")
                .bind(id.value())
                .fetch_optional(&self.readers)
                .await?;
        row.map(User::try_from).transpose()
    }

    async fn credentials(&self, email: &EmailAddress) -> Result<Option<Credentials>, StoreError> {
        let row: Option<(i64, String)> =
            sqlx::query_as("SELECT id, password_hash FROM users WHERE email_key = ?")
                .bind(email.key())
                .fetch_optional(&self.readers)
                .await?;
        Ok(row.map(|(id, hash)| Credentials {
            id: UserId::from_stored(id),
            password_hash: Secret::new(hash),
        }))
    }

    async fn list(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError> {
        let rows: Vec<UserRow> = sqlx::query_as(
            "SELECT id, email, name, created_at FROM users WHERE id > ? ORDER BY id LIMIT ?",
        )
        .bind(after.map_or(0, UserId::value))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(User::try_from).collect()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A constant would be answered without a look at the file.
        sqlx::query("SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1)")
            .execute(&self.readers)
            .await?;
        Ok(())
    }

    async fn is_migrated(&self) -> Result<bool, StoreError> {
        let applied: i64 =
            sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.readers)
                .await?;
        Ok(usize::try_from(applied).is_ok_and(|applied| applied >= MIGRATOR.iter().count()))
    }

    fn pool_usage(&self) -> PoolUsage {
        let pools = [&self.writer, &self.readers];
        let size = pools.iter().map(|pool| pool.size() as usize).sum();
        let idle: usize = pools.iter().map(|pool| pool.num_idle()).sum();
        // The two are read one after the other, so idle may be ahead of size.
        PoolUsage { size, checked_out: size.saturating_sub(idle) }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        /// `SQLITE_BUSY`, in the low byte of the extended codes.
        const BUSY: i32 = 5;

        match &error {
            sqlx::Error::Database(cause) if cause.is_unique_violation() => Self::EmailTaken,
            sqlx::Error::Database(cause)
                if cause
                    .code()
                    .and_then(|code| code.parse::<i32>().ok())
                    .is_some_and(|code| code & 0xff == BUSY) =>
            {
                Self::Unavailable(error.into())
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Self::Unavailable(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}

#[derive(sqlx::FromRow)]
struct UserRow {
    id: i64,
    email: String,
    name: String,
    created_at: i64,
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        let corrupt = |invalid: crate::domain::Invalid| StoreError::Failed(invalid.into());
        Ok(Self {
            id: UserId::from_stored(row.id),
            email: EmailAddress::parse(&row.email).map_err(corrupt)?,
            name: UserName::parse(&row.name).map_err(corrupt)?,
            created_at: from_millis(row.created_at),
        })
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

fn to_millis(time: SystemTime) -> i64 {
    let millis = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(millis).unwrap_or(i64::MAX)
}

fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
