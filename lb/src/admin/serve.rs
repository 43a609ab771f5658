//! Serving the few who ask: bounded in number, and in how long each may be silent.
//! What they hold are descriptors, and those are clients'.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

/// Connections at once. Who comes beyond them is closed at once.
const CONNECTIONS: usize = 64;

/// How long a request's head may take, and how long there may be none. Longer than
/// the pause between two scrapes of a connection that is kept.
const SILENCE: Duration = Duration::from_secs(30);

/// Serves until the task is dropped.
pub(super) async fn serve(mut listener: impl Listener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (io, _) = listener.accept().await;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(SILENCE);
            // Err: the client did not keep to HTTP, or left.
            let _ = server.serve_connection(TokioIo::new(io), service).await;
            drop(place);
        });
    }
}
