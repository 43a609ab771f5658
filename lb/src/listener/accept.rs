//! Accepting: from a socket to a connection that an engine carries.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::pingora::server::ShutdownWatch;
use prometheus::{IntCounter, IntGauge};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::http1;
use super::http2;
use super::socket::{Accepted, Socket};
use super::stream::{EdgeStream, Transport};
use crate::engine::Connection;
use crate::engine::pingora::Engine;
use crate::observe::{Handshake, Metrics};
use crate::policy::ListenerId;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long accepting rests when descriptors run out.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What connections of one listener need, on one worker.
pub struct AcceptContext {
    id: ListenerId,
    name: Arc<str>,
    tls: Option<TlsAcceptor>,
    engine: Arc<Engine>,
    shutdown: ShutdownWatch,
    accepted: IntCounter,
    open: IntGauge,
    handshakes: [IntCounter; 3],
    /// Held by every connection: the worker waits for the last one to end.
    alive: mpsc::Sender<()>,
}

impl AcceptContext {
    /// Gathers it.
    pub fn new(
        id: ListenerId,
        listener: &crate::snapshot::Listener,
        engine: Arc<Engine>,
        metrics: &Metrics,
        shutdown: ShutdownWatch,
        alive: mpsc::Sender<()>,
    ) -> Self {
        let (accepted, open) = metrics.listener(&listener.name);
        let handshakes = [Handshake::Full, Handshake::Resumed, Handshake::Failed]
            .map(|result| metrics.handshake(&listener.name, result));
        Self {
            id,
            name: Arc::clone(&listener.name),
            tls: listener.tls.clone().map(TlsAcceptor::from),
            engine,
            shutdown,
            accepted,
            open,
            handshakes,
            alive,
        }
    }
}

/// Accepts until the process stops.
pub async fn accept(socket: Socket, context: Arc<AcceptContext>) {
    let mut shutdown = context.shutdown.clone();
    let mut complained = false;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = shutdown.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok(accepted) => {
                complained = false;
                context.accepted.inc();
                tokio::spawn(serve(accepted, Arc::clone(&context)));
            }
            Err(error) if is_about_the_connection(&error) => {}
            Err(error) => {
                if !complained {
                    complained = true;
                    tracing::error!(listener = %context.name, %error, "cannot accept; trying again");
                }
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

/// The client was gone before we came (accept(2), "Error handling").
fn is_about_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Counts an open connection for as long as it lives.
struct Open<'c>(&'c IntGauge);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn serve(accepted: Accepted, context: Arc<AcceptContext>) {
    context.open.inc();
    let _open = Open(&context.open);
    let _alive = context.alive.clone();
    let peer = accepted.peer();
    let transport = Transport::from(accepted);
    let (transport, http2) = match &context.tls {
        None => (transport, false),
        Some(acceptor) => match handshake(acceptor, transport, &context).await {
            Some(secured) => secured,
            None => return,
        },
    };
    let connection = Arc::new(Connection::new(
        context.id,
        Arc::clone(&context.name),
        peer,
        context.tls.is_some(),
    ));
    let Ok(stream) = EdgeStream::new(transport, connection) else { return };
    if http2 {
        http2::serve(stream, &context.engine, context.shutdown.clone()).await;
    } else {
        http1::serve(stream, &context.engine, &context.shutdown).await;
    }
}

/// TLS, and whether the client wants HTTP/2. `None` when it failed.
async fn handshake(
    acceptor: &TlsAcceptor,
    transport: Transport,
    context: &AcceptContext,
) -> Option<(Transport, bool)> {
    let [full, resumed, failed] = &context.handshakes;
    match timeout(HANDSHAKE, acceptor.accept(transport)).await {
        Ok(Ok(stream)) => {
            let session = stream.get_ref().1;
            let kind = match session.handshake_kind() {
                Some(rustls::HandshakeKind::Resumed) => resumed,
                _ => full,
            };
            kind.inc();
            let http2 = session.alpn_protocol() == Some(b"h2");
            Some((Transport::Tls(Box::new(stream)), http2))
        }
        Ok(Err(error)) => {
            failed.inc();
            tracing::debug!(listener = %context.name, %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            failed.inc();
            tracing::debug!(listener = %context.name, "TLS handshake timed out");
            None
        }
    }
}
