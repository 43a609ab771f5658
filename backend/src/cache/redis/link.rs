//! The connection to the cluster: made when there is none, replaced when it is of no use.
//!
//! The library follows redirects, and connects again to nodes that went away. It does not
//! get far where a master hangs: its timeouts teach nobody that a replica has been promoted.
//! Nor does it return to the nodes it began with, once all the others are gone. Therefore
//! whoever sees failures has the link reconsidered: if the nodes have divided the slots
//! otherwise since, a new connection takes the place of the old one; and if none answers,
//! the old one goes and the nodes of the settings are tried, with pauses.

use std::time::Duration;

use parking_lot::RwLock;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, Value,
};
use tokio::time::timeout;

use super::{OPERATION_TIMEOUT, RedisSettings};

/// How long one node may take for one answer, and to connect. Less than half of what a
/// whole operation may take, so that there is time for another node.
const NODE_TIMEOUT: Duration = Duration::from_millis(200);

/// Redirects and repetitions of one operation.
const RETRIES: u32 = 4;

/// How long an operation waits before it is repeated, in milliseconds.
const RETRY_WAIT: (u64, u64) = (10, 80);

/// How long connecting to all nodes may take. Some of them may hang.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How many nodes are asked who has which slots, before all count as gone.
const WITNESSES: usize = 3;

/// A connection to the cluster that can be replaced.
pub(super) struct Link {
    client: ClusterClient,
    current: RwLock<Option<Current>>,
}

struct Current {
    connection: ClusterConnection,
    /// Who had which slots when it was made.
    division: Division,
}

/// Which masters have which slots, in an order of its own.
#[derive(PartialEq, Eq)]
struct Division(Vec<String>);

impl Link {
    /// Not connected yet.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, RedisError> {
        let nodes: Vec<ConnectionInfo> = settings
            .nodes
            .iter()
            .map(|node| ConnectionAddr::Tcp(node.name.clone(), node.port).into_connection_info())
            .collect::<Result<_, _>>()?;
        let mut builder = ClusterClientBuilder::new(nodes)
            .connection_timeout(NODE_TIMEOUT)
            .response_timeout(NODE_TIMEOUT)
            .overall_response_timeout(Some(OPERATION_TIMEOUT))
            .retries(RETRIES)
            .min_retry_wait(RETRY_WAIT.0)
            .max_retry_wait(RETRY_WAIT.1);
        if let Some(password) = &settings.password {
            builder = builder.password(password.expose());
        }
        Ok(Self { client: builder.build()?, current: RwLock::new(None) })
    }

    /// The connection, if there is one now.
    pub(super) fn connection(&self) -> Option<ClusterConnection> {
        self.current.read().as_ref().map(|current| current.connection.clone())
    }

    /// Connects, and puts the new connection in the place of the old one, if there is one.
    pub(super) async fn connect(&self) -> Result<(), RedisError> {
        let connecting = async {
            let mut connection = self.client.get_async_connection().await?;
            let division = division(&mut connection).await?;
            Ok::<_, RedisError>(Current { connection, division })
        };
        let current = timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| {
            Err((ErrorKind::Io, "the cluster did not answer in time").into())
        })?;
        *self.current.write() = Some(current);
        Ok(())
    }

    /// After failures: connects again if that may help.
    pub(super) async fn reconsider(&self) -> Outcome {
        let Some(mut connection) = self.connection() else { return Outcome::Lost };
        for _ in 0..WITNESSES {
            let Ok(now) = division(&mut connection).await else { continue };
            let is_known =
                self.current.read().as_ref().is_some_and(|current| current.division == now);
            if is_known {
                return Outcome::Same;
            }
            return match self.connect().await {
                Ok(()) => Outcome::Renewed,
                // Better the old one than none.
                Err(_) => Outcome::Same,
            };
        }
        // Left to itself the library looks for the nodes without a pause.
        *self.current.write() = None;
        Outcome::Lost
    }
}

/// What came of looking at a connection that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Connecting again would change nothing.
    Same,
    /// There is a new one in its place.
    Renewed,
    /// No node answers: there is none any more.
    Lost,
}

/// Asks any node who has which slots.
async fn division(connection: &mut ClusterConnection) -> Result<Division, RedisError> {
    let mut command = Cmd::new();
    command.arg("CLUSTER").arg("SLOTS");
    let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
    let answer = connection.route_command(command, any).await?.extract_error()?;
    let Value::Array(ranges) = answer else {
        return Err((ErrorKind::UnexpectedReturnType, "no slots in the answer").into());
    };
    // First slot, last slot, master; then the replicas.
    let masters = ranges.iter().filter_map(|range| match range {
        Value::Array(parts) => parts.get(..3).map(|range| format!("{range:?}")),
        _ => None,
    });
    let mut masters: Vec<String> = masters.collect();
    masters.sort_unstable();
    Ok(Division(masters))
}
