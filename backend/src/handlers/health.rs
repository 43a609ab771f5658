//! A look behind the scenes, for admins: how the database, its replicas and the
//! cache are. What a driver says about a failure is for the log; here stands
//! that there is one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::probes::{CACHE_TIMEOUT, succeeds};
use crate::http::bearer::Admin;
use crate::services::Shared;
use crate::store::{ServerStatus, StoreStatus};

/// How a part, or the whole, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// As it should be.
    Healthy,
    /// Requests are served, but something is missing.
    Degraded,
    /// Requests cannot be served.
    Unhealthy,
}

/// How the service and what it depends on are.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeepHealth {
    status: Condition,
    /// Seconds since 1970.
    timestamp: f64,
    components: Components,
}

/// What the service depends on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Components {
    database: Database,
    redis: Redis,
    replication: Replication,
}

/// The server that takes writes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Database {
    status: Condition,
    /// Where it is.
    host: String,
    /// Whether the tables are those that this build needs.
    migrated: bool,
    /// How long it took to answer; null if it did not.
    #[schema(required = true, minimum = 0)]
    latency_ms: Option<f64>,
    /// Connections of this instance, in use or idle.
    pool_size: usize,
    /// Those in use.
    checked_out: usize,
    /// As many as there may be.
    pool_max: usize,
    /// Times that none became free in time.
    pool_timeouts: u64,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    error: Option<&'static str>,
}

/// The cache.
#[derive(Debug, Serialize, ToSchema)]
pub struct Redis {
    status: Condition,
    /// How long it took to answer; null if it did not.
    #[schema(required = true, minimum = 0)]
    latency_ms: Option<f64>,
    /// Whether it answers; true where there is none.
    connected: bool,
    /// Of the lookups since the start, those that found something.
    #[schema(minimum = 0, maximum = 1)]
    hit_ratio: f64,
}

/// All replicas.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replication {
    status: Condition,
    /// In the order of the settings.
    replicas: Vec<Replica>,
}

/// How a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaCondition {
    /// It takes reads.
    Healthy,
    /// It answers, but takes no reads.
    Lagging,
    /// It does not answer.
    Unhealthy,
}

/// A server that takes reads.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replica {
    /// From 1, in the order of the settings.
    #[schema(minimum = 1)]
    id: usize,
    status: ReplicaCondition,
    /// Where it is.
    host: String,
    /// How long it took to answer; null if it did not.
    #[schema(required = true, minimum = 0)]
    latency_ms: Option<f64>,
    /// How far it is behind; null if that is not known.
    #[schema(required = true, minimum = 0)]
    lag_seconds: Option<f64>,
    /// Whether it receives what the primary writes.
    streaming: bool,
    /// Whether it takes reads.
    takes_reads: bool,
    /// How far it has come, as PostgreSQL writes it; the last known.
    #[schema(examples("0/16B3748"))]
    position: String,
    /// Connections of this instance, in use or idle.
    pool_size: usize,
    /// Those in use.
    checked_out: usize,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    error: Option<&'static str>,
}

/// How far the servers of the database have come.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplicationStatus {
    primary: Primary,
    /// In the order of the settings.
    replicas: Vec<Replica>,
}

/// The server that takes writes, as its replicas see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Primary {
    status: Condition,
    /// Where it is.
    host: String,
    /// How far it has come, as PostgreSQL writes it; the last known.
    #[schema(examples("0/16B3748"))]
    position: String,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    error: Option<&'static str>,
}

/// How the service and what it depends on are. It takes as long as the slowest
/// of them, and each has a limit of a second or two.
#[utoipa::path(
    get,
    path = "/api/v1/scaling/health/deep",
    operation_id = "get_deep_health",
    tag = "scaling",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Healthy, or degraded.", body = DeepHealth),
        (status = 403, description = "This is for admins."),
        (status = 503, description = "Unhealthy; or a problem document, if it cannot even be found \
            out who asks.", content((DeepHealth = "application/json"))),
    )
)]
pub async fn deep(State(services): State<Shared>, _: Admin) -> (StatusCode, Json<DeepHealth>) {
    let ping = async {
        let started_at = Instant::now();
        let answers = succeeds("redis", CACHE_TIMEOUT, services.cache.ping()).await;
        answers.then(|| started_at.elapsed())
    };
    let (store, redis) = tokio::join!(services.store.status(), ping);
    let health = DeepHealth::of(&store, redis, services.metrics.cache.hit_ratio());
    let status = match health.status {
        Condition::Healthy | Condition::Degraded => StatusCode::OK,
        Condition::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(health))
}

