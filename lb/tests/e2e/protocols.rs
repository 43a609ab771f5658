//! Protocols towards endpoints: h2c, TLS, HTTP/2 over TLS, gRPC.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::routing::simple;
use crate::support::{Certificates, Client, Lb, Origin, respond};

/// An origin over TLS that says which protocol it was asked in.
pub async fn tls_origin(directory: &TempDir, names: &[&str]) -> SocketAddr {
    lb::tls::install_provider();
    let certificates = Certificates::new(directory.path());
    certificates.issue("origin", names);
    let chain = CertificateDer::pem_file_iter(directory.path().join("origin.pem"))
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.path().join("origin.key")).unwrap();
    let mut config =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let name = stream.get_ref().1.server_name().unwrap_or("none").to_owned();
                let service = service_fn(move |request: Request<Incoming>| {
                    let text = format!("{:?} {name}", request.version());
                    async move { Ok::<_, std::convert::Infallible>(respond(200, text)) }
                });
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

fn config(address: SocketAddr, upstream: &str) -> String {
    format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  api: {{ endpoints: [{{ address: "{address}" }}], {upstream} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_over_tls_are_verified() {
    let directory = TempDir::new().unwrap();
    let address = tls_origin(&directory, &["origin.test"]).await;
    let ca = directory.path().join("ca.pem").display().to_string();
    for (upstream, expected) in [
        (
            format!("protocol: https, tls: {{ ca: {ca}, server_name: origin.test }}"),
            "HTTP/1.1 origin.test",
        ),
        (
            format!("protocol: h2, tls: {{ ca: {ca}, server_name: origin.test }}"),
            "HTTP/2.0 origin.test",
        ),
        (
            format!(
                "protocol: https, health_check: {{ path: / }}, tls: {{ ca: {ca}, server_name: origin.test }}"
            ),
            "HTTP/1.1 origin.test",
        ),
        (
            format!(
                "protocol: h2, health_check: {{ path: / }}, tls: {{ ca: {ca}, server_name: origin.test }}"
            ),
            "HTTP/2.0 origin.test",
        ),
    ] {
        let lb = Lb::start(&config(address, &upstream)).await;
        for _ in 0..3 {
            assert_eq!(
                Client::plain().text(&lb.url("/")).await,
                expected,
                "{upstream}\n{}",
                lb.log()
            );
        }
    }
    for (upstream, why) in [
        (
            format!("protocol: https, tls: {{ ca: {ca}, server_name: other.test }}"),
            "the name is another",
        ),
        (format!("protocol: https, tls: {{ ca: {ca} }}"), "the address is not in it"),
        (
            "protocol: https, tls: { server_name: origin.test }".to_owned(),
            "the system does not know the authority",
        ),
    ] {
        let lb = Lb::start(&config(address, &upstream)).await;
        let response = Client::plain().get(&lb.url("/")).await.unwrap();
        assert_eq!(response.status(), 502, "{why}");
        assert!(
            response.headers()["proxy-status"].to_str().unwrap().contains("upstream_tls_failed"),
            "{why}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h2c_is_spoken_by_prior_knowledge() {
    let origin =
        Origin::start(|request| async move { respond(200, format!("{:?}", request.version())) })
            .await;
    let lb =
        Lb::start(&config(origin.address, "protocol: h2c, health_check: { path: /check }")).await;
    let client = Client::plain();
    for _ in 0..5 {
        assert_eq!(client.text(&lb.url("/x?y")).await, "HTTP/2.0");
    }
    let seen = origin.requests().pop().unwrap();
    assert_eq!(seen.target, "/x?y");
    assert_eq!(seen.header("x-forwarded-host"), Some(lb.address("http").to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_passes_with_its_trailers_and_without_a_body_limit() {
    let origin = Origin::start(|request| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers()["te"], "trailers");
        let received = request.into_body().collect().await.unwrap().to_bytes().len();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("x-received", received.to_string().parse().unwrap());
        let frames = vec![
            Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x02hi"))),
            Ok(Frame::trailers(trailers)),
        ];
        let mut response =
            Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed());
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        response
    })
    .await;
    let yaml = simple(&origin)
        .replace("endpoints:", "protocol: h2c, endpoints:")
        .replace("{ bind: [\"127.0.0.1:0\"] }", "{ bind: [\"127.0.0.1:0\"] }, https: { bind: [\"127.0.0.1:0\"], tls: { certificates: [{ cert: api.pem, key: api.key }] } }")
        + "\ndefaults: { limits: { body: 1KiB } }\n";
    let lb = Lb::start(&yaml).await;

    lb::tls::install_provider();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(lb.certificates.authority.as_bytes()).unwrap())
        .unwrap();
    let mut tls =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(lb.address("https")).await.unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(tls))
        .connect("api.test".try_into().unwrap(), stream)
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::post("https://api.test/pkg.Service/Method")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(http_body_util::Full::new(Bytes::from(vec![0; 100_000])))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().expect("trailers").clone();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["x-received"], "100000");
    assert_eq!(collected.to_bytes(), Bytes::from_static(b"\0\0\0\0\x02hi"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_are_endpoints_and_listeners() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(respond(200, "by path"))
            });
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    let edge = directory.path().join("edge.sock");
    let yaml = format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0", "unix:{}"] }} }}
upstreams:
  api: {{ endpoints: [{{ address: "unix:{}" }}], health_check: {{ path: / }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        edge.display(),
        path.display()
    );
    let lb = Lb::start(&yaml).await;
    for _ in 0..3 {
        assert_eq!(Client::plain().text(&lb.url("/")).await, "by path");
    }
    let mut stream = tokio::net::UnixStream::connect(&edge).await.unwrap();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.ends_with("by path"), "{response}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_host_gets_the_endpoints() {
    let origin = Origin::named("x").await;
    for protocol in ["http", "h2c"] {
        let yaml =
            simple(&origin).replace("endpoints:", &format!("protocol: {protocol}, endpoints:"));
        let lb = Lb::start(&yaml).await;
        let response =
            crate::support::RawConnection::exchange(lb.address("http"), "GET / HTTP/1.0\r\n\r\n")
                .await;
        assert!(response.contains(" 200 "), "{protocol}: {response}");
    }
    assert_eq!(origin.requests()[0].header("host"), Some(origin.address.to_string()));
}
