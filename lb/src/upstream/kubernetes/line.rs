//! What goes over the line to the API server for one Service: kube's watcher says when
//! something changes or fails, not that it watches again after a failure.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use tower::BoxError;

use super::{Cluster, Problem, Service};

/// How long one watch lives before another takes its place. A connection that is dead
/// without a word is found out then.
pub(super) const WATCH_FOR: Duration = Duration::from_secs(55);

/// The watcher begins the next watch as soon as one ends: with a server that ends each
/// at once, it would never rest.
const BETWEEN_WATCHES: Duration = Duration::from_secs(1);

/// As many bytes of an answer are taken in; kube would hold whatever comes. All pods of a
/// Service that are used come to a tenth of it, with their names and nodes.
pub(super) const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

/// A client that tells the Service what becomes of its watches, and lets no answer take
/// longer to begin than a list may. What it asks by is of the cluster, and made anew
/// after a failure: where the API server is and who we are may have changed since.
pub(super) fn listen(cluster: Arc<Cluster>, service: Arc<Service>) -> Client {
    let next_watch = Arc::new(Mutex::new(Instant::now()));
    let namespace = service.of().namespace.to_string();
    let send = move |request: Request<Body>| {
        let (cluster, service) = (Arc::clone(&cluster), Arc::clone(&service));
        let next_watch = Arc::clone(&next_watch);
        async move {
            let is_watch = is_watch(&request);
            if is_watch {
                let due = *next_watch.lock();
                sleep_until(due).await;
                *next_watch.lock() = Instant::now() + BETWEEN_WATCHES;
            }
            let answer = ask(&cluster, request).await?;
            if is_watch && answer.status().is_success() {
                service.followed();
            }
            let answer = answer.map(|body| Limited::new(body, LONGEST_ANSWER).map_err(said));
            Ok::<_, BoxError>(answer)
        }
    };
    Client::new(tower::service_fn(send), namespace)
}

async fn ask(cluster: &Cluster, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    let patience = cluster.settings().timeout;
    let made = cluster.client().await?;
    let answer = match timeout(patience, made.client.send(request)).await {
        Ok(answer) => answer.map_err(BoxError::from),
        Err(_) => Err(Problem::too_slow("no answer", patience).into()),
    };
    let is_unknown = |answer: &Response<Body>| answer.status() == StatusCode::UNAUTHORIZED;
    if answer.as_ref().map_or(true, is_unknown) {
        cluster.forget(&made);
    }
    answer
}

/// What breaks an answer off, in words of ours where it was us.
fn said(error: BoxError) -> BoxError {
    if error.is::<LengthLimitError>() { Box::new(Problem::too_long()) } else { error }
}

fn is_watch<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).any(|(key, value)| key == "watch" && value == "true")
}
