//! Probes, for balancers and Kubernetes.
//!
//! Liveness says that the process runs, and nothing about what it depends on:
//! restarting it would not mend those. Readiness says whether requests can be
//! served, if only some of them, and that they are wanted: they are not from
//! the start of a graceful stop. Startup says that it has once been ready to
//! begin.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::causes::chain;
use crate::services::{Services, Shared};
use crate::store::StoreStatus;

/// How long the cache may take to answer. Probes are asked every few seconds
/// and give up themselves after some: we should know sooner why. The store has
/// such a limit of its own.
pub(super) const CACHE_TIMEOUT: Duration = Duration::from_secs(1);

/// That the event loop turns.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `healthy`.
    #[schema(value_type = String)]
    status: &'static str,
}

/// Whether the event loop turns; touches nothing else.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "get_health",
    tag = "scaling",
    responses(
        (status = 200, description = "It does.", body = Health),
    )
)]
pub async fn health() -> Json<Health> {
    Json(Health { status: "healthy" })
}

/// That the process runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Liveness {
    /// Always `alive`.
    #[schema(value_type = String)]
    status: &'static str,
    /// Seconds since 1970.
    timestamp: f64,
}

/// Whether the process runs.
#[utoipa::path(
    get,
    path = "/api/v1/scaling/health/liveness",
    operation_id = "get_liveness",
    tag = "scaling",
    responses(
        (status = 200, description = "It does.", body = Liveness),
    )
)]
pub async fn liveness() -> Json<Liveness> {
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Json(Liveness { status: "alive", timestamp: timestamp.as_secs_f64() })
}

/// Whether requests can be served, and are wanted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`, `degraded` or `unavailable`.
    #[schema(value_type = String, pattern = "^(ready|degraded|unavailable)$")]
    status: &'static str,
    /// Whether users can be read.
    database: bool,
    /// Whether the cache answers; true without one.
    redis: bool,
    /// Whether requests can be served, and are wanted.
    overall: bool,
    /// What is missing.
    reasons: Vec<String>,
}

impl Readiness {
    /// How a service with these parts is.
    pub(super) fn of(store: &StoreStatus, redis: bool, is_serving: bool) -> Self {
        let mut reasons = Vec::new();
        if !is_serving {
            reasons.push("stopping".to_owned());
        }
        if !store.is_migrated {
            reasons.push("the database has not been migrated".to_owned());
        }
        for server in store.servers.iter().filter(|server| !server.is_up || !server.takes_reads) {
            let reason = server.reason.unwrap_or("takes no reads");
            reasons.push(format!("{}: {reason}", server.name));
        }
        if !redis {
            reasons.push("redis does not answer".to_owned());
        }

        let database = store.is_migrated && store.can_read();
        let overall = database && is_serving;
        let status = match (overall, reasons.is_empty()) {
            (true, true) => "ready",
            (true, false) => "degraded",
            (false, _) => "unavailable",
        };
        Self { status, database, redis, overall, reasons }
    }

    /// Whether requests can be served, and are wanted.
    pub(super) fn is_ready(&self) -> bool {
        self.overall
    }

    /// Whether something is missing without which requests can be served.
    pub(super) fn is_degraded(&self) -> bool {
        self.status == "degraded"
    }
}

/// How the service is now.
pub(super) async fn assess(services: &Services) -> Readiness {
    let (store, redis) = tokio::join!(
        services.store.status(),
        succeeds("redis", CACHE_TIMEOUT, services.cache.ping())
    );
    Readiness::of(&store, redis, services.lifecycle.is_serving())
}

/// Whether requests can be served, and are wanted.
#[utoipa::path(
    get,
    path = "/api/v1/scaling/health/readiness",
    operation_id = "get_readiness",
    tag = "scaling",
    responses(
        (status = 200, description = "They can, and are.", body = Readiness),
        (status = 503, description = "They cannot, or are not.", body = Readiness),
    )
)]
pub async fn readiness(State(services): State<Shared>) -> (StatusCode, Json<Readiness>) {
    let readiness = assess(&services).await;
    (status(readiness.overall), Json(readiness))
}

