//! `send_proxy: v2`: endpoints are told who the client is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::frames;
use crate::support::{Certificates, Client, Lb, RawConnection, respond};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a connection began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announced {
    Local,
    Client { client: SocketAddr, at: SocketAddr },
}

/// A request: the connection it came on, and its path.
type Seen = Arc<Mutex<Vec<(usize, Announced, String)>>>;

/// An origin that takes nothing without a header.
struct Origin {
    address: String,
    seen: Seen,
    _directory: TempDir,
    authority: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Tcp,
    Tls,
    Unix,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

async fn announced(stream: &mut Box<dyn Io>) -> Announced {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head[..12], SIGNATURE, "a PROXY header comes first");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([head[14], head[15]]))];
    stream.read_exact(&mut rest).await.unwrap();
    match (head[12], head[13]) {
        (0x20, _) => Announced::Local,
        (0x21, 0x11) => {
            let address = |at: usize, port: usize| {
                let ip: [u8; 4] = rest[at..at + 4].try_into().unwrap();
                SocketAddr::from((ip, u16::from_be_bytes([rest[port], rest[port + 1]])))
            };
            Announced::Client { client: address(0, 8), at: address(4, 10) }
        }
        other => panic!("{other:x?}"),
    }
}

async fn serve(mut stream: Box<dyn Io>, number: usize, tls: Option<TlsAcceptor>, seen: Seen) {
    let header = announced(&mut stream).await;
    if let Some(tls) = tls {
        stream = Box::new(tls.accept(stream).await.unwrap());
    }
    let service = service_fn(move |request: Request<Incoming>| {
        seen.lock().unwrap().push((number, header, request.uri().path().to_owned()));
        async { Ok::<_, std::convert::Infallible>(respond(200, "heard")) }
    });
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Origin {
    async fn start(over: Over) -> Self {
        let directory = TempDir::new().unwrap();
        let certificates = Certificates::new(directory.path());
        certificates.issue("origin", &["origin.test"]);
        let seen = Seen::default();
        let tls = (over == Over::Tls).then(|| {
            lb::tls::install_provider();
            let chain = CertificateDer::from_pem_file(directory.path().join("origin.pem")).unwrap();
            let key = PrivateKeyDer::from_pem_file(directory.path().join("origin.key")).unwrap();
            let config = rustls::ServerConfig::builder()
                .with_no_client_auth()
                .with_single_cert(vec![chain], key)
                .unwrap();
            TlsAcceptor::from(Arc::new(config))
        });
        let kept = Arc::clone(&seen);
        let address = if over == Over::Unix {
            let path = directory.path().join("origin.sock");
            let listener = UnixListener::bind(&path).unwrap();
            tokio::spawn(async move {
                for number in 0.. {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(Box::new(stream), number, None, Arc::clone(&seen)));
                }
            });
            format!("unix:{}", path.display())
        } else {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            tokio::spawn(async move {
                for number in 0.. {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(Box::new(stream), number, tls.clone(), Arc::clone(&seen)));
                }
            });
            address
        };
        let authority = directory.path().join("ca.pem");
        Self { address, seen: kept, _directory: directory, authority }
    }

    /// Requests other than health checks.
    fn seen(&self) -> Vec<(usize, Announced, String)> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(_, _, path)| path != "/check").cloned().collect()
    }
}