/// How far the servers of the database have come.
#[utoipa::path(
    get,
    path = "/api/v1/scaling/replication/status",
    operation_id = "get_replication_status",
    tag = "scaling",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The servers.", body = ReplicationStatus),
        (status = 403, description = "This is for admins."),
        (status = 503, description = "It cannot be found out who asks."),
    )
)]
pub async fn replication(State(services): State<Shared>, _: Admin) -> Json<ReplicationStatus> {
    Json(ReplicationStatus::of(&services.store.status().await))
}

impl DeepHealth {
    fn of(store: &StoreStatus, redis: Option<Duration>, hit_ratio: f64) -> Self {
        let components = Components {
            database: Database::of(store),
            redis: Redis {
                status: condition(redis.is_some()),
                latency_ms: redis.map(millis),
                connected: redis.is_some(),
                hit_ratio,
            },
            replication: Replication::of(store),
        };
        let parts =
            [components.database.status, components.redis.status, components.replication.status];
        let status = if !store.is_migrated || !store.can_read() {
            Condition::Unhealthy
        } else if parts.iter().all(|part| *part == Condition::Healthy) {
            Condition::Healthy
        } else {
            Condition::Degraded
        };
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { status, timestamp: timestamp.as_secs_f64(), components }
    }
}

impl Database {
    fn of(store: &StoreStatus) -> Self {
        let primary = primary(store);
        let pool = primary.map(|server| server.pool).unwrap_or_default();
        Self {
            status: condition(store.can_write() && store.is_migrated),
            host: primary.map(|server| server.host.clone()).unwrap_or_default(),
            migrated: store.is_migrated,
            latency_ms: primary.and_then(|server| server.latency).map(millis),
            pool_size: pool.size,
            checked_out: pool.checked_out,
            pool_max: pool.max,
            pool_timeouts: pool.timeouts,
            error: primary.and_then(|server| server.reason),
        }
    }
}

impl Replication {
    fn of(store: &StoreStatus) -> Self {
        let replicas = replicas(store);
        let healthy =
            replicas.iter().filter(|replica| replica.status == ReplicaCondition::Healthy).count();
        let status = match replicas.len() - healthy {
            0 => Condition::Healthy,
            _ if healthy > 0 => Condition::Degraded,
            _ => Condition::Unhealthy,
        };
        Self { status, replicas }
    }
}

impl ReplicationStatus {
    fn of(store: &StoreStatus) -> Self {
        let server = primary(store);
        let primary = Primary {
            status: condition(store.can_write()),
            host: server.map(|server| server.host.clone()).unwrap_or_default(),
            position: server.map(|server| server.position).unwrap_or_default().to_string(),
            error: server.and_then(|server| server.reason),
        };
        Self { primary, replicas: replicas(store) }
    }
}

impl Replica {
    fn of(id: usize, server: &ServerStatus) -> Self {
        let status = match (server.is_up, server.takes_reads) {
            (true, true) => ReplicaCondition::Healthy,
            (true, false) => ReplicaCondition::Lagging,
            (false, _) => ReplicaCondition::Unhealthy,
        };
        Self {
            id,
            status,
            host: server.host.clone(),
            latency_ms: server.latency.map(millis),
            lag_seconds: server.lag.map(|lag| lag.as_secs_f64()),
            streaming: server.is_streaming,
            takes_reads: server.takes_reads,
            position: server.position.to_string(),
            pool_size: server.pool.size,
            checked_out: server.pool.checked_out,
            error: server.reason,
        }
    }
}

fn primary(store: &StoreStatus) -> Option<&ServerStatus> {
    store.servers.iter().find(|server| server.is_primary)
}

fn replicas(store: &StoreStatus) -> Vec<Replica> {
    store.replicas().enumerate().map(|(index, server)| Replica::of(index + 1, server)).collect()
}

fn condition(is_good: bool) -> Condition {
    if is_good { Condition::Healthy } else { Condition::Unhealthy }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
