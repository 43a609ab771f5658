//! The frontend role: a web page that uses the API from the browser. It has no
//! state and depends on nothing, so that it is ready as long as it runs.

mod assets;
mod protect;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use prometheus::{Registry, TextEncoder};
use serde::Serialize;

use crate::error::ApiError;
use crate::metrics::CONTENT_TYPE;
use crate::request_metrics::RequestMetrics;
use crate::shutdown::Lifecycle;

pub use assets::{ASSETS, Asset, route};
pub use protect::protect;

/// What the handlers of the role work with. Clones share it.
#[derive(Debug, Clone)]
pub struct Frontend {
    registry: Arc<Registry>,
    requests: RequestMetrics,
    lifecycle: Lifecycle,
}

impl Frontend {
    /// A frontend that calls itself `instance`.
    ///
    /// # Errors
    /// Never, unless two metrics have the same name.
    pub fn new(instance: &str, lifecycle: Lifecycle) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests = RequestMetrics::register(&registry, instance)?;
        Ok(Self { registry: Arc::new(registry), requests, lifecycle })
    }

    /// The metrics of its requests.
    pub fn requests(&self) -> &RequestMetrics {
        &self.requests
    }
}

/// Body of [`readiness`].
#[derive(Debug, Serialize)]
pub struct Readiness {
    overall: bool,
}

/// `GET /api/v1/scaling/health/readiness`: 200, or 503 from the start of a
/// graceful stop.
pub async fn readiness(State(frontend): State<Frontend>) -> (StatusCode, Json<Readiness>) {
    let overall = frontend.lifecycle.is_serving();
    let status = if overall { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { overall }))
}

/// Body of [`startup`].
#[derive(Debug, Serialize)]
pub struct Startup {
    ready: bool,
}

/// `GET /api/v1/scaling/health/startup`: there is nothing to wait for.
pub async fn startup() -> Json<Startup> {
    Json(Startup { ready: true })
}

/// `GET /api/v1/scaling/metrics/prometheus`.
pub async fn metrics(State(frontend): State<Frontend>) -> Result<impl IntoResponse, ApiError> {
    let text = TextEncoder::new()
        .encode_to_string(&frontend.registry.gather())
        .map_err(|error| ApiError::Internal(error.into()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
