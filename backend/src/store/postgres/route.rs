//! Which server answers a read.
//!
//! Reads that may go to a replica go to one that is good for reads, at random,
//! and new enough for what the client has seen; else to the primary. A replica
//! that fails is left for the next. Only when the primary is gone too does a
//! client get a state older than it has seen: better than none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::PostgresStore;
use super::server::Server;
use super::statements::Statement;
use crate::store::failure::Failure;
use crate::store::{Position, Read, ReadCounts, StoreError};

/// How long one server may take to answer a read. All are by an index: longer
/// means that the server hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// [`ReadCounts`] that are still counting.
#[derive(Debug, Default)]
pub(super) struct Counts {
    replica: AtomicU64,
    primary: AtomicU64,
    no_replica: AtomicU64,
    not_replayed: AtomicU64,
    failed: AtomicU64,
    primary_down: AtomicU64,
}

impl Counts {
    pub(super) fn read(&self) -> ReadCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadCounts {
            replica: read(&self.replica),
            primary: read(&self.primary),
            no_replica: read(&self.no_replica),
            not_replayed: read(&self.not_replayed),
            failed: read(&self.failed),
            primary_down: read(&self.primary_down),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What came of asking one server.
enum Asked<T> {
    Answered(Read<T>),
    /// It has not come as far as the client has seen.
    TooOld,
    /// It does not answer; another may.
    Failed(sqlx::Error),
}

impl PostgresStore {
    /// A read in a state no older than `at_least`, from a replica if possible.
    pub(super) async fn read<S: Statement>(
        &self,
        at_least: Position,
        query: S,
    ) -> Result<Read<S::Output>, StoreError> {
        let counts = &self.counts;
        let mut last_failure = None;
        let (mut any, mut too_old) = (false, false);
        for server in self.replicas_for(at_least) {
            any = true;
            match self.ask(server, at_least, &query).await? {
                Asked::Answered(read) => {
                    count(&counts.replica);
                    return Ok(read);
                }
                Asked::TooOld => too_old = true,
                Asked::Failed(error) => last_failure = Some(error),
            }
        }
        if self.has_replicas() {
            count(match (&last_failure, too_old, any) {
                (Some(_), ..) => &counts.failed,
                (None, true, _) => &counts.not_replayed,
                (None, false, _) => &counts.no_replica,
            });
        }

        match self.ask(self.primary(), Position::START, &query).await? {
            Asked::Answered(read) => {
                count(&counts.primary);
                return Ok(read);
            }
            Asked::TooOld => {}
            Asked::Failed(error) => last_failure = Some(error),
        }
        // Nobody has what the client has seen. A primary with too much to do has it.
        if too_old
            && !self.primary().is_up()
            && let Some(read) = self.read_older(&query).await?
        {
            return Ok(read);
        }
        Err(last_failure.unwrap_or(sqlx::Error::PoolTimedOut).into())
    }

    /// A read of the newest state that can be had: from the primary; from a
    /// replica while that is down.
    pub(super) async fn read_newest<S: Statement>(
        &self,
        query: S,
    ) -> Result<Read<S::Output>, StoreError> {
        let failure = match self.ask(self.primary(), Position::START, &query).await? {
            Asked::Answered(read) => return Ok(read),
            Asked::TooOld => sqlx::Error::PoolTimedOut,
            Asked::Failed(error) => error,
        };
        // A primary that has too much to do is still the one to ask.
        if Failure::of(&failure) == Failure::Busy && self.primary().is_up() {
            return Err(failure.into());
        }
        self.read_older(&query).await?.ok_or_else(|| failure.into())
    }

    /// A read from whichever replica takes reads and has come furthest.
    async fn read_older<S: Statement>(
        &self,
        query: &S,
    ) -> Result<Option<Read<S::Output>>, StoreError> {
        let mut replicas = self.replicas_for(Position::START);
        replicas.sort_by_key(|server| std::cmp::Reverse(server.position()));
        for server in replicas {
            if let Asked::Answered(read) = self.ask(server, Position::START, query).await? {
                count(&self.counts.primary_down);
                return Ok(Some(read));
            }
        }
        Ok(None)
    }

    /// The replicas that take reads, in random order; those that are known to be
    /// new enough first.
    fn replicas_for(&self, at_least: Position) -> Vec<&Server> {
        let mut replicas: Vec<_> =
            self.replicas().iter().filter(|server| server.takes_reads()).collect();
        fastrand::shuffle(&mut replicas);
        replicas.sort_by_key(|server| server.position() < at_least);
        replicas
    }

    async fn ask<S: Statement>(
        &self,
        server: &Server,
        at_least: Position,
        query: &S,
    ) -> Result<Asked<S::Output>, StoreError> {
        let mut connection = match server.acquire().await {
            Ok(connection) => connection,
            Err(error) => return self.note(server, error),
        };
        let asking = async {
            let mut position = server.position();
            if position < at_least {
                position = server.ask_position(&mut connection).await?;
                if position < at_least {
                    return Ok(None);
                }
            }
            // The position is older than the answer, never newer.
            let value = query.run(&mut connection).await?;
            Ok(Some(Read { value, position }))
        };
        let error = match timeout(READ_TIMEOUT, asking).await {
            Ok(Ok(Some(read))) => return Ok(Asked::Answered(read)),
            Ok(Ok(None)) => return Ok(Asked::TooOld),
            Ok(Err(error)) => error,
            Err(elapsed) => {
                Server::recover(connection);
                sqlx::Error::Io(elapsed.into())
            }
        };
        self.note(server, error)
    }

    /// What a failure of a read means for the server.
    fn note<T>(&self, server: &Server, error: sqlx::Error) -> Result<Asked<T>, StoreError> {
        match Failure::of(&error) {
            Failure::Down => self.lost(server, &error),
            // Whether it is the server that hangs, a check will tell.
            Failure::Busy => self.watch.suspect(),
            Failure::EmailTaken | Failure::ReadOnly | Failure::Ours => return Err(error.into()),
        }
        Ok(Asked::Failed(error))
    }
}
