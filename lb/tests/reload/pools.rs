//! Idle connections to endpoints are kept.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::scene::{Yaml, origin, start};
use crate::support::{Client, Engine, Lb, Origin, engine, respond};

async fn served(lb: &Lb) {
    assert_eq!(Client::plain().text(&lb.url("/")).await, "x");
}

/// One worker, one connection; reloads of everything but what it is for.
async fn keeps(yaml: &mut Yaml, lb: &Lb, connections: impl Fn() -> usize) {
    served(lb).await;
    let first = connections();
    assert!(first > 0);
    for number in 0..5 {
        lb.reload(&yaml.with_unrelated(number).to_string()).await;
        served(lb).await;
        assert_eq!(connections(), first, "after unrelated reload {number}");
    }
    // What is not about connections.
    let upstream = yaml.upstreams["api"].clone();
    for other in [
        "timeouts: { read: 7s }",
        "retry: { attempts: 2 }",
        "passive_health: { max_fails: 9 }",
        "keepalive: { max_idle: 64 }",
        "balance: round_robin",
    ] {
        yaml.upstreams.insert("api".to_owned(), format!("{upstream}, {other}"));
        lb.reload(&yaml.to_string()).await;
        served(lb).await;
        assert_eq!(connections(), first, "after {other}");
    }
    yaml.upstreams.insert("api".to_owned(), upstream);
    lb.reload(&yaml.to_string()).await;
    served(lb).await;
    assert_eq!(connections(), first);
}

async fn in_clear(more: &str) {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    yaml.top("workers", "1").upstream_with("api", &[origin.address], more);
    yaml.hosts.clear();
    yaml.route("*", "match: { path_prefix: / }, upstream: api");
    let lb = start(&yaml).await;
    keeps(&mut yaml, &lb, || origin.connections()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http1() {
    in_clear("protocol: http").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2() {
    in_clear("protocol: h2c").await;
}

/// An endpoint with TLS that counts handshakes.
async fn secure(pair: (&str, &str), http2: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let chain = CertificateDer::pem_slice_iter(pair.0.as_bytes()).collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_slice(pair.1.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.unwrap(), key)
        .unwrap();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handshakes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handshakes);
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
            connections.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                count.fetch_add(1, Ordering::Relaxed);
                let service = service_fn(|_| async { Ok::<_, Infallible>(respond(200, "x")) });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, handshakes)
}

async fn over_tls(protocol: &str) {
    let other = Origin::named("other").await;
    let directory = tempfile::TempDir::new().unwrap();
    let certificates = crate::support::Certificates::new(directory.path());
    certificates.issue("node", &["node.test"]);
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let (pem, key) = (read("node.pem"), read("node.key"));
    let (address, handshakes) = secure((&pem, &key), protocol == "h2").await;
    let mut yaml = Yaml::new(&other);
    let ca = directory.path().join("ca.pem");
    let tls = format!("tls: {{ ca: {}, server_name: node.test }}", ca.display());
    yaml.top("workers", "1").upstream_with(
        "api",
        &[address],
        &format!("protocol: {protocol}, {tls}"),
    );
    yaml.hosts.clear();
    yaml.route("*", "match: { path_prefix: / }, upstream: api");
    let lb = start(&yaml).await;
    keeps(&mut yaml, &lb, || handshakes.load(Ordering::Relaxed)).await;
    // Another name to verify: what was shaken hands on for the old one is not for it.
    let before = handshakes.load(Ordering::Relaxed);
    yaml.upstreams.insert(
        "api".to_owned(),
        yaml.upstreams["api"].replace("server_name: node.test", "server_name: else.test"),
    );
    lb.reload(&yaml.to_string()).await;
    let response = Client::plain().get(&lb.url("/")).await.unwrap();
    assert_eq!(response.status(), 502, "nobody vouches for that name");
    assert_eq!(handshakes.load(Ordering::Relaxed), before, "none was completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_and_http1() {
    over_tls("https").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_and_http2() {
    over_tls("h2").await;
}

/// What was kept for an endpoint that left is closed. Pingora's pool is its own: there
/// it ends by `idle_timeout`.
#[tokio::test(flavor = "multi_thread")]
async fn those_of_an_endpoint_that_left_are_closed() {
    if engine() == Engine::Pingora {
        return;
    }
    let closed = Arc::new(AtomicUsize::new(0));
    let leaves = crate::support::RawOrigin::start({
        let closed = Arc::clone(&closed);
        move |mut stream| {
            let closed = Arc::clone(&closed);
            async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
                    stream.write_all(answer).await.unwrap();
                }
                closed.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await;
    let (stays, _) = origin("x").await;
    let mut yaml = Yaml::new(&stays);
    yaml.upstream("api", &[leaves.address]);
    let lb = start(&yaml).await;
    served(&lb).await;
    assert_eq!(closed.load(Ordering::Relaxed), 0);
    yaml.upstream("api", &[stays.address]);
    lb.reload(&yaml.to_string()).await;
    served(&lb).await;
    crate::support::eventually("it to be closed", || {
        (closed.load(Ordering::Relaxed) == 1).then_some(())
    })
    .await;
}
