//! The Pingora engine: `ProxyHttp`, every callback delegating.
//!
//! Carries every protocol: HTTP/1.1 and HTTP/2 on either side, gRPC, WebSocket.
//! The order of the callbacks is Pingora's (`docs/ARCHITECTURE.md`, "The life of
//! a request"); what each does stands in the file named after its job.

mod attempt;
mod failure;
mod forward;
mod outcome;
mod proxies;
mod respond;
mod send_proxy;

use std::cell::Cell;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::pingora::Result;
use ::pingora::apps::{HttpServerApp, ReusedHttpStream};
use ::pingora::http::{RequestHeader, ResponseHeader};
use ::pingora::modules::http::HttpModules;
use ::pingora::protocols::Digest;
use ::pingora::protocols::http::ServerSession;
use ::pingora::protocols::http::v2::server::HttpSession as Http2Session;
use ::pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use ::pingora::server::ShutdownWatch;
use ::pingora::upstreams::peer::HttpPeer;
use ::pingora::{BError, Error};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use self::proxies::Proxies;
use super::arrival::{self, CLIENT_PATIENCE};
use super::exchange::Exchange;
use super::{Arrived, Connection, Deadline, Live, Shared, deadline};
use crate::snapshot::Pace;

/// How long a request body that nobody wants any more is read on.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// One worker's engine, with its own pools of connections to endpoints.
pub struct Engine {
    shared: Arc<Shared>,
    proxies: Proxies,
    /// What Pingora would be told of a stop, which our own loops hear of.
    never: ShutdownWatch,
    _never: watch::Sender<bool>,
}

tokio::task_local! {
    /// On its way from the decision into Pingora, which makes the context of an
    /// exchange itself and hands nothing over.
    static ARRIVED: Cell<Option<Arrived>>;
}

impl Engine {
    /// An engine for one of `workers` workers.
    pub fn new(shared: &Arc<Shared>, workers: usize) -> Self {
        let (_never, never) = watch::channel(false);
        Self { shared: Arc::clone(shared), proxies: Proxies::new(shared, workers), never, _never }
    }

    /// Another snapshot is live.
    pub fn follow(&self, live: &Live) {
        self.proxies.follow(live);
    }

    /// Carries an HTTP/1 exchange. Gives the stream back when the connection
    /// can take another request.
    pub async fn carry(
        &self,
        session: ServerSession,
        arrived: Arrived,
    ) -> Option<ReusedHttpStream> {
        let proxy = self.proxies.of(arrived.0.upstream());
        let era = arrived.0.connection.as_ref().map(|connection| Arc::clone(&connection.era));
        let carried =
            ARRIVED.scope(Cell::new(Some(arrived)), proxy.process_new_http(session, &self.never));
        deadline::with_deadline(carried, era.as_deref(), self.shared.cuts()).await.flatten()
    }

    /// Decides about an HTTP/2 request and carries it.
    pub async fn carry_http2(&self, session: Http2Session, connection: &Arc<Connection>) {
        let session = ServerSession::new_http2(session);
        let started = (Instant::now(), SystemTime::now());
        let header = session.req_header();
        let exchange =
            arrival::arrive(connection.era.live(&self.shared), connection, header, false, started);
        self.carry(session, Arrived(exchange)).await;
    }
}

/// The callbacks. Holds what all exchanges share and nothing of any one.
pub(super) struct Proxy {
    shared: Arc<Shared>,
}

impl Proxy {
    /// A connection that will be closed says so in its last response, whenever
    /// the draining began.
    fn close_after_the_last(&self, session: &mut Session, exchange: &Exchange) {
        if exchange.last || self.shared.closes(exchange) {
            session.set_keepalive(None);
        }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Box<Exchange> {
        let arrived = ARRIVED.try_with(Cell::take).ok().flatten();
        // None only if Pingora asked twice for one exchange.
        let mut exchange = arrived.map_or_else(Box::default, |arrived| arrived.0);
        exchange.deadline = Deadline::current();
        exchange
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // The default builds a compression module for every request.
    }

    async fn early_request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        if session.get_keepalive().is_some() {
            // Without a time of its own: the connection does not wait for its
            // next request in here.
            session.set_keepalive(Some(0));
        }
        self.close_after_the_last(session, exchange);
        exchange.persistent = session.get_keepalive().is_some();
        let (read, write) = patience(session, exchange);
        session.set_read_timeout(read);
        session.set_write_timeout(write);
        session.set_total_drain_timeout(Some(DRAIN_PATIENCE));
        if session.req_header().version == http::Version::HTTP_10 {
            // RFC 9110 §15.2: no interim responses to HTTP/1.0.
            session.as_downstream_mut().set_ignore_info_resp(true);
        }
        Ok(())
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Box<Exchange>,
    ) -> Result<bool> {
        match exchange.answer.take() {
            None => {
                forward::answer_expectation(session, exchange).await?;
                Ok(false)
            }
            Some(answer) => {
                self.close_after_the_last(session, exchange);
                respond::respond(session, exchange, answer).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        exchange: &mut Box<Exchange>,
    ) -> Result<Box<HttpPeer>> {
        attempt::begin(session, exchange).await
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Box<Exchange>,
        error: BError,
    ) -> BError {
        failure::connect_failed(session, exchange, error)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        socket: RawFd,
        _digest: Option<&Digest>,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        attempt::connected(exchange, reused, socket);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        forward::edit_request(session, request, exchange)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        forward::count_request_body(body.as_ref(), exchange)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        if !response.status.is_informational() {
            if exchange.persistent {
                // Pingora gives the connection up when it passes 100 (Continue)
                // on, since the body has not come yet.
                session.set_keepalive(Some(0));
            }
            self.close_after_the_last(session, exchange);
        }
        forward::edit_response(session, response, exchange)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: BError,
        exchange: &mut Box<Exchange>,
        client_reused: bool,
    ) -> BError {
        failure::exchange_failed(session, exchange, error, client_reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Box<Exchange>,
    ) -> FailToProxy {
        failure::answer(session, exchange, error).await
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        exchange: &mut Box<Exchange>,
    ) {
        outcome::record(&self.shared, session, exchange, error);
    }

    fn suppress_error_log(
        &self,
        _session: &Session,
        _exchange: &Box<Exchange>,
        _error: &Error,
    ) -> bool {
        // The access log has the cause and the error, once.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _exchange: &Box<Exchange>,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// How long Pingora waits for a read from the client, and for a write to it.
fn patience(session: &Session, exchange: &Exchange) -> (Option<Duration>, Option<Duration>) {
    if let Some(forward) = exchange.forward()
        && (exchange.upgrade || exchange.grpc)
    {
        // Either side of a tunnel or a stream may be silent as long as the route says.
        return (Some(forward.timeouts.read), Some(forward.timeouts.send));
    }
    let pace =
        exchange.live.as_ref().zip(exchange.connection.as_ref()).and_then(|(live, connection)| {
            Some(connection.listener(live)?.connections.deadlines.pace)
        });
    match pace {
        Some(Pace { min_rate: 1.., grace }) if session.is_http2() => {
            (Some(grace), Some(CLIENT_PATIENCE.max(grace)))
        }
        // The stream itself watches the rate.
        Some(Pace { min_rate: 1.., .. }) => (None, None),
        _ => (Some(CLIENT_PATIENCE), Some(CLIENT_PATIENCE)),
    }
}
