//! HTTP/2: streams on a connection, each an exchange of its own.
//!
//! Stands on Pingora's public handshake and stream types; the loop is ours,
//! because theirs cannot be ended, bounded or counted from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::pingora::protocols::http::ServerSession;
use ::pingora::protocols::http::v2::server::{
    H2Accept, HttpSession, default_h2_options, handshake,
};
use ::pingora::server::ShutdownWatch;
use tokio::time::{Instant, sleep_until, timeout};

use super::stream::EdgeStream;
use crate::engine::pingora::Engine;

/// How long the preface and the first SETTINGS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a connection without streams is kept (nginx: `keepalive_timeout`).
const IDLE: Duration = Duration::from_secs(75);

/// Streams at once (nginx: `http2_max_concurrent_streams`).
const STREAMS: u32 = 128;

/// The decoded header list. Larger than our own default limit, so that the
/// limit's 431 with its cause is what clients see.
const HEADER_LIST: u32 = 64 * 1024;

/// Flow control windows: a fast upload does not wait for our updates.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What is held for a stream whose client does not read. h2's own 400 KiB, by
/// 128 streams, would be 50 MiB a connection.
const SEND_BUFFER: usize = 32 * 1024;

/// Malformed streams that a connection may send.
const MALFORMED: u32 = 32;

/// Carries streams until the connection ends or the process stops.
pub(super) async fn serve(stream: EdgeStream, engine: &Arc<Engine>, mut shutdown: ShutdownWatch) {
    let digest = stream.digest();
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let Ok(Ok(mut connection)) =
        timeout(HANDSHAKE, handshake(Box::new(stream), Some(options))).await
    else {
        return;
    };
    let active = Arc::new(AtomicUsize::new(0));
    let mut malformed = 0;
    let mut closing = false;
    let mut idle_at = Instant::now() + IDLE;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stopping| *stopping), if !closing => {
                connection.graceful_shutdown();
                closing = true;
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => accepted,
            () = sleep_until(idle_at) => {
                if active.load(Ordering::Relaxed) == 0 {
                    if closing {
                        return;
                    }
                    connection.graceful_shutdown();
                    closing = true;
                }
                idle_at = Instant::now() + IDLE;
                continue;
            }
        };
        idle_at = Instant::now() + IDLE;
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                let busy = Busy::new(&active);
                let (engine, shutdown) = (Arc::clone(engine), shutdown.clone());
                tokio::spawn(async move {
                    let _busy = busy;
                    engine.carry(ServerSession::new_http2(session), &shutdown).await;
                });
            }
            Ok(Some(H2Accept::Rejected)) => {
                malformed += 1;
                if malformed >= MALFORMED {
                    return;
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// A stream that runs.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(active: &Arc<AtomicUsize>) -> Self {
        active.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(active))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
