//! Metrics, for Prometheus.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;

use super::probes::Readiness;
use crate::error::ApiError;
use crate::metrics::{CONTENT_TYPE, Readings};
use crate::services::Shared;

/// Metrics. Asks nobody: a scrape must not hang because something else does.
#[utoipa::path(
    get,
    path = "/api/v1/scaling/metrics/prometheus",
    operation_id = "get_metrics",
    tag = "scaling",
    responses(
        (status = 200, description = "In the text format of Prometheus.", body = String, content_type = "text/plain"),
    )
)]
pub async fn prometheus(State(services): State<Shared>) -> Result<impl IntoResponse, ApiError> {
    let store = services.store.known_status();
    let readiness =
        Readiness::of(&store, services.metrics.cache.is_up(), services.lifecycle.is_serving());
    let readings = Readings {
        store,
        reads: services.store.read_counts(),
        websockets: services.lifecycle.tunnel_count(),
        rooms: services.rooms.count(),
        is_ready: readiness.is_ready(),
        is_degraded: readiness.is_degraded(),
    };
    let text =
        services.metrics.render(readings).map_err(|error| ApiError::Internal(error.into()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
