//! One configuration, and clients that misbehave in measured ways.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Lb, Origin, respond};

/// No event that a test waits for takes this long when it passes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A request that keeps the connection.
pub const GET: &str = "GET /kept HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The last request of a connection.
pub const LAST: &str = "GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// `http` and `https` with the same keys, in front of one endpoint.
pub async fn edge(keys: &str, endpoint: SocketAddr) -> Lb {
    edge_with("", keys, endpoint).await
}

/// The same, with keys of the process.
pub async fn edge_with(process: &str, keys: &str, endpoint: SocketAddr) -> Lb {
    Lb::start(&edge_yaml(process, keys, endpoint)).await
}

/// Its configuration.
pub fn edge_yaml(process: &str, keys: &str, endpoint: SocketAddr) -> String {
    let keys = if keys.is_empty() { String::new() } else { format!(", {keys}") };
    format!(
        r#"
{process}
listeners:
  http: {{ bind: ["127.0.0.1:0"]{keys} }}
  https:
    {{ bind: ["127.0.0.1:0"], tls: {{ certificates: [{{ cert: api.pem, key: api.key }}] }}{keys} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{endpoint}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes:
      - {{ match: {{ path_prefix: /ws }}, upstream: api, websocket: true }}
      - {{ match: {{ path_prefix: /redirected }}, redirect: {{ path: /elsewhere, status: 302 }} }}
      - {{ match: {{ path_prefix: / }}, upstream: api }}
"#
    )
}

/// An origin that takes the whole request and answers with its body.
pub async fn echo() -> Origin {
    Origin::start(|request| async move {
        match request.into_body().collect().await {
            Ok(body) => respond(200, body.to_bytes()),
            Err(_) => respond(400, ""),
        }
    })
    .await
}

/// An origin whose answer does not fit in any buffer.
pub async fn large(length: usize) -> Origin {
    let body = bytes::Bytes::from(vec![b'x'; length]);
    Origin::start(move |_| {
        let body = body.clone();
        async move { respond(200, body) }
    })
    .await
}

/// Waits until a listener has closed so many connections for a cause.
pub async fn closed(lb: &Lb, listener: &str, cause: &str, count: u32) {
    let labels = [format!("listener=\"{listener}\""), format!("cause=\"{cause}\"")];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    lb.metric_becomes("lb_connections_closed_total", &labels, f64::from(count)).await;
}

/// What the endpoints are blamed for.
pub async fn failures_of_endpoints(lb: &Lb) -> f64 {
    lb.metric("lb_endpoint_failures_total", &[]).await
}

/// A connection from one of this machine's addresses.
pub async fn connect_from(source: &str, to: SocketAddr) -> TcpStream {
    let source: IpAddr = source.parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// A TLS handshake for `localhost` over a stream, HTTP/1.1 only.
pub async fn tls_over(lb: &Lb, stream: TcpStream) -> TlsStream<TcpStream> {
    let authority = CertificateDer::from_pem_slice(lb.certificates.authority.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// A connection to the TLS listener.
pub async fn tls(lb: &Lb) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(lb.address("https")).await.unwrap();
    tls_over(lb, stream).await
}

/// Everything that comes until the other side closes, and whether it closed
/// properly.
pub async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> (String, std::io::Result<()>) {
    let mut seen = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut seen)).await.expect("it closes");
    (String::from_utf8_lossy(&seen).into_owned(), ended.map(|_| ()))
}

/// Everything that comes until the other side closes, which it must do without
/// a reset, and over TLS with a close notification.
pub async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let (seen, ended) = read_all(stream).await;
    ended.unwrap_or_else(|error| panic!("{error} after {seen:?}"));
    seen
}

/// Reads one response with a Content-Length.
pub async fn read_response(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let read = async {
        let mut seen = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&seen).to_lowercase();
            if let Some(end) = text.find("\r\n\r\n") {
                let length = text.split("content-length: ").nth(1);
                let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
                if seen.len() >= end + 4 + length.unwrap_or(0_usize) {
                    return String::from_utf8_lossy(&seen).into_owned();
                }
            }
            // Byte by byte, so that the next response stays where it is.
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap_or_else(|error| panic!("{error}: {text:?}"));
            seen.push(byte[0]);
        }
    };
    timeout(PATIENCE, read).await.expect("a response comes")
}

/// Whether a request on this connection is answered with 200.
pub async fn is_served(stream: &mut TcpStream) -> bool {
    if stream.write_all(GET.as_bytes()).await.is_err() {
        return false;
    }
    let mut start = [0; 12];
    let read = timeout(PATIENCE, stream.read_exact(&mut start)).await.expect("an answer or an end");
    if read.is_err() {
        return false;
    }
    assert_eq!(&start, b"HTTP/1.1 200");
    read_response(stream).await;
    true
}

/// Waits until a new connection is served, and gives it.
pub async fn served_at_last(mut connect: impl AsyncFnMut() -> TcpStream) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = connect().await;
        if is_served(&mut stream).await {
            return stream;
        }
        assert!(Instant::now() < deadline, "nobody is let in again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends a byte every 50 ms until the other side does not take it.
pub async fn drip(mut stream: impl tokio::io::AsyncWrite + Unpin, byte: u8) {
    while stream.write_all(&[byte]).await.is_ok() && stream.flush().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
