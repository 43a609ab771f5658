//! Pods: HTTP servers at addresses of their own that come and go as pods do.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::support::{Body, respond};

/// Between two parts of a download.
const PART: Duration = Duration::from_millis(20);
/// The last words of a download that was not cut.
pub const LAST_PART: &str = "that was all";

/// The field of an upgrade that says which pod it was.
pub const POD: &str = "x-pod";

/// A pod that answers with its address in angle brackets.
///
/// `/check` is as healthy as it is told to be, `/download` goes on until it is told to
/// finish, and every upgrade is accepted and sent back what it sends.
pub struct Pod {
    pub address: SocketAddr,
    state: Arc<PodState>,
    ends: CancellationToken,
    task: JoinHandle<()>,
}

struct PodState {
    requests: AtomicUsize,
    checks: AtomicUsize,
    healthy: AtomicBool,
    finish: CancellationToken,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pod {
    /// Starts at an address.
    pub async fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await;
        let listener = listener.unwrap_or_else(|error| panic!("a pod at {address}: {error}"));
        let address = listener.local_addr().unwrap();
        let state = Arc::new(PodState {
            requests: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
            healthy: AtomicBool::new(true),
            finish: CancellationToken::new(),
        });
        let ends = CancellationToken::new();
        let task = tokio::spawn(serve(listener, Arc::clone(&state), ends.clone()));
        Self { address, state, ends, task }
    }

    /// How it answers.
    pub fn name(&self) -> String {
        name(self.address)
    }

    /// Requests so far, health checks aside.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Health checks so far.
    pub fn checks(&self) -> usize {
        self.state.checks.load(Ordering::SeqCst)
    }

    /// Passes health checks from now on, or does not.
    pub fn set_healthy(&self, healthy: bool) {
        self.state.healthy.store(healthy, Ordering::SeqCst);
    }

    /// Lets downloads come to their end.
    pub fn finish(&self) {
        self.state.finish.cancel();
    }

    /// Stops as a server in a pod does: takes no connection any more, and closes those on
    /// which nothing is going on.
    pub fn begin_to_end(&self) {
        self.ends.cancel();
    }

    /// The same, and waits until what was going on is over.
    pub async fn end(mut self) {
        self.begin_to_end();
        (&mut self.task).await.unwrap();
    }
}

/// How the pod at an address answers.
pub fn name(address: SocketAddr) -> String {
    format!("<{}>", address.ip())
}

async fn serve(listener: TcpListener, state: Arc<PodState>, ends: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ends.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else { continue };
        connections.spawn(converse(stream, Arc::clone(&state), ends.clone()));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn converse(stream: TcpStream, state: Arc<PodState>, ends: CancellationToken) {
    stream.set_nodelay(true).unwrap();
    // Whoever listens at every address has many names.
    let name = name(stream.local_addr().unwrap());
    let service = service_fn(|request| {
        let response = answer(request, &state, name.clone());
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection.with_upgrades());
    // Err: whoever asked has gone.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = ends.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

fn answer(mut request: Request<Incoming>, state: &PodState, name: String) -> Response<Body> {
    if request.uri().path() == "/check" {
        state.checks.fetch_add(1, Ordering::SeqCst);
        let healthy = state.healthy.load(Ordering::SeqCst);
        return respond(if healthy { 200 } else { 503 }, name);
    }
    state.requests.fetch_add(1, Ordering::SeqCst);
    if request.headers().contains_key("upgrade") {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let (mut reading, mut writing) = tokio::io::split(TokioIo::new(upgraded));
            // Err: the other side was cut.
            let _ = tokio::io::copy(&mut reading, &mut writing).await;
        });
        let mut response = respond(101, "");
        for (field, value) in [("connection", "upgrade"), ("upgrade", "websocket"), (POD, &name)] {
            response.headers_mut().insert(field, value.parse().unwrap());
        }
        return response;
    }
    if request.uri().path() == "/download" {
        return Response::new(download(name, state.finish.clone()));
    }
    respond(200, name)
}

/// Its name, parts until the end is allowed, and last words.
fn download(name: String, finish: CancellationToken) -> Body {
    let parts = futures_util::stream::unfold(Some((name, finish)), |state| async {
        let (part, finish) = state?;
        if part == LAST_PART {
            return Some((part, None));
        }
        let more = tokio::select! {
            () = finish.cancelled() => LAST_PART,
            () = tokio::time::sleep(PART) => "and ",
        };
        Some((part, Some((more.to_owned(), finish))))
    });
    let frames = futures_util::StreamExt::map(parts, |part| Ok(Frame::data(Bytes::from(part))));
    BodyExt::boxed(StreamBody::new(Box::pin(frames)))
}