async fn start(origin: &Origin, upstream: &str, process: &str) -> Lb {
    Lb::start(&format!(
        r#"
workers: 1
{process}
listeners:
  http: {{ bind: ["127.0.0.1:0"] }}
  https: {{ bind: ["127.0.0.1:0"], tls: {{ certificates: [{{ cert: api.pem, key: api.key }}] }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}], send_proxy: v2, {upstream} }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        origin.address
    ))
    .await
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: api.test\r\n\r\n";

/// Asks so often on one plain connection, and says who the client was.
async fn ask(lb: &Lb, times: usize) -> Announced {
    let mut client = RawConnection::open(lb.address("http")).await;
    let announced =
        Announced::Client { client: client.0.local_addr().unwrap(), at: lb.address("http") };
    for _ in 0..times {
        client.send(GET).await;
        client.read_until("heard").await;
    }
    announced
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_learn_the_client_in_every_protocol() {
    for (over, upstream) in [
        (Over::Tcp, ""),
        (Over::Unix, ""),
        (Over::Tcp, "protocol: h2c"),
        (Over::Tls, "protocol: https"),
    ] {
        let origin = Origin::start(over).await;
        let tls = match over {
            Over::Tls => {
                format!(", tls: {{ ca: {}, server_name: origin.test }}", origin.authority.display())
            }
            _ => String::new(),
        };
        let lb = start(&origin, &format!("{upstream}{tls}"), "").await;
        let plain = ask(&lb, 1).await;
        assert_eq!(origin.seen().pop().unwrap().1, plain, "{upstream}");

        let stream = TcpStream::connect(lb.address("https")).await.unwrap();
        let client = stream.local_addr().unwrap();
        let mut secure = frames::Client::over(&lb, stream).await;
        secure.send([frames::PREFACE, &frames::settings(&[])].concat()).await;
        assert_eq!(secure.get(1, "/x").await.body, b"heard");
        let expected = Announced::Client { client, at: lb.address("https") };
        assert_eq!(origin.seen().pop().unwrap().1, expected, "{upstream}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_share_no_connection_and_requests_of_one_do() {
    for upstream in ["", "protocol: h2c"] {
        let origin = Origin::start(Over::Tcp).await;
        let lb = start(&origin, upstream, "").await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(ask(&lb, 3).await);
        }
        let seen = origin.seen();
        for (number, client) in clients.iter().enumerate() {
            let connections: Vec<usize> = seen
                .iter()
                .filter(|(_, announced, _)| announced == client)
                .map(|(connection, ..)| *connection)
                .collect();
            assert_eq!(connections.len(), 3, "{upstream}: all of client {number} are its own");
            assert!(connections.iter().all(|one| *one == connections[0]), "{upstream}: {seen:?}");
        }
        let all: std::collections::HashSet<usize> = seen.iter().map(|(one, ..)| *one).collect();
        assert_eq!(all.len(), 4, "{upstream}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_client_share_a_connection_and_two_clients_do_not() {
    let origin = Origin::start(Over::Tcp).await;
    let lb = start(&origin, "protocol: h2c", "").await;
    for number in 1..=3 {
        let mut client = frames::Client::open(&lb).await;
        for stream in [1, 3, 5] {
            assert_eq!(client.get(stream, "/x").await.body, b"heard");
        }
        let all: std::collections::HashSet<usize> =
            origin.seen().iter().map(|(one, ..)| *one).collect();
        assert_eq!(all.len(), number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_the_client_has_no_port() {
    let origin = Origin::start(Over::Tcp).await;
    let lb = start(&origin, "", "client_ip: { trusted_proxies: [127.0.0.1] }").await;
    let mut client = RawConnection::open(lb.address("http")).await;
    for address in ["192.0.2.7", "192.0.2.8"] {
        let request =
            format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {address}\r\n\r\n");
        client.send(request).await;
        client.read_until("heard").await;
        let expected = Announced::Client {
            client: SocketAddr::new(address.parse().unwrap(), 0),
            at: lb.address("http"),
        };
        assert_eq!(origin.seen().pop().unwrap().1, expected);
    }
    // From the proxy itself.
    let own = ask(&lb, 1).await;
    assert_eq!(origin.seen().pop().unwrap().1, own);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_speak_for_nobody() {
    let origin = Origin::start(Over::Tcp).await;
    let lb = start(&origin, "health_check: { path: /check, interval: 1s }", "").await;
    assert_eq!(Client::plain().text(&lb.url("/x")).await, "heard");
    let seen = origin.seen.lock().unwrap().clone();
    let checks: Vec<_> = seen.iter().filter(|(_, _, path)| path == "/check").collect();
    assert!(!checks.is_empty());
    assert!(checks.iter().all(|(_, announced, _)| *announced == Announced::Local), "{checks:?}");
    assert_ne!(origin.seen()[0].1, Announced::Local);
}
