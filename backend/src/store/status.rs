//! How the servers of a store are.

use std::time::Duration;

use super::Position;

/// How the servers of a store are, and what that means for requests.
#[derive(Debug, Clone, Default)]
pub struct StoreStatus {
    /// Whether every migration that this build knows has been applied.
    pub is_migrated: bool,
    /// The primary first, then the replicas in the order of the settings.
    pub servers: Vec<ServerStatus>,
}

impl StoreStatus {
    /// Whether something can be written.
    pub fn can_write(&self) -> bool {
        self.servers.iter().any(|server| server.is_primary && server.is_up)
    }

    /// Whether something can be read.
    pub fn can_read(&self) -> bool {
        self.can_write() || self.replicas().any(|replica| replica.takes_reads)
    }

    /// The replicas.
    pub fn replicas(&self) -> impl Iterator<Item = &ServerStatus> {
        self.servers.iter().filter(|server| !server.is_primary)
    }
}

/// How one server is.
#[derive(Debug, Clone)]
pub struct ServerStatus {
    /// `primary`, `replica-1`, `replica-2`, and so on.
    pub name: String,
    /// Where it is: `host:port`, or a file.
    pub host: String,
    /// Whether it is the one that takes writes.
    pub is_primary: bool,
    /// Whether it answers.
    pub is_up: bool,
    /// Whether it takes reads that may go to a replica.
    pub takes_reads: bool,
    /// Why it does not answer, or takes no reads; nothing that only operators
    /// should know.
    pub reason: Option<&'static str>,
    /// How long it took to answer.
    pub latency: Option<Duration>,
    /// How far it is behind the primary; of a replica that answers.
    pub lag: Option<Duration>,
    /// How far it has come; the last known.
    pub position: Position,
    /// Whether it receives what the primary writes; of a replica.
    pub is_streaming: bool,
    /// Connections to it.
    pub pool: PoolUsage,
}

/// Connections of this process to a server.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoolUsage {
    /// Open, whether in use or idle.
    pub size: usize,
    /// In use.
    pub checked_out: usize,
    /// As many as there may be.
    pub max: usize,
    /// Times that none became free in time.
    pub timeouts: u64,
}

/// Where reads have gone since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadCounts {
    /// Answered by a replica.
    pub replica: u64,
    /// Answered by the primary, for whatever reason.
    pub primary: u64,
    /// Could have gone to a replica, but none was good for reads.
    pub no_replica: u64,
    /// Could have gone to a replica, but none was new enough.
    pub not_replayed: u64,
    /// Failed at a replica, and were asked again elsewhere.
    pub failed: u64,
    /// Answered by a replica that may be behind, as the primary was down.
    pub primary_down: u64,
}
