//! What goes over the line to the API server for one Service: kube's watcher says when
//! something changes or fails, not that it watches again after a failure.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use tower::BoxError;

use super::{Problem, Service};

/// How long one watch lives before another takes its place. A connection that is dead
/// without a word is found out then.
pub(super) const WATCH_FOR: Duration = Duration::from_secs(55);

/// The watcher begins the next watch as soon as one ends: with a server that ends each
/// at once, it would never rest.
const BETWEEN_WATCHES: Duration = Duration::from_secs(1);

/// A client that tells the Service what becomes of its watches, and lets no answer take
/// longer than `patience` to begin.
pub(super) fn listen(client: Client, service: Arc<Service>, patience: Duration) -> Client {
    let next_watch = Arc::new(Mutex::new(Instant::now()));
    let namespace = service.of().namespace.to_string();
    let send = move |request: Request<Body>| {
        let (client, service) = (client.clone(), Arc::clone(&service));
        let next_watch = Arc::clone(&next_watch);
        async move {
            let is_watch = is_watch(&request);
            if is_watch {
                let due = *next_watch.lock();
                sleep_until(due).await;
                *next_watch.lock() = Instant::now() + BETWEEN_WATCHES;
            }
            let answer: Response<Body> = match timeout(patience, client.send(request)).await {
                Ok(answer) => answer?,
                Err(_) => {
                    return Err(BoxError::from(
                        Problem::too_slow("no answer", patience).to_string(),
                    ));
                }
            };
            if is_watch && answer.status().is_success() {
                service.followed();
            }
            Ok(answer)
        }
    };
    Client::new(tower::service_fn(send), namespace)
}

fn is_watch<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).any(|(key, value)| key == "watch" && value == "true")
}
