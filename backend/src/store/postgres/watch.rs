//! Checks of the servers: every few seconds, when a request has failed, and
//! when a probe wants to know.
//!
//! They have a connection of their own to each server: a pool that is used up
//! makes no server look dead, and a server that hangs holds no pool up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::{Mutex, Notify};

use super::server::{Findings, Server, to_position};
use crate::causes::chain;
use crate::store::Position;

/// From one check to the next.
const INTERVAL: Duration = Duration::from_secs(5);

/// The same while a server is down or behind.
const FAILING_INTERVAL: Duration = Duration::from_secs(1);

/// From one check to the next at least, however many requests fail meanwhile.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// What a probe is told may be so old.
const FRESH: Duration = Duration::from_millis(500);

/// How long one server may take to answer a check.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long a replica that seems to be behind is given before it is asked again:
/// after a pause, the first transaction looks as old as the pause until it has
/// been replayed.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// Checks servers.
#[derive(Debug)]
pub(super) struct Watch {
    servers: Arc<[Server]>,
    max_lag: Duration,
    migrations: usize,
    /// Held by whoever checks; one connection a server, `None` while there is none.
    checks: Mutex<Checks>,
    suspicion: Arc<Notify>,
}

#[derive(Debug)]
struct Checks {
    done_at: Option<Instant>,
    /// What the primary had written when it answered last, and when that was.
    written: Option<(Position, Instant)>,
    probes: Vec<Probe>,
}

/// What is kept from one check of a server to the next.
#[derive(Debug, Default)]
struct Probe {
    connection: Option<PgConnection>,
    /// What the primary had written when a replica first had not replayed it.
    behind: Option<(Position, Instant)>,
}

/// What a server says about itself.
#[derive(Debug, sqlx::FromRow)]
struct Answer {
    is_replica: bool,
    position: Option<i64>,
    /// Seconds since the last transaction that was replayed was committed; 0 if
    /// all that was received has been replayed.
    lag: f64,
    is_streaming: bool,
    has_migrations: bool,
}

const ASK: &str = "
    SELECT pg_is_in_recovery() AS is_replica,
           (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                 ELSE pg_current_wal_lsn() END - '0/0')::bigint AS position,
           (CASE WHEN pg_is_in_recovery()
                      AND pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()
                 THEN greatest(0, coalesce(extract(epoch FROM
                          clock_timestamp() - pg_last_xact_replay_timestamp()), 0))
                 ELSE 0 END)::float8 AS lag,
           EXISTS (SELECT 1 FROM pg_stat_wal_receiver) AS is_streaming,
           to_regclass('_sqlx_migrations') IS NOT NULL AS has_migrations";

impl Watch {
    /// Checks `servers`, the primary first, also when there is `suspicion`, and takes
    /// replicas that are further behind than `max_lag` out of use.
    pub(super) fn new(
        servers: Arc<[Server]>,
        suspicion: Arc<Notify>,
        max_lag: Duration,
        migrations: usize,
    ) -> Self {
        let probes = servers.iter().map(|_| Probe::default()).collect();
        Self {
            servers,
            max_lag,
            migrations,
            checks: Mutex::new(Checks { done_at: None, written: None, probes }),
            suspicion,
        }
    }