/// Whether it has been ready to begin.
#[derive(Debug, Serialize, ToSchema)]
pub struct Startup {
    database_migrated: bool,
    /// Without a cache everything works, only slower: it is not waited for.
    cache_initialized: bool,
    ready: bool,
}

/// Whether the database is migrated.
#[utoipa::path(
    get,
    path = "/api/v1/scaling/health/startup",
    operation_id = "get_startup",
    tag = "scaling",
    responses(
        (status = 200, description = "It is.", body = Startup),
        (status = 503, description = "It is not.", body = Startup),
    )
)]
pub async fn startup(State(services): State<Shared>) -> (StatusCode, Json<Startup>) {
    let (store, cache_initialized) = tokio::join!(
        services.store.status(),
        succeeds("redis", CACHE_TIMEOUT, services.cache.ping())
    );
    let ready = store.is_migrated;
    (status(ready), Json(Startup { database_migrated: ready, cache_initialized, ready }))
}

fn status(is_good: bool) -> StatusCode {
    if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Whether a dependency answers in time; why it does not is for the log, not
/// for whoever may read probes.
pub(super) async fn succeeds<E: std::error::Error + 'static>(
    dependency: &'static str,
    timeout: Duration,
    check: impl Future<Output = Result<(), E>>,
) -> bool {
    match tokio::time::timeout(timeout, check).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(dependency, error = chain(&error), "dependency failed");
            false
        }
        Err(_) => {
            tracing::warn!(dependency, ?timeout, "dependency is silent");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheError;
    use crate::store::ServerStatus;

    #[tokio::test(start_paused = true)]
    async fn a_silent_dependency_counts_as_down() {
        let silent = std::future::pending::<Result<(), CacheError>>();
        assert!(!succeeds("redis", CACHE_TIMEOUT, silent).await);
    }

    #[tokio::test]
    async fn a_failing_dependency_counts_as_down() {
        let failing = async { Err::<(), _>(CacheError("refused".into())) };
        assert!(!succeeds("redis", CACHE_TIMEOUT, failing).await);
    }

    fn server(name: &str, is_up: bool, takes_reads: bool) -> ServerStatus {
        ServerStatus {
            name: name.to_owned(),
            host: "localhost:5432".to_owned(),
            is_primary: name == "primary",
            is_up,
            takes_reads,
            reason: (!is_up).then_some("does not answer"),
            latency: None,
            lag: None,
            position: crate::store::Position::START,
            is_streaming: true,
            pool: crate::store::PoolUsage::default(),
        }
    }

    fn store(primary: bool, replica: bool) -> StoreStatus {
        let servers =
            vec![server("primary", primary, primary), server("replica-1", replica, replica)];
        StoreStatus { is_migrated: true, servers }
    }

    #[test]
    fn whoever_can_serve_some_requests_is_ready() {
        for (primary, replica, redis, status) in [
            (true, true, true, "ready"),
            (true, false, true, "degraded"),
            (false, true, true, "degraded"),
            (true, true, false, "degraded"),
            (false, true, false, "degraded"),
            (false, false, true, "unavailable"),
        ] {
            let readiness = Readiness::of(&store(primary, replica), redis, true);
            assert_eq!(readiness.status, status, "{readiness:?}");
            assert_eq!(readiness.overall, status != "unavailable");
            assert_eq!(readiness.reasons.is_empty(), status == "ready");
        }
    }

    #[test]
    fn whoever_stops_or_has_no_tables_is_not_ready() {
        let readiness = Readiness::of(&store(true, true), true, false);
        assert_eq!((readiness.status, readiness.overall), ("unavailable", false));

        let empty = StoreStatus { is_migrated: false, ..store(true, true) };
        let readiness = Readiness::of(&empty, true, true);
        assert_eq!((readiness.status, readiness.overall), ("unavailable", false));
    }
}
