//! Probes, for balancers and Kubernetes.
//!
//! Liveness says that the process runs, and nothing about what it depends on:
//! restarting it would not mend those. Readiness says whether it can do its
//! work now, and that it wants to: it does not from the start of a graceful
//! stop. Startup says that it has once been ready to begin.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

use crate::error::chain;
use crate::services::Shared;

/// How long a dependency may take to answer. Probes are asked every few
/// seconds and give up themselves after some: we should know sooner why.
const DEPENDENCY_TIMEOUT: Duration = Duration::from_secs(1);

/// Body of [`health`].
#[derive(Debug, Serialize)]
pub struct Health {
    status: &'static str,
}

/// `GET /health`: that the event loop turns; touches nothing else.
pub async fn health() -> Json<Health> {
    Json(Health { status: "healthy" })
}

/// Body of [`liveness`].
#[derive(Debug, Serialize)]
pub struct Liveness {
    status: &'static str,
    /// Seconds since 1970.
    timestamp: f64,
}

/// `GET /api/v1/scaling/health/liveness`.
pub async fn liveness() -> Json<Liveness> {
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Json(Liveness { status: "alive", timestamp: timestamp.as_secs_f64() })
}

/// Body of [`readiness`].
#[derive(Debug, Serialize)]
pub struct Readiness {
    database: bool,
    cache: bool,
    overall: bool,
}

/// `GET /api/v1/scaling/health/readiness`: 200 or 503.
pub async fn readiness(State(services): State<Shared>) -> (StatusCode, Json<Readiness>) {
    let (database, cache) = tokio::join!(
        succeeds("database", services.users.ping()),
        succeeds("cache", services.cache.ping()),
    );
    let overall = database && cache && services.lifecycle.is_serving();
    (status(overall), Json(Readiness { database, cache, overall }))
}

/// Body of [`startup`].
#[derive(Debug, Serialize)]
pub struct Startup {
    database_migrated: bool,
    cache_initialized: bool,
    ready: bool,
}

/// `GET /api/v1/scaling/health/startup`: 200 or 503.
pub async fn startup(State(services): State<Shared>) -> (StatusCode, Json<Startup>) {
    let (migrated, cache_initialized) = tokio::join!(
        answer("database", services.users.is_migrated()),
        succeeds("cache", services.cache.ping()),
    );
    let database_migrated = migrated.unwrap_or(false);
    let ready = database_migrated && cache_initialized;
    (status(ready), Json(Startup { database_migrated, cache_initialized, ready }))
}

fn status(is_good: bool) -> StatusCode {
    if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn succeeds<E: std::error::Error + 'static>(
    dependency: &'static str,
    check: impl Future<Output = Result<(), E>>,
) -> bool {
    answer(dependency, check).await.is_some()
}

/// What the dependency answers in time; why it does not is for the log, not
/// for whoever may read probes.
async fn answer<T, E: std::error::Error + 'static>(
    dependency: &'static str,
    check: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    match tokio::time::timeout(DEPENDENCY_TIMEOUT, check).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::warn!(dependency, error = chain(&error), "dependency failed");
            None
        }
        Err(_) => {
            tracing::warn!(dependency, timeout = ?DEPENDENCY_TIMEOUT, "dependency is silent");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[tokio::test(start_paused = true)]
    async fn a_silent_dependency_counts_as_down() {
        let silent = std::future::pending::<Result<(), StoreError>>();
        assert!(!succeeds("database", silent).await);
    }

    #[tokio::test]
    async fn a_failing_dependency_counts_as_down() {
        let failing = async { Err::<(), _>(StoreError::Failed("no disk".into())) };
        assert!(!succeeds("database", failing).await);
    }
}
