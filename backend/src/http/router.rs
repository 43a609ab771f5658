//! All routes.

use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, any, get, post};
use http::HeaderValue;

use super::linger::linger;
use super::middleware;
use crate::error::ApiError;
use crate::frontend::{self, ASSETS, Frontend};
use crate::handlers::{auth, diagnostics, health, metrics, probes, users, websocket};
use crate::openapi::endpoint;
use crate::services::Shared;

/// A path, and what may be done there.
type Route = (&'static str, MethodRouter<Shared>);

/// What tells whether and how the process runs.
fn probes() -> Vec<Route> {
    vec![
        ("/health", get(probes::health)),
        ("/api/v1/scaling/health/liveness", get(probes::liveness)),
        ("/api/v1/scaling/health/readiness", get(probes::readiness)),
        ("/api/v1/scaling/health/startup", get(probes::startup)),
        ("/api/v1/scaling/health/deep", get(health::deep)),
        ("/api/v1/scaling/replication/status", get(health::replication)),
        ("/api/v1/scaling/metrics/prometheus", get(metrics::prometheus)),
    ]
}

/// What it runs for.
fn services() -> Vec<Route> {
    let users = || get(users::read::list).post(users::write::create);
    let user = get(users::read::find).patch(users::write::update).delete(users::write::delete);
    vec![
        ("/api/v1/users", users()),
        // As many clients write it, load testers among them.
        ("/api/v1/users/", users()),
        ("/api/v1/users/{id}", user),
        ("/api/v1/auth/login", post(auth::login)),
        ("/api/v1/auth/logout", post(auth::logout)),
        ("/api/v1/auth/session", get(auth::session)),
        ("/api/v1/openapi.json", get(endpoint::document)),
        ("/ws", get(websocket::connect)),
        ("/api/v1/diagnostics/echo", any(diagnostics::echo)),
        ("/api/v1/diagnostics/body", any(diagnostics::body)),
        ("/api/v1/diagnostics/bytes", get(diagnostics::bytes)),
    ]
}

/// The API role. All but probes and metrics wait for `delay` first.
pub fn api(shared: Shared, instance: HeaderValue, delay: Duration) -> Router {
    let mut api = router(services())
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);
    if !delay.is_zero() {
        api = api.layer(from_fn_with_state(delay, middleware::delay));
    }

    router(probes())
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .merge(api)
        .layer(from_fn(linger))
        .layer(from_fn_with_state(shared.metrics.requests.clone(), middleware::observe))
        .layer(from_fn_with_state(instance, middleware::sign))
        .with_state(shared)
}

fn router(routes: Vec<Route>) -> Router<Shared> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

/// All paths.
#[cfg(test)]
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    probes().into_iter().chain(services()).map(|(path, _)| path)
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