    /// Checks for ever.
    pub(super) async fn run(&self) {
        loop {
            self.check(Duration::ZERO).await;
            tokio::time::sleep(SHORTEST_INTERVAL).await;
            let all_good = self.servers.iter().all(|server| server.takes_reads());
            let pause = if all_good { INTERVAL } else { FAILING_INTERVAL };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.suspicion.notified() => {}
            }
        }
    }

    /// Has the servers checked soon: one of them may be down.
    pub(super) fn suspect(&self) {
        self.suspicion.notify_one();
    }

    /// Returns when the servers have been checked, now or a moment ago. Takes a
    /// little over [`TIMEOUT`] at most, twice if somebody else is at it.
    pub(super) async fn refresh(&self) {
        self.check(FRESH).await;
    }

    async fn check(&self, max_age: Duration) {
        let mut checks = self.checks.lock().await;
        if checks.done_at.is_some_and(|done_at| done_at.elapsed() < max_age) {
            return;
        }
        // The primary first: what it has written by now, the replicas may be
        // asked for. If it is silent, they need not wait for it.
        let Checks { probes, written, done_at } = &mut *checks;
        let mut pairs = self.servers.iter().zip(probes);
        let Some((primary, probe)) = pairs.next() else { return };
        let first = self.check_one(primary, probe, None);
        if primary.is_up() {
            first.await;
            if primary.is_up() {
                *written = Some((primary.position(), Instant::now()));
            }
            let rest = pairs.map(|(server, probe)| self.check_one(server, probe, *written));
            join_all(rest).await;
        } else {
            let rest = pairs.map(|(server, probe)| self.check_one(server, probe, *written));
            tokio::join!(first, join_all(rest));
        }
        *done_at = Some(Instant::now());
    }

    /// Asks a server how it is, and of a replica how far it is behind what the primary had
    /// `written` when it answered last.
    async fn check_one(
        &self,
        server: &Server,
        probe: &mut Probe,
        written: Option<(Position, Instant)>,
    ) {
        let started_at = Instant::now();
        let known = server.position();
        let asked = async {
            let mut answer = self.ask(server, probe).await?;
            if Duration::from_secs_f64(answer.0.lag) > self.max_lag && server.takes_reads() {
                tokio::time::sleep(SECOND_LOOK).await;
                answer = self.ask(server, probe).await?;
            }
            Ok::<_, sqlx::Error>(answer)
        };
        let (answer, is_migrated) = match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::debug!(server = server.name, error = chain(&error), "check failed");
                probe.connection = None;
                return server.failed();
            }
            Err(_) => {
                tracing::debug!(server = server.name, "check timed out");
                probe.connection = None;
                return server.failed();
            }
        };
        let latency = Some(started_at.elapsed());
        let position = to_position(answer.position);
        server.said(known, position);

        if server.is_primary {
            let is_good = !answer.is_replica;
            let reason = (!is_good).then_some("is not a primary");
            let findings = Findings { reason, latency, is_migrated, ..Findings::default() };
            return server.found(is_good, is_good, findings);
        }

        // What a replica has not received is not in the lag that it reports. Once the primary
        // is gone, nobody gets further behind it: the last that was written may be nowhere.
        let mut lag = Duration::from_secs_f64(answer.lag);
        probe.behind = probe.behind.filter(|(missed, _)| position < *missed);
        if let Some((position_written, at)) = written.filter(|(it, _)| position < *it) {
            let (_, since) = *probe.behind.get_or_insert((position_written, at));
            lag = lag.max(at.duration_since(since));
        }
        let reason = if !answer.is_replica {
            Some("is not a replica")
        } else if !is_migrated {
            Some("has not received the tables yet")
        } else if lag > self.max_lag {
            Some("is too far behind the primary")
        } else {
            None
        };
        let is_streaming = answer.is_streaming;
        let findings = Findings { reason, latency, lag: Some(lag), is_streaming, is_migrated };
        server.found(true, reason.is_none(), findings);
    }

    /// Asks a server how it is, and whether it has all migrations. The connection
    /// is kept only if that succeeds, however it ends.
    async fn ask(&self, server: &Server, probe: &mut Probe) -> Result<(Answer, bool), sqlx::Error> {
        let mut connection = match probe.connection.take() {
            Some(connection) => connection,
            None => server.options().connect().await?,
        };
        let answer: Answer = sqlx::query_as(ASK).fetch_one(&mut connection).await?;
        let mut is_migrated = server.is_migrated();
        if !is_migrated && answer.has_migrations {
            let applied: i64 =
                sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success")
                    .fetch_one(&mut connection)
                    .await?;
            is_migrated = usize::try_from(applied).is_ok_and(|applied| applied >= self.migrations);
        }
        probe.connection = Some(connection);
        Ok((answer, is_migrated))
    }

    /// Ends the connections.
    pub(super) async fn close(&self) {
        for probe in &mut self.checks.lock().await.probes {
            if let Some(connection) = probe.connection.take() {
                // It ends either way.
                let _ = connection.close().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::host::Host;
    use crate::secret::Secret;
    use crate::store::PostgresSettings;

    #[tokio::test]
    async fn many_failures_are_no_reason_for_many_checks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let suspicion = Arc::new(Notify::new());
        let primary = Host { name: address.ip().to_string(), port: address.port() };
        let settings = PostgresSettings {
            primary: primary.clone(),
            replicas: Vec::new(),
            user: String::new(),
            password: Secret::new(String::new()),
            database: String::new(),
            max_replica_lag: Duration::ZERO,
            max_connections: 1,
            replica_max_connections: 1,
        };
        let servers = Arc::new([Server::new(&settings, primary, None, Arc::clone(&suspicion))]);
        let watch = Watch::new(servers, suspicion, Duration::ZERO, 0);

        // Every check is a connection that ends at once.
        let mut checks = 0;
        let count = async {
            loop {
                drop(listener.accept().await.unwrap());
                checks += 1;
                watch.suspect();
            }
        };
        let time = SHORTEST_INTERVAL * 5;
        let _ = tokio::time::timeout(time, async { tokio::join!(watch.run(), count) }).await;
        assert!((2..=6).contains(&checks), "{checks}");
    }
}
