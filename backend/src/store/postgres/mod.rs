//! Users in PostgreSQL: one primary, which takes the writes, and any number of
//! streaming replicas, which take the reads.

mod queries;
mod route;
mod server;
mod statements;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::route::Counts;
use self::server::Server;
use self::statements::Statement;
use self::watch::Watch;
use super::failure::Failure;
use super::{Position, StoreError, Written};
use crate::causes::chain;
use crate::host::Host;
use crate::secret::Secret;

static MIGRATOR: Migrator = {
    let mut migrator = sqlx::migrate!("./migrations/postgres");
    // In a rolling update the old version goes on beside the schema of the new.
    migrator.ignore_missing = true;
    migrator
};

/// How long a write may take once there is a connection. Longer than the server lets a
/// statement take: who waits for a lock learns that from the server, which is not lost.
const WRITE_TIMEOUT: Duration = Duration::from_secs(6);

/// From one attempt to migrate to the next.
const MIGRATION_PAUSE: Duration = Duration::from_secs(1);

/// Where the servers are, and how to use them.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// The one that takes the writes.
    pub primary: Host,
    /// Those that take the reads.
    pub replicas: Vec<Host>,
    /// Who we are there.
    pub user: String,
    /// How we prove it.
    pub password: Secret<String>,
    /// The database.
    pub database: String,
    /// A replica that is further behind takes no reads.
    pub max_replica_lag: Duration,
    /// Connections to the primary.
    pub max_connections: u32,
    /// Connections to each replica.
    pub replica_max_connections: u32,
}

/// A [`UserStore`](super::UserStore) in PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore {
    /// The primary first.
    servers: Arc<[Server]>,
    watch: Arc<Watch>,
    counts: Counts,
    tasks: [JoinHandle<()>; 2],
}

impl PostgresStore {
    /// Begins to connect, and to bring the schema to what this build needs. Both
    /// go on in the background until they succeed: a service that starts while
    /// the primary is away serves what the replicas have.
    ///
    /// Needs a Tokio runtime.
    pub fn open(settings: &PostgresSettings) -> Self {
        let suspicion = Arc::new(Notify::new());
        let server = |host: &Host, replica| {
            Server::new(settings, host.clone(), replica, Arc::clone(&suspicion))
        };
        let primary = server(&settings.primary, None);
        let replicas = settings.replicas.iter().zip(1..);
        let replicas = replicas.map(|(host, number)| server(host, Some(number)));
        let servers: Arc<[Server]> = std::iter::once(primary).chain(replicas).collect();

        let watch = Arc::new(Watch::new(
            Arc::clone(&servers),
            Arc::clone(&suspicion),
            settings.max_replica_lag,
            MIGRATOR.iter().count(),
        ));
        let watching = {
            let watch = Arc::clone(&watch);
            tokio::spawn(async move { watch.run().await })
        };
        let migrating = tokio::spawn(migrate(Arc::clone(&servers), Arc::clone(&watch)));
        Self { servers, watch, counts: Counts::default(), tasks: [watching, migrating] }
    }

    fn primary(&self) -> &Server {
        &self.servers[0]
    }

    fn replicas(&self) -> &[Server] {
        &self.servers[1..]
    }

    fn has_replicas(&self) -> bool {
        self.servers.len() > 1
    }

    /// Notes that a server did not answer, and has it checked.
    fn lost(&self, server: &Server, error: &sqlx::Error) {
        tracing::debug!(server = server.name, error = chain(error), "database server failed");
        server.failed();
        self.watch.suspect();
    }

    /// A write at the primary, and the position from which it can be read.
    async fn write<S: Statement>(&self, statement: S) -> Result<Written<S::Output>, StoreError> {
        let primary = self.primary();
        let writing = async |connection: &mut PgConnection| {
            let value = statement.run(connection).await?;
            // It is stored: that nobody can say where must not look like a failure.
            let position = match primary.ask_position(connection).await {
                Ok(position) => position,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "no position for a write");
                    Position::START
                }
            };
            Ok(Written { value, position })
        };
        let written = match primary.acquire().await {
            Ok(mut connection) => match timeout(WRITE_TIMEOUT, writing(&mut connection)).await {
                Ok(written) => written,
                Err(elapsed) => {
                    Server::recover(connection);
                    Err(sqlx::Error::Io(elapsed.into()))
                }
            },
            Err(error) => Err(error),
        };
        let error = match written {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        match Failure::of(&error) {
            Failure::Down => self.lost(primary, &error),
            Failure::Busy if primary.is_up() => {
                self.watch.suspect();
                return Err(error.into());
            }
            Failure::Busy => {}
            Failure::ReadOnly => self.watch.suspect(),
            Failure::EmailTaken | Failure::Ours => return Err(error.into()),
        }
        if self.replicas().iter().any(Server::takes_reads) {
            Err(StoreError::ReadOnly(error.into()))
        } else {
            Err(StoreError::Unavailable(error.into()))
        }
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Applies the migrations, however long it takes until the primary can be
/// reached. Instances that start together wait for one another at a lock that
/// sqlx takes in the database: one applies them, the others find them applied.
async fn migrate(servers: Arc<[Server]>, watch: Arc<Watch>) {
    let primary = &servers[0];
    let mut last_error = String::new();
    loop {
        let migrating = async {
            // However long the tables take; the pools' statements have a limit.
            let options = primary.options().clone().options([("statement_timeout", "0")]);
            let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
            let migrated = MIGRATOR.run(&pool).await;
            pool.close().await;
            migrated
        };
        match migrating.await {
            Ok(()) => {
                watch.suspect();
                return;
            }
            Err(error) => {
                let error = chain(&error);
                // What is wrong is said once, not every second.
                if error == last_error {
                    tracing::debug!(error, "cannot migrate the database");
                } else {
                    tracing::warn!(error, "cannot migrate the database; trying again");
                    last_error = error;
                }
            }
        }
        tokio::time::sleep(MIGRATION_PAUSE).await;
    }
}
