//! Endpoints that speak TLS and tell which handshakes were resumed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::authority::Pki;
use crate::support::respond;

/// One handshake, and what came on its connection.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) resumed: bool,
    pub(crate) name: Option<String>,
    pub(crate) client: Option<Vec<u8>>,
    pub(crate) targets: Vec<String>,
}

/// Answers one request on each connection and closes it.
pub(crate) struct TlsOrigin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for TlsOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TlsOrigin {
    /// With the certificate `name`. `authority` signs the certificates of
    /// clients, which are required then.
    pub(crate) async fn start(pki: &Pki, name: &str, authority: Option<&str>, http2: bool) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = match authority {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(pki.leaf(authority)).unwrap();
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .unwrap()
            }
        };
        let key = PrivateKeyDer::from_pem_file(pki.path(&format!("{name}.key"))).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![pki.leaf(name)], key)
            .unwrap();
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (acceptor, sink) = (acceptor.clone(), Arc::clone(&sink));
                connections.spawn(async move {
                    match acceptor.accept(stream).into_fallible().await {
                        Ok(stream) => serve(stream, &sink, http2).await,
                        // With what it sends unread, it would get a reset
                        // instead of the alert.
                        Err((_, mut stream)) => {
                            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                        }
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    /// Handshakes of connections with a request, those of checks aside.
    pub(crate) fn requested(&self) -> Vec<Seen> {
        self.all()
            .into_iter()
            .filter(|seen| seen.targets.iter().any(|path| path != "/check"))
            .collect()
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    sink: &Arc<Mutex<Vec<Seen>>>,
    http2: bool,
) {
    let session = stream.get_ref().1;
    let client = session.peer_certificates().map(|chain| chain[0].to_vec());
    let seen = Seen {
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        name: session.server_name().map(str::to_owned),
        client,
        targets: Vec::new(),
    };
    let index = {
        let mut all = sink.lock().unwrap();
        all.push(seen);
        all.len() - 1
    };
    let answered = tokio::sync::Notify::new();
    let service = service_fn(|request: Request<Incoming>| {
        sink.lock().unwrap()[index].targets.push(request.uri().path().to_owned());
        answered.notify_one();
        async { Ok::<_, Infallible>(respond(200, "secured")) }
    });
    let io = TokioIo::new(stream);
    if http2 {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = answered.notified() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.keep_alive(false).serve_connection(io, service).await;
    }
}

/// `openssl s_server`, whose answer says what it knows of the session.
pub(crate) struct OpensslServer {
    pub(crate) address: SocketAddr,
    _child: Child,
}

impl OpensslServer {
    pub(crate) async fn start(pki: &Pki, name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"])
            .arg(pki.path(&format!("{name}.pem")))
            .arg("-key")
            .arg(pki.path(&format!("{name}.key")))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("openssl is installed");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("it says where it accepts");
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.parse().unwrap();
            }
        };
        // What it says later is read, or it would stop at a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { address, _child: child }
    }
}
