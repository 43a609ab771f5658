//! One PostgreSQL server: its pool, and what is known about it.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, Postgres};
use sqlx::{Connection, PgConnection};
use tokio::sync::{Notify, watch};

use super::PostgresSettings;
use crate::host::Host;
use crate::store::{PoolUsage, Position, ServerStatus};

/// How long a request waits for a connection of the primary's pool.
const PRIMARY_PATIENCE: Duration = Duration::from_secs(2);

/// The same at a replica, where there is somewhere else to go.
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);

/// The same at a server that did not answer when last asked. It may have come
/// back since; but nobody should wait for it.
const DOWN_PATIENCE: Duration = Duration::from_millis(250);

/// After so long without a connection, the server may be down: it is checked. The
/// pool would go on trying to connect.
const SUSPICIOUS: Duration = Duration::from_millis(100);

/// How long a server may take to be done with a statement that nobody waits for any more.
const RECOVERY: Duration = Duration::from_secs(5);

/// Connections are replaced after an hour, so that none outlives for long what
/// it was made for: names that have moved, settings that have changed.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// A statement that takes longer is ended by the server: nobody waits for it.
const STATEMENT_TIMEOUT: &str = "5s";

/// A server of PostgreSQL.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) host: Host,
    pub(super) is_primary: bool,
    options: PgConnectOptions,
    pool: PgPool,
    timeouts: AtomicU64,
    /// [`Position::bytes`] of the newest state that it is known to have.
    position: Arc<AtomicU64>,
    is_up: watch::Sender<bool>,
    takes_reads: AtomicBool,
    findings: Mutex<Findings>,
    /// Told when it may be down.
    suspicion: Arc<Notify>,
}

/// What the last check found, beside what has a field of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    pub(super) reason: Option<&'static str>,
    pub(super) latency: Option<Duration>,
    pub(super) lag: Option<Duration>,
    pub(super) is_streaming: bool,
    pub(super) is_migrated: bool,
}

impl Server {
    pub(super) fn new(
        settings: &PostgresSettings,
        host: Host,
        replica: Option<usize>,
        suspicion: Arc<Notify>,
    ) -> Self {
        let is_primary = replica.is_none();
        let options = PgConnectOptions::new_without_pgpass()
            .host(&host.name)
            .port(host.port)
            .username(&settings.user)
            .password(settings.password.expose())
            .database(&settings.database)
            .application_name("fastnext-backend")
            .options([("statement_timeout", STATEMENT_TIMEOUT)]);
        let (connections, patience) = if is_primary {
            (settings.max_connections, PRIMARY_PATIENCE)
        } else {
            (settings.replica_max_connections, REPLICA_PATIENCE)
        };
        let position = Arc::new(AtomicU64::new(0));
        let begin_at = Arc::clone(&position);
        let pool = PgPoolOptions::new()
            // A server that was started again, or another one in its place, may not have come
            // as far as the one before: a replica that crashed comes back with what it has on
            // disk. Whatever ends so takes its connections along, so that what was known is
            // corrected before the first statement on a new one.
            .after_connect(move |connection, _| {
                let begin_at = Arc::clone(&begin_at);
                Box::pin(async move {
                    let position = ask_position(is_primary, connection).await?;
                    begin_at.store(position.bytes(), Ordering::Release);
                    Ok(())
                })
            })
            .max_connections(connections)
            .acquire_timeout(patience)
            .max_lifetime(MAX_LIFETIME)
            .test_before_acquire(true)
            .connect_lazy_with(options.clone());
        Self {
            name: replica.map_or("primary".to_owned(), |number| format!("replica-{number}")),
            host,
            is_primary,
            options,
            pool,
            timeouts: AtomicU64::new(0),
            position,
            is_up: watch::Sender::new(false),
            takes_reads: AtomicBool::new(false),
            findings: Mutex::new(Findings {
                reason: Some("has not been asked yet"),
                ..Findings::default()
            }),
            suspicion,
        }
    }

