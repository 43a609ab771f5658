//! Idle connections are of those who would have made the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::authority::Pki;
use crate::support::RawOrigin;
use crate::upstreams::{edge, get};

/// Keeps its connections open and counts them.
async fn keeping(pki: &Pki) -> (RawOrigin, Arc<AtomicUsize>) {
    let key = PrivateKeyDer::from_pem_file(pki.path("api.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pki.leaf("api")], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let origin = RawOrigin::start(move |stream| {
        let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            count.fetch_add(1, Ordering::Relaxed);
            let mut seen = Vec::new();
            while stream.read_buf(&mut seen).await.unwrap_or(0) > 0 {
                if seen.ends_with(b"\r\n\r\n") {
                    seen.clear();
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsecured";
                    stream.write_all(answer).await.unwrap();
                }
            }
        }
    })
    .await;
    (origin, connections)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_by_its_own_upstream_only() {
    let pki = Pki::new();
    pki.authority("stranger");
    pki.issue("ca", "node", "/CN=node", &[]);
    let (origin, connections) = keeping(&pki).await;
    let with = |ca: &str, name: &str, more: &str| {
        let ca = pki.file(ca);
        format!("protocol: https, tls: {{ ca: {ca}, server_name: {name}{more} }}")
    };
    let pair = format!(", client_certificate: {}", pki.pair("node"));
    let lb = edge(&[
        ("plain", origin.address, with("ca.pem", "api.test", "")),
        ("known", origin.address, with("ca.pem", "api.test", &pair)),
        ("name", origin.address, with("ca.pem", "other.test", "")),
        ("stranger", origin.address, with("stranger.pem", "api.test", "")),
        ("system", origin.address, "protocol: https, tls: { server_name: api.test }".to_owned()),
    ])
    .await;
    for _ in 0..3 {
        assert_eq!(get(&lb, "plain").await, (200, "secured".to_owned()));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1, "it is kept");
    assert_eq!(get(&lb, "known").await, (200, "secured".to_owned()));
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    for name in ["name", "stranger", "system"] {
        assert_eq!(get(&lb, name).await.0, 502, "{name}");
    }
    assert_eq!(get(&lb, "plain").await, (200, "secured".to_owned()));
    assert_eq!(connections.load(Ordering::Relaxed), 2, "still kept");
}
