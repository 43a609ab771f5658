//! The Pingora engine: `ProxyHttp`, every callback delegating.
//!
//! Carries every protocol: HTTP/1.1 and HTTP/2 on either side, gRPC, WebSocket.
//! The order of the callbacks is Pingora's (`docs/ARCHITECTURE.md`, "The life of
//! a request"); what each does stands in the file named after its job.

mod arrival;
mod attempt;
mod exchange;
mod failure;
mod forward;
mod outcome;
mod respond;

use std::os::fd::RawFd;
use std::sync::Arc;

use ::pingora::Result;
use ::pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use ::pingora::http::{RequestHeader, ResponseHeader};
use ::pingora::modules::http::HttpModules;
use ::pingora::protocols::Digest;
use ::pingora::protocols::http::ServerSession;
use ::pingora::proxy::{FailToProxy, HttpProxy, ProxyHttp, ProxyWarnLogContext, Session};
use ::pingora::server::ShutdownWatch;
use ::pingora::server::configuration::ServerConf;
use ::pingora::upstreams::peer::HttpPeer;
use ::pingora::{BError, Error};
use async_trait::async_trait;
use bytes::Bytes;

use super::{Shared, deadline};
pub use arrival::DOWNSTREAM_KEEPALIVE;
use exchange::Exchange;

/// One worker's proxy, with its own pool of connections to endpoints.
pub struct Engine {
    proxy: Arc<HttpProxy<Proxy>>,
}

impl Engine {
    /// A proxy for one of `workers` workers.
    ///
    /// Idle connections to endpoints are pooled per worker, in one LRU over all
    /// upstreams; its size is this worker's share of the sum of their `max_idle`.
    pub fn new(shared: Arc<Shared>, workers: usize) -> Self {
        let idle: usize = shared.live().upstreams.iter().map(|live| live.upstream.max_idle).sum();
        let conf = ServerConf {
            threads: 1,
            upstream_keepalive_pool_size: idle.div_ceil(workers.max(1)),
            // Our own bound on attempts and our budget decide before this one.
            max_retries: usize::from(u8::MAX),
            ..ServerConf::default()
        };
        let mut proxy = HttpProxy::new(Proxy { shared }, Arc::new(conf));
        proxy.handle_init_modules();
        // CONNECT reaches our own refusal, which has a cause and a log line.
        let mut options = HttpServerOptions::default();
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        Self { proxy: Arc::new(proxy) }
    }

    /// Closes connections that wait for a request, now and from now on.
    pub async fn close_idle(&self) {
        self.proxy.http_cleanup().await;
    }

    /// Carries one exchange. Gives the stream back when the connection can
    /// take another request.
    pub async fn carry(
        &self,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        deadline::with_deadline(self.proxy.process_new_http(session, shutdown)).await
    }
}

/// The callbacks. Holds what all exchanges share and nothing of any one.
pub(super) struct Proxy {
    shared: Arc<Shared>,
}

impl Proxy {
    /// A connection that will be closed says so in its last response, whenever
    /// the draining began.
    fn close_when_draining(&self, session: &mut Session) {
        if self.shared.is_draining() {
            session.set_keepalive(None);
        }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::default()
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // The default builds a compression module for every request.
    }

    async fn early_request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<()> {
        arrival::begin(&self.shared, session, exchange);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        match arrival::decide(session, exchange) {
            Ok(()) => {
                arrival::answer_expectation(session, exchange).await?;
                Ok(false)
            }
            Err(answer) => {
                self.close_when_draining(session);
                respond::respond(session, exchange, answer).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        attempt::begin(session, exchange).await
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
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
        exchange: &mut Exchange,
    ) -> Result<()> {
        attempt::connected(exchange, reused, socket);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        forward::edit_request(session, request, exchange)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        forward::count_request_body(body.as_ref(), exchange)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if !response.status.is_informational() {
            self.close_when_draining(session);
        }
        forward::edit_response(session, response, exchange)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: BError,
        exchange: &mut Exchange,
        client_reused: bool,
    ) -> BError {
        failure::exchange_failed(session, exchange, error, client_reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        failure::answer(session, exchange, error).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        outcome::record(&self.shared, session, exchange, error);
    }

    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        // The access log has the cause and the error, once.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _exchange: &Exchange,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
