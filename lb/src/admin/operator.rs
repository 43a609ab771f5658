//! The admin server: what changes the process. Loopback or a Unix socket only.
//!
//! A browser on the same machine can be made to send requests to loopback by any
//! page. So every request needs a field that no page can send without being
//! allowed to (a CORS preflight, which is never answered), and a Host that is
//! this machine's (DNS rebinding).

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::ReloadReport;
use super::serve::serve;
use crate::listener::Bound;

/// The field that every request has to carry, with the value 1.
const FIELD: &str = "x-lb-admin";

/// Requests that wait for a reload; who comes beyond them is told to come later.
const WAITING: usize = 16;

/// How the admin server, and whoever reports on the process, reach its control.
#[derive(Debug)]
pub struct Desk {
    reloads: mpsc::Sender<oneshot::Sender<Arc<ReloadReport>>>,
    last: ArcSwapOption<ReloadReport>,
}

/// A wish for a reload, and who is to be told of it.
pub type ReloadRequests = mpsc::Receiver<oneshot::Sender<Arc<ReloadReport>>>;

impl Desk {
    /// A desk, and what comes in at it.
    pub fn new() -> (Self, ReloadRequests) {
        let (reloads, requests) = mpsc::channel(WAITING);
        (Self { reloads, last: ArcSwapOption::empty() }, requests)
    }

    /// The last reload; `None` before the first.
    pub fn last(&self) -> Option<Arc<ReloadReport>> {
        self.last.load_full()
    }

    /// Remembers a reload.
    pub fn put(&self, report: Arc<ReloadReport>) {
        self.last.store(Some(report));
    }
}

/// Serves until the task is dropped.
pub async fn serve_admin(socket: Bound, desk: Arc<Desk>) -> std::io::Result<()> {
    let local = matches!(socket, Bound::Unix(_));
    let router = Router::new()
        .route("/api/reload", post(reload).get(last))
        .layer(middleware::from_fn(move |request, next| guard(local, request, next)))
        .with_state(desk);
    match socket {
        Bound::Tcp(listener) => {
            serve(tokio::net::TcpListener::from_std(listener)?, router).await;
        }
        Bound::Unix(listener) => {
            serve(tokio::net::UnixListener::from_std(listener)?, router).await;
        }
    }
    Ok(())
}

async fn guard(local: bool, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let refused =
        |why: &str| (StatusCode::FORBIDDEN, Json(json!({ "error": why }))).into_response();
    if headers.get(FIELD).is_none_or(|value| value != "1") {
        return refused("requests need the field X-LB-Admin: 1");
    }
    // Whoever can open the socket's file is who they should be.
    if !local && !is_this_machine(headers) {
        return refused("the Host is not this machine's");
    }
    next.run(request).await
}

fn is_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let Ok(host) = host.parse::<http::uri::Authority>() else { return false };
    let name = host.host();
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads the configuration again. 200 with the report when it is in use, 422 with
/// the same when it is not.
async fn reload(State(desk): State<Arc<Desk>>) -> Response {
    let (answer, report) = oneshot::channel();
    let busy = || {
        let why = json!({ "error": "the process is busy with other reloads, or stops" });
        (StatusCode::SERVICE_UNAVAILABLE, Json(why)).into_response()
    };
    if desk.reloads.try_send(answer).is_err() {
        return busy();
    }
    match report.await {
        Ok(report) => {
            let status = match report.is_applied() {
                true => StatusCode::OK,
                false => StatusCode::UNPROCESSABLE_ENTITY,
            };
            (status, Json(&*report)).into_response()
        }
        Err(_) => busy(),
    }
}

/// The report of the last reload.
async fn last(State(desk): State<Arc<Desk>>) -> Response {
    match desk.last() {
        Some(report) => Json(&*report).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        let is = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            is_this_machine(&headers)
        };
        for host in ["localhost:9901", "LOCALHOST", "127.0.0.1:9901", "[::1]:9901", "127.8.8.8"] {
            assert!(is(host), "{host}");
        }
        for host in ["evil.test", "evil.test:9901", "10.0.0.1", "localhost.evil.test", "", "a b"] {
            assert!(!is(host), "{host}");
        }
        assert!(!is_this_machine(&HeaderMap::new()));
    }
}