    /// How to connect to it beside the pool.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// A connection that works.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut acquiring = pin!(self.pool.acquire());
        if !self.is_up() {
            let acquired = tokio::time::timeout(DOWN_PATIENCE, acquiring).await;
            return acquired.unwrap_or_else(|_| Err(is_down()));
        }
        if let Ok(acquired) = tokio::time::timeout(SUSPICIOUS, &mut acquiring).await {
            return acquired;
        }
        self.suspicion.notify_one();
        let mut up = self.is_up.subscribe();
        let acquired = tokio::select! {
            acquired = acquiring => acquired,
            _ = up.wait_for(|is_up| !is_up) => Err(is_down()),
        };
        if matches!(acquired, Err(sqlx::Error::PoolTimedOut)) {
            self.timeouts.fetch_add(1, Ordering::Relaxed);
        }
        acquired
    }

    /// How far it has come, asked now.
    pub(super) async fn ask_position(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Position, sqlx::Error> {
        let position = ask_position(self.is_primary, connection).await?;
        self.reached(position);
        Ok(position)
    }

    /// The newest state that it is known to have.
    pub(super) fn position(&self) -> Position {
        Position::from_bytes(self.position.load(Ordering::Acquire))
    }

    /// Notes that it has come so far.
    pub(super) fn reached(&self, position: Position) {
        self.position.fetch_max(position.bytes(), Ordering::AcqRel);
    }

    /// Notes what it said when it was asked, while `known` was known. If it has come less far
    /// than before, another server has its place, or it has been restored: what was known is
    /// of another history, and would make all that is read there look newer than it is.
    pub(super) fn said(&self, known: Position, position: Position) {
        if position >= known {
            return self.reached(position);
        }
        tracing::warn!(
            server = self.name, host = %self.host, %known, %position,
            "database server has gone back: another one has its place"
        );
        self.position.store(position.bytes(), Ordering::Release);
    }

    /// Whether it answered when last asked.
    pub(super) fn is_up(&self) -> bool {
        *self.is_up.borrow()
    }

    /// Whether it takes reads that may go to a replica.
    pub(super) fn takes_reads(&self) -> bool {
        self.takes_reads.load(Ordering::Acquire)
    }

    /// Notes what a check has found; says so when it is news.
    pub(super) fn found(&self, is_up: bool, takes_reads: bool, findings: Findings) {
        let was_up = self.is_up.send_replace(is_up);
        let took_reads = self.takes_reads.swap(takes_reads, Ordering::AcqRel);
        if (was_up, took_reads) != (is_up, takes_reads) {
            let Findings { reason, lag, .. } = findings;
            if is_up && takes_reads {
                tracing::info!(server = self.name, host = %self.host, "database server is good");
            } else {
                tracing::warn!(
                    server = self.name, host = %self.host, is_up, reason, ?lag,
                    "database server takes no requests"
                );
            }
        }
        *self.findings.lock() = findings;
    }

    /// Notes that it did not answer a request; the next check decides.
    pub(super) fn failed(&self) {
        let reason = Some("does not answer");
        let findings = self.findings.lock().clone();
        self.found(false, false, Findings { reason, latency: None, lag: None, ..findings });
    }

    /// Whether it is known to have every migration.
    pub(super) fn is_migrated(&self) -> bool {
        self.findings.lock().is_migrated
    }

    pub(super) fn status(&self) -> ServerStatus {
        let Findings { reason, latency, lag, is_streaming, is_migrated: _ } =
            self.findings.lock().clone();
        let size = self.pool.size() as usize;
        ServerStatus {
            name: self.name.clone(),
            host: self.host.to_string(),
            is_primary: self.is_primary,
            is_up: self.is_up(),
            takes_reads: self.takes_reads(),
            reason,
            latency,
            lag,
            position: self.position(),
            is_streaming,
            pool: PoolUsage {
                size,
                // The two are read one after the other, so idle may be ahead of size.
                checked_out: size.saturating_sub(self.pool.num_idle()),
                max: self.pool.options().get_max_connections() as usize,
                timeouts: self.timeouts.load(Ordering::Relaxed),
            },
        }
    }

    /// Takes a connection back whose statement was cut off: into the pool if the server is
    /// done with it soon, else it is closed. The pool would wait for as long as the server
    /// hangs, and have one connection less meanwhile.
    pub(super) fn recover(mut connection: PoolConnection<Postgres>) {
        tokio::spawn(async move {
            let answered = tokio::time::timeout(RECOVERY, connection.ping()).await;
            if !matches!(answered, Ok(Ok(()))) {
                connection.close_on_drop();
            }
        });
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// How far the server at the other end has come, or the primary has by its own account: a
/// replica that has become one is none of the two, and is found out by a check.
async fn ask_position(
    is_primary: bool,
    connection: &mut PgConnection,
) -> Result<Position, sqlx::Error> {
    // A primary that has become a replica has no current position, and must not be an error.
    const PRIMARY: &str = "
        SELECT ((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                      ELSE pg_current_wal_lsn() END) - '0/0')::bigint";
    const REPLICA: &str = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint";
    let query = if is_primary { PRIMARY } else { REPLICA };
    let bytes: Option<i64> = sqlx::query_scalar(query).fetch_one(connection).await?;
    Ok(to_position(bytes))
}

fn is_down() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, "the server is down"))
}

/// The position so many bytes after the start; the start, if unknown.
pub(super) fn to_position(bytes: Option<i64>) -> Position {
    Position::from_bytes(bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn server() -> Server {
        let primary = Host { name: "localhost".to_owned(), port: 1 };
        let settings = PostgresSettings {
            primary: primary.clone(),
            replicas: Vec::new(),
            user: "ann".to_owned(),
            password: Secret::new(String::new()),
            database: "users".to_owned(),
            max_replica_lag: Duration::ZERO,
            max_connections: 1,
            replica_max_connections: 1,
        };
        Server::new(&settings, primary, None, Arc::default())
    }

    #[tokio::test]
    async fn a_server_that_goes_back_is_believed() {
        let server = server();
        let at = Position::from_bytes;
        server.said(server.position(), at(100));
        assert_eq!(server.position(), at(100));

        // A request has seen more since it was asked: an older answer undoes nothing.
        server.reached(at(120));
        server.said(at(100), at(110));
        assert_eq!(server.position(), at(120));

        server.said(at(120), at(40));
        assert_eq!(server.position(), at(40));
    }
}
