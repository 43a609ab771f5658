//! The description of the API (OpenAPI 3.1), made of what stands at the handlers
//! ([`utoipa::path`]) and of what holds for all of them (`complete`).
//!
//! Left out are `/api/v1/users/`, which is `/api/v1/users` written differently,
//! and what no description could say of `diagnostics`: they take every method.

mod complete;
pub mod endpoint;

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::Value;
use utoipa::OpenApi;

use crate::handlers::{auth, diagnostics, health, metrics, probes, schemas, users, websocket};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "FastNext users API",
        description = "Users and their sessions. Every error is a problem document (RFC 9457). \
            Writes say how far the database has come with them (`X-Database-Position`, and the \
            same as a cookie); reads that send that back see at least the state after the write, \
            whichever instance they reach."
    ),
    servers((url = "/")),
    tags(
        (name = "users", description = "Users."),
        (name = "auth", description = "Signing in and out."),
        (name = "scaling", description = "Probes and metrics."),
        (name = "websocket", description = "WebSockets."),
        (name = "diagnostics", description = "What tests of proxies need."),
    ),
    paths(
        auth::login,
        auth::logout,
        auth::session,
        users::read::list,
        users::write::create,
        users::read::find,
        users::write::update,
        users::write::delete,
        probes::health,
        probes::liveness,
        probes::readiness,
        probes::startup,
        health::deep,
        health::replication,
        metrics::prometheus,
        endpoint::document,
        websocket::connect,
        diagnostics::echo,
        diagnostics::body,
        diagnostics::bytes,
    ),
    components(schemas(schemas::Problem))
)]
struct Described;

/// The document, made once.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));

/// The document as it is sent.
pub fn json() -> Bytes {
    DOCUMENT.clone()
}

/// The document.
pub fn document() -> Value {
    // Only a map whose keys are no texts could not become JSON.
    let mut document = serde_json::to_value(Described::openapi()).unwrap_or_default();
    complete::complete(&mut document);
    document
}
