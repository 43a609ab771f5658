//! HTTP/2: streams on a connection, each an exchange of its own.
//!
//! Stands on Pingora's public handshake and stream types; the loop is ours,
//! because theirs cannot be ended, bounded or counted from outside.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ::pingora::protocols::http::v2::server::{
    H2Accept, HttpSession, default_h2_options, handshake,
};
use ::pingora::protocols::{Digest, Stream};
use bytes::Bytes;
use h2::Reason;
use h2::server::Connection;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use super::accept::{Served, reached};
use super::http2_stream::{Http2Stream, Verdict};
use super::transport::Transport;
use crate::engine::Stage;
use crate::response::Closing;

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

/// Streams that the client has reset before we took them up (CVE-2023-44487).
const RESET_BEFORE_ACCEPTED: usize = 20;

/// Streams that the client made h2 reset (CVE-2025-8671). Our own count of
/// resets comes first.
const RESET_BY_US: usize = 256;

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a connection is after its handshake.
pub(super) struct Shaken {
    connection: Box<Connection<Stream, Bytes>>,
    verdict: Verdict,
}

/// Preface and settings. `None` if there is no connection to go on with.
pub(super) async fn shake(transport: Transport, served: &Served) -> Option<Shaken> {
    let deadlines = &served.settings.deadlines;
    let verdict = Verdict::default();
    let stream = Http2Stream::new(transport, deadlines, verdict.clone());
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(served.settings.http2_streams)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESET_BEFORE_ACCEPTED)
        .max_local_error_reset_streams(Some(RESET_BY_US))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let shaken = handshake(Box::new(stream), Some(options));
    match timeout(deadlines.http2_handshake, shaken).await {
        Ok(Ok(connection)) => Some(Shaken { connection: Box::new(connection), verdict }),
        Ok(Err(_)) => {
            served.closed(Closing::Http2HandshakeFailed);
            None
        }
        Err(_) => {
            served.closed(Closing::Http2HandshakeTimeout);
            None
        }
    }
}

/// Carries streams until the connection ends or the process stops.
pub(super) async fn serve(shaken: Shaken, served: Served) {
    let Shaken { mut connection, verdict } = shaken;
    let verdict = &verdict;
    let idle = served.settings.deadlines.idle;
    let mut stages = served.connection.era.watch();
    let mut closings = stages.clone();
    let digest = Arc::new(Digest::default());
    let running = Arc::new(Mutex::new(Running { streams: 0, idle_since: Instant::now() }));
    let (mut malformed, mut requests) = (0, 0);
    // Since when we want to be rid of the connection.
    let mut closing: Option<Instant> = None;
    let mut look_at = Instant::now() + idle;
    loop {
        let accepted = tokio::select! {
            biased;
            () = reached(&mut stages, Stage::Cut) => return,
            () = reached(&mut closings, Stage::Closing), if closing.is_none() => {
                connection.graceful_shutdown();
                closing = Some(Instant::now());
                look_at = Instant::now() + GOODBYE;
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => accepted,
            why = passed(verdict) => {
                served.closed(why);
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                say_goodbye(&mut connection, &digest).await;
                return;
            }
            () = sleep_until(look_at) => {
                let now = Instant::now();
                let idle_since = running.lock().idle_since();
                look_at = now + if closing.is_some() { GOODBYE } else { idle };
                match (idle_since, closing) {
                    (None, _) => {}
                    // The last response is on its way still.
                    (_, Some(since)) if verdict.is_blocked() && now < since + idle => {}
                    // A client that does not answer GOAWAY is not waited for.
                    (_, Some(_)) => return,
                    (Some(since), None) if now < since + idle => look_at = since + idle,
                    (Some(_), None) => {
                        served.closed(Closing::IdleTimeout);
                        connection.graceful_shutdown();
                        closing = Some(now);
                        look_at = now + GOODBYE;
                    }
                }
                continue;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                let busy = Busy::new(&running);
                let (engine, client) = (Arc::clone(&served.engine), Arc::clone(&served.connection));
                tokio::spawn(async move {
                    let _busy = busy;
                    engine.pingora.carry_http2(session, &client).await;
                });
                requests += 1;
                let most = served.settings.limits.requests;
                if closing.is_none() && most.is_some_and(|most| requests >= most) {
                    served.closed(Closing::RequestLimit);
                    connection.graceful_shutdown();
                    closing = Some(Instant::now());
                    look_at = Instant::now() + GOODBYE;
                }
            }
            Ok(Some(H2Accept::Rejected)) => {
                malformed += 1;
                if malformed >= MALFORMED {
                    served.closed(Closing::Http2MalformedFlood);
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    say_goodbye(&mut connection, &digest).await;
                    return;
                }
            }
            // What h2 has to say of its own limits went by below.
            Ok(None) | Err(_) => {
                if let Some(why) = verdict.closing() {
                    served.closed(why);
                }
                return;
            }
        }
    }
}

/// Resolves when the stream below has found a reason to end.
async fn passed(verdict: &Verdict) -> Closing {
    poll_fn(|_| verdict.closing().map_or(Poll::Pending, Poll::Ready)).await
}

/// Has GOAWAY sent; takes no more streams.
async fn say_goodbye(connection: &mut Connection<Stream, Bytes>, digest: &Arc<Digest>) {
    let told = async {
        while let Ok(Some(_)) = HttpSession::from_h2_conn(connection, Arc::clone(digest)).await {}
    };
    // Err: it does not want to know.
    let _ = timeout(GOODBYE, told).await;
}

/// The streams of a connection that run.
struct Running {
    streams: usize,
    /// When the last one ended.
    idle_since: Instant,
}

impl Running {
    /// Since when there is none.
    fn idle_since(&self) -> Option<Instant> {
        (self.streams == 0).then_some(self.idle_since)
    }
}

/// A stream that runs.
struct Busy(Arc<Mutex<Running>>);

impl Busy {
    fn new(running: &Arc<Mutex<Running>>) -> Self {
        running.lock().streams += 1;
        Self(Arc::clone(running))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut running = self.0.lock();
        running.streams -= 1;
        running.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{http1, http2_stream::Http2Stream, transport::Transport};
    use super::*;

    const fn size_of_future<A, B, F: Future>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        let sizes = [
            ("http1 task", size_of_future(http1::serve), 1024),
            ("http2 task", size_of_future(serve), 1536),
            ("connection", size_of::<crate::engine::Connection>(), 256),
            ("transport", size_of::<Transport>(), 128),
            ("http2 stream", size_of::<Http2Stream>(), 768),
        ];
        println!("{sizes:?}");
        for (what, size, most) in sizes {
            assert!(size <= most, "{what}: {size} bytes");
        }
    }
}
