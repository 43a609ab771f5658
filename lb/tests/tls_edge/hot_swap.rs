//! Certificates that are replaced while they are used.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use crate::authority::Pki;
use crate::client::{self, KEEP_ALIVE, exchange};
use crate::support::{Lb, Origin, eventually};

/// Echoes what it is sent over a WebSocket.
async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() {
                        let _ = socket.send(message).await;
                    }
                }
            });
        }
    });
    address
}

async fn edge(pair: &str) -> (Origin, Lb) {
    let origin = Origin::named("secured").await;
    let tunnels = echo().await;
    let lb = Lb::start(&format!(
        r#"
listeners:
  https: {{ bind: ["127.0.0.1:0"], tls: {{ certificates: [{pair}] }} }}
upstreams:
  api: {{ endpoints: [{{ address: "{}" }}] }}
  ws: {{ endpoints: [{{ address: "{tunnels}" }}] }}
virtual_hosts:
  - hosts: [api.test]
    routes:
      - {{ match: {{ path_prefix: /ws }}, upstream: ws, websocket: true }}
      - {{ match: {{ path_prefix: / }}, upstream: api }}
"#,
        origin.address
    ))
    .await;
    (origin, lb)
}

/// Four clients that shake hands without a pause.
struct Load {
    stop: Arc<AtomicBool>,
    finished: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<Vec<bool>>>,
}

impl Load {
    fn start(pki: &Pki, lb: &Lb, new: &str) -> Self {
        let (stop, finished) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..4)
            .map(|_| {
                let (config, address) = (client::config(pki, None), lb.address("https"));
                let (stop, finished, new) =
                    (Arc::clone(&stop), Arc::clone(&finished), pki.leaf(new));
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let mut stream =
                            client::connect(&config, address).await.expect("no failure");
                        let leaf = &stream.get_ref().1.peer_certificates().unwrap()[0];
                        seen.push(*leaf == new);
                        exchange(&mut stream, KEEP_ALIVE, "secured").await;
                        finished.fetch_add(1, Ordering::Relaxed);
                    }
                    seen
                })
            })
            .collect();
        Self { stop, finished, clients }
    }

    async fn goes_on_for(&self, handshakes: usize) {
        let wanted = self.finished.load(Ordering::Relaxed) + handshakes;
        eventually("handshakes", || {
            (self.finished.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Of each client, for each handshake, whether it saw the new certificate.
    async fn stop(self) -> Vec<Vec<bool>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.push(client.await.expect("no handshake fails"));
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_swapped_under_load() {
    let pki = Pki::new();
    pki.issue_as(crate::authority::Kind::Ecdsa, 25, "ca", "next", "/CN=next", &["api.test"]);
    let (_origin, lb) = edge(&pki.pair("api")).await;
    let labels = ["listener=\"https\"", "certificate=\"api.test\""];
    let expiry = "lb_certificate_expiry_timestamp_seconds";
    assert_eq!(lb.metric(expiry, &labels).await, pki.expires("api"));
    assert_ne!(pki.expires("api"), pki.expires("next"));

    let plain = client::config(&pki, None);
    let mut kept = client::connect(&plain, lb.address("https")).await.unwrap();
    exchange(&mut kept, KEEP_ALIVE, "secured").await;
    let tunnel = client::connect(&plain, lb.address("https")).await.unwrap();
    let (mut tunnel, _) =
        tokio_tungstenite::client_async("wss://api.test/ws", tunnel).await.unwrap();

    let load = Load::start(&pki, &lb, "next");
    load.goes_on_for(200).await;
    let old = pki.leaf("api");
    assert_eq!(kept.get_ref().1.peer_certificates().unwrap()[0], old);
    pki.replace("api", "next");
    lb.metric_becomes("lb_certificate_reloads_total", &["listener=\"https\""], 1.0).await;
    // One of each client was perhaps under way; those after it are not.
    load.goes_on_for(8).await;
    load.goes_on_for(200).await;
    let expected = pki.expires("next");
    assert_eq!(lb.metric(expiry, &labels).await, expected);
    let (mut before, mut after) = (0, 0);
    for seen in load.stop().await {
        let first_new = seen.iter().position(|new| *new).expect("the new one comes");
        assert!(seen[first_new..].iter().all(|new| *new), "the old one does not come back");
        before += first_new;
        after += seen.len() - first_new;
    }
    assert!(before >= 200 && after >= 200, "{before} before, {after} after");

    exchange(&mut kept, KEEP_ALIVE, "secured").await;
    tunnel.send(Message::text("still there?")).await.unwrap();
    assert_eq!(tunnel.next().await.unwrap().unwrap(), Message::text("still there?"));
    assert_eq!(lb.metric("lb_certificate_reload_failed", &[]).await, 0.0);
    assert_eq!(lb.metric("lb_tls_handshakes_total", &["result=\"failed\""]).await, 0.0);
}

/// `tls.crt` → `..data/tls.crt`, `..data` → `..1`; a new `..2` is swapped in.
#[tokio::test(flavor = "multi_thread")]
async fn a_swap_as_kubernetes_makes_it_is_seen() {
    let pki = Pki::new();
    pki.issue("ca", "next", "/CN=next", &["api.test"]);
    let put = |revision: &str, name: &str| {
        fs::create_dir(pki.path(revision)).unwrap();
        fs::copy(pki.path(&format!("{name}.pem")), pki.path(revision).join("tls.crt")).unwrap();
        fs::copy(pki.path(&format!("{name}.key")), pki.path(revision).join("tls.key")).unwrap();
        symlink(revision, pki.path("..data_tmp")).unwrap();
        fs::rename(pki.path("..data_tmp"), pki.path("..data")).unwrap();
    };
    put("..1", "api");
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), pki.path(name)).unwrap();
    }
    let pair = format!("{{ cert: {}, key: {} }}", pki.file("tls.crt"), pki.file("tls.key"));
    let (_origin, lb) = edge(&pair).await;
    let leaf = async || {
        let stream = client::connect(&client::config(&pki, None), lb.address("https")).await;
        stream.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    assert_eq!(leaf().await, pki.leaf("api"));
    put("..2", "next");
    fs::remove_dir_all(pki.path("..1")).unwrap();
    lb.metric_becomes("lb_certificate_reloads_total", &[], 1.0).await;
    assert_eq!(leaf().await, pki.leaf("next"));
    // And once more: the watch has moved along.
    put("..3", "api");
    fs::remove_dir_all(pki.path("..2")).unwrap();
    lb.metric_becomes("lb_certificate_reloads_total", &[], 2.0).await;
    assert_eq!(leaf().await, pki.leaf("api"));
    assert_eq!(lb.metric("lb_certificate_reload_failed", &[]).await, 0.0);
}
