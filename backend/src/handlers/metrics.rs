//! Metrics, for Prometheus.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;

use crate::error::ApiError;
use crate::metrics::{CONTENT_TYPE, Readings};
use crate::services::Shared;

/// `GET /api/v1/scaling/metrics/prometheus`.
pub async fn prometheus(State(services): State<Shared>) -> Result<impl IntoResponse, ApiError> {
    let readings = Readings {
        pool: services.users.pool_usage(),
        lookups: services.cache.lookups(),
        websockets: services.lifecycle.tunnel_count(),
        rooms: services.rooms.count(),
    };
    let text =
        services.metrics.render(readings).map_err(|error| ApiError::Internal(error.into()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
