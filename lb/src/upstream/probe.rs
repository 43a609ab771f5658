//! One active check of one endpoint.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Uri, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::health::{CheckKind, CheckSettings, HttpCheck};
use super::{EndpointState, Target, Upstream};
use crate::request::proxy_protocol::write_v2;
use crate::values::EndpointAddress;

/// How much of a body is searched for the expected text.
const BODY_SEARCHED: usize = 64 * 1024;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Checks an endpoint once, within the configured time. `Err` with the reason.
pub(super) async fn probe(
    upstream: &Upstream,
    state: &EndpointState,
    settings: &CheckSettings,
) -> Result<(), String> {
    let check = async {
        let mut io = connect(state.target()).await?;
        if upstream.send_proxy {
            // LOCAL: the connection is our own.
            let mut header = Vec::new();
            write_v2(&mut header, None);
            io.write_all(&header).await.map_err(|error| format!("cannot write: {error}"))?;
        }
        match &settings.kind {
            CheckKind::Tcp => Ok(()),
            CheckKind::Http(check) => {
                let io = secure(upstream, state, io).await?;
                let response = ask(upstream, state, check, io).await?;
                judge(check, response).await
            }
        }
    };
    match timeout(settings.timeout, check).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} ms", settings.timeout.as_millis())),
    }
}

async fn connect(target: &Target) -> Result<Box<dyn Io>, String> {
    let failed = |error: std::io::Error| format!("cannot connect: {error}");
    Ok(match target {
        Target::Tcp(address) => Box::new(TcpStream::connect(address).await.map_err(failed)?),
        Target::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(failed)?),
    })
}

async fn secure(
    upstream: &Upstream,
    state: &EndpointState,
    io: Box<dyn Io>,
) -> Result<Box<dyn Io>, String> {
    let Some(tls) = upstream.tls.as_ref().filter(|_| upstream.protocol.is_tls()) else {
        return Ok(io);
    };
    let name = ServerName::try_from(tls.name_for(state.address()))
        .map_err(|_| "its TLS name is not valid")?;
    match TlsConnector::from(Arc::clone(&tls.client)).connect(name, io).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(format!("TLS handshake failed: {error}")),
    }
}

async fn ask(
    upstream: &Upstream,
    state: &EndpointState,
    check: &HttpCheck,
    io: Box<dyn Io>,
) -> Result<http::Response<Incoming>, String> {
    let host = match (&check.host, state.address()) {
        (Some(host), _) => host.clone(),
        (None, EndpointAddress::Unix(_)) => "localhost".to_owned(),
        (None, address) => address.to_string(),
    };
    let request = Request::get(check.path.as_str()).header(header::USER_AGENT, "lb health check");
    let failed = |error: hyper::Error| format!("no valid response: {error}");
    let io = TokioIo::new(io);
    // The connection's task ends by itself when the sender is dropped.
    if upstream.protocol.is_http2() {
        let scheme = if upstream.protocol.is_tls() { "https" } else { "http" };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(host)
            .path_and_query(check.path.as_str())
            .build();
        let request = request.uri(uri.map_err(|error| error.to_string())?).version(Version::HTTP_2);
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), io).await.map_err(failed)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(failed)
    } else {
        let request = request.header(header::HOST, host).header(header::CONNECTION, "close");
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let (mut sender, connection) = http1::handshake(io).await.map_err(failed)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(failed)
    }
}

async fn judge(check: &HttpCheck, response: http::Response<Incoming>) -> Result<(), String> {
    let status = response.status().as_u16();
    if !check.statuses.iter().any(|range| range.contains(status)) {
        return Err(format!("status {status}"));
    }
    let Some(expected) = &check.body else { return Ok(()) };
    let mut body = response.into_body();
    let mut seen: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the body broke off: {error}"))?;
        if let Some(data) = frame.data_ref() {
            seen.extend_from_slice(&data[..data.len().min(BODY_SEARCHED - seen.len())]);
        }
        if memchr::memmem::find(&seen, expected.as_bytes()).is_some() {
            return Ok(());
        }
        if seen.len() >= BODY_SEARCHED {
            break;
        }
    }
    Err("the body does not contain the expected text".to_owned())
}
