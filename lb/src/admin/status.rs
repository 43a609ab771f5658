//! `/metrics`, `/healthz` (alive) and `/readyz` (ready for traffic). Read-only.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::Desk;
use super::serve::serve;
use crate::engine::Shared;

/// The status server could not start.
#[derive(Debug, thiserror::Error)]
#[error("the status server cannot bind {address}: {error}")]
pub struct StatusError {
    address: SocketAddr,
    error: std::io::Error,
}

/// Binds the status server's address.
pub fn bind_status(address: SocketAddr) -> Result<TcpListener, StatusError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error| StatusError { address, error })
}

/// What the status server tells of.
#[derive(Clone)]
pub struct StatusContext {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Where reloads are remembered.
    pub desk: Arc<Desk>,
}

/// Serves until the task is dropped.
pub async fn serve_status(listener: TcpListener, context: StatusContext) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(context);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    serve(Reserved { listener, spare: spare() }, router).await;
    Ok(())
}

async fn metrics(State(StatusContext { shared, .. }): State<StatusContext>) -> Response {
    let format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (format, shared.metrics.render()).into_response()
}

/// 200 when requests can be served; 503 while stopping, and until the first
/// round of checks is over. What a later reload adds does not take it back: the
/// rest is served. Neither do the problems of Services: those pods that are known
/// are used.
async fn ready(State(context): State<StatusContext>) -> Response {
    let StatusContext { shared, desk } = context;
    let mut reasons = Vec::new();
    if shared.is_draining() {
        reasons.push("the process is stopping".to_owned());
    }
    reasons.extend(shared.unchecked().into_iter().map(|upstream| {
        format!("the endpoints of upstream \"{upstream}\" have not been found and checked yet")
    }));
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({ "ready": reasons.is_empty(), "reasons": reasons });
    let problems = shared.problems();
    if !problems.is_empty() {
        body["problems"] = json!(problems);
    }
    if let Some(report) = desk.last()
        && !report.is_applied()
    {
        body["last_reload"] = json!(&*report);
    }
    (status, Json(body)).into_response()
}

/// A listener that still accepts when descriptors run out: it holds one that it
/// can give up, for as long as one connection takes.
struct Reserved {
    listener: tokio::net::TcpListener,
    spare: Option<File>,
}

/// How long accepting rests when it fails.
const REST: Duration = Duration::from_millis(20);

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

impl axum::serve::Listener for Reserved {
    type Io = tokio::net::TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    if self.spare.is_none() {
                        self.spare = spare();
                    }
                    return accepted;
                }
                Err(_) if self.spare.take().is_some() => {}
                Err(_) => {
                    tokio::time::sleep(REST).await;
                    self.spare = spare();
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
