//! All routes.

use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use http::HeaderValue;

use super::linger::linger;
use super::middleware;
use crate::error::ApiError;
use crate::frontend::{self, ASSETS, Frontend};
use crate::handlers::{auth, diagnostics, metrics, probes, users, websocket};
use crate::services::Shared;

/// The API role. All but probes and metrics wait for `delay` first.
pub fn api(services: Shared, instance: HeaderValue, delay: Duration) -> Router {
    let mut api = Router::new()
        .route("/api/v1/users", get(users::list).post(users::create))
        // As many clients write it, load testers among them.
        .route("/api/v1/users/", get(users::list).post(users::create))
        .route("/api/v1/users/{id}", get(users::find))
        .route("/api/v1/auth/login", post(auth::login))
        .route("/ws", get(websocket::connect))
        .route("/api/v1/diagnostics/echo", any(diagnostics::echo))
        .route("/api/v1/diagnostics/body", any(diagnostics::body))
        .route("/api/v1/diagnostics/bytes", get(diagnostics::bytes))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);
    if !delay.is_zero() {
        api = api.layer(from_fn_with_state(delay, middleware::delay));
    }

    Router::new()
        .route("/health", get(probes::health))
        .route("/api/v1/scaling/health/liveness", get(probes::liveness))
        .route("/api/v1/scaling/health/readiness", get(probes::readiness))
        .route("/api/v1/scaling/health/startup", get(probes::startup))
        .route("/api/v1/scaling/metrics/prometheus", get(metrics::prometheus))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .merge(api)
        .layer(from_fn(linger))
        .layer(from_fn_with_state(services.metrics.requests.clone(), middleware::observe))
        .layer(from_fn_with_state(instance, middleware::sign))
        .with_state(services)
}

/// The role that serves the web page. Its probes and metrics are where those
/// of the API are, so that one configuration of them fits both.
pub fn frontend(frontend: Frontend, instance: HeaderValue, delay: Duration) -> Router {
    let mut pages = Router::new();
    for asset in ASSETS {
        pages = pages.route(asset.path, frontend::route(asset));
    }
    pages = pages
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);
    if !delay.is_zero() {
        pages = pages.layer(from_fn_with_state(delay, middleware::delay));
    }

    let requests = frontend.requests().clone();
    Router::new()
        .route("/health", get(probes::health))
        .route("/api/v1/scaling/health/liveness", get(probes::liveness))
        .route("/api/v1/scaling/health/readiness", get(frontend::readiness))
        .route("/api/v1/scaling/health/startup", get(frontend::startup))
        .route("/api/v1/scaling/metrics/prometheus", get(frontend::metrics))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .merge(pages)
        .layer(from_fn(frontend::protect))
        .layer(from_fn(linger))
        .layer(from_fn_with_state(requests, middleware::observe))
        .layer(from_fn_with_state(instance, middleware::sign))
        .with_state(frontend)
}
