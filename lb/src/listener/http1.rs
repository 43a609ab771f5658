//! HTTP/1: one request after the other on a connection.

use ::pingora::apps::HttpPersistentSettings;
use ::pingora::protocols::Stream;
use ::pingora::protocols::http::ServerSession;
use ::pingora::server::ShutdownWatch;

use super::stream::EdgeStream;
use crate::engine::pingora::{DOWNSTREAM_KEEPALIVE, Engine};

/// Carries requests until the connection cannot take another.
pub(super) async fn serve(stream: EdgeStream, engine: &Engine, shutdown: &ShutdownWatch) {
    let mut stream: Stream = Box::new(stream);
    let mut settings = None;
    loop {
        let mut session = ServerSession::new_http1(stream);
        match settings {
            // Carries what was read beyond the last request.
            Some(settings) => HttpPersistentSettings::apply_to_session(settings, &mut session),
            None => session.set_pipelining_enabled(true),
        }
        session.set_keepalive(Some(DOWNSTREAM_KEEPALIVE.as_secs()));
        let Some(reused) = engine.carry(session, shutdown).await else { return };
        (stream, settings) = reused.consume();
        if *shutdown.borrow() {
            return;
        }
    }
}
