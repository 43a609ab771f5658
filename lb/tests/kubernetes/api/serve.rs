//! Connections of the API server, and what is answered on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Body, Refusal};
use super::faults::Fault;
use super::follow::follow;
use super::question::Question;
use super::store::{Gone, List};
use super::{Core, Verb};

/// How long a port may take to be free again.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn bind(address: SocketAddr) -> TcpListener {
    try_to_bind(address).unwrap()
}

fn try_to_bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(128)
}

/// A port that was just given up, as soon as it is free.
pub async fn bind_again(address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match try_to_bind(address) {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A certificate for 127.0.0.1, and the authority that has signed it.
pub fn tls() -> (TlsAcceptor, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "kubernetes");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let names = ["127.0.0.1", "kubernetes.default.svc"].map(str::to_owned);
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority)
}

/// Serves until the task is aborted, which closes every connection.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, core: Arc<Core>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Else watches wait for acknowledgements.
        stream.set_nodelay(true).unwrap();
        let (tls, core) = (tls.clone(), Arc::clone(&core));
        connections.spawn(async move {
            match tls {
                None => converse(stream, core).await,
                // Err: a client that does not trust it.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, core).await;
                    }
                }
            }
        });
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, core: Arc<Core>) {
    let service = service_fn(|request| answer(request, Arc::clone(&core)));
    // Err: the connection was cut, by the client or by order.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An answer, or an error that closes the connection without one.
async fn answer(request: Request<Incoming>, core: Arc<Core>) -> io::Result<Response<Body>> {
    let question = match request.method() {
        &http::Method::GET => Question::of(request.uri()),
        _ => Err(Refusal::new(405, "MethodNotAllowed", "only GET is known here")),
    };
    let question = match question {
        Ok(question) => question,
        Err(refusal) => {
            core.records.add_other(format!("{} {}", request.method(), request.uri()));
            return Ok(refusal.response());
        }
    };
    core.records.add(&question);
    let authorization = request.headers().get("authorization");
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let allowed = core.access.check(authorization, &question.namespace, question.verb);
    if let Err(refusal) = allowed {
        return Ok(refusal.response());
    }
    match core.faults.of(question.verb) {
        None => {}
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Stall) => return Ok(answer::streamed(200, answer::stalled())),
        Some(Fault::Endless) => return Ok(answer::streamed(200, answer::endless())),
        Some(Fault::Cut) => return Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Fault::Refuse(refusal)) => return Ok(refusal.response()),
        Some(Fault::Garbage) => return Ok(answer::respond(200, "<html>a login page</html>\n")),
        Some(Fault::End) => return Ok(answer::respond(200, "")),
        Some(Fault::Error(refusal)) => return Ok(answer::respond(200, answer::error(&refusal))),
    }
    Ok(match question.verb {
        Verb::Watch if core.gone_in_status.load(Ordering::SeqCst) => {
            let version = question.version.as_deref().and_then(|version| version.parse().ok());
            match core.store.remembers(version.unwrap_or(u64::MAX)) {
                Ok(()) => answer::streamed(200, follow(&core, question)),
                Err(Gone) => Refusal::new(410, "Expired", "too old resource version").response(),
            }
        }
        Verb::Watch => answer::streamed(200, follow(&core, question)),
        Verb::List => match list(&core, &question) {
            Ok(body) => answer::respond(200, body),
            Err(refusal) => refusal.response(),
        },
    })
}

/// A list, or the page of it that was asked for. All pages are of the same version.
fn list(core: &Core, question: &Question) -> Result<String, Refusal> {
    let mut list = match &question.page {
        Some(token) => core.store.kept(token).map_err(|_| Refusal::expired_list())?,
        None => core.store.list(&question.namespace, &question.selector),
    };
    if let Some(version) = &question.version {
        let version = version.parse::<u64>();
        let version =
            version.map_err(|_| Refusal::bad_request("Invalid value: resourceVersion"))?;
        if version > list.version {
            return Err(Refusal::new(504, "Timeout", "Too large resource version"));
        }
    }
    let limit = question.limit.unwrap_or(usize::MAX).min(list.items.len());
    let rest = list.items.split_off(limit);
    let more = (!rest.is_empty()).then(|| {
        let remaining = rest.len();
        (core.store.keep(List { version: list.version, items: rest }), remaining)
    });
    Ok(answer::list(&list, more).to_string())
}
