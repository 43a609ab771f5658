//! Thousands of open connections, held by a process of their own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::task::JoinSet;

use crate::authority::Pki;
use crate::client::{self, KEEP_ALIVE, exchange};
use crate::negotiation::edge;
use crate::support::Lb;

const CONNECTIONS: usize = 5000;

/// How many shake hands at once.
const AT_ONCE: usize = 32;

const ADDRESS: &str = "TLS_EDGE_ADDRESS";
const COUNT: &str = "TLS_EDGE_COUNT";
const AUTHORITY: &str = "TLS_EDGE_AUTHORITY";

/// The other process: it opens connections, says so, and holds them until its
/// standard input ends. Then every one of them has to serve a request.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by thousands_of_open_connections_do_not_slow_the_others"]
async fn hold_connections() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let address: SocketAddr = address.parse().unwrap();
    let count: usize = std::env::var(COUNT).unwrap().parse().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(std::env::var(AUTHORITY).unwrap()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);

    let mut opening = JoinSet::new();
    for index in 0..AT_ONCE {
        let config = Arc::clone(&config);
        opening.spawn(async move {
            let mut held = Vec::new();
            for _ in (index..count).step_by(AT_ONCE) {
                held.push(client::connect(&config, address).await.expect("it connects"));
            }
            held
        });
    }
    let mut held = Vec::with_capacity(count);
    while let Some(opened) = opening.join_next().await {
        held.extend(opened.unwrap());
    }
    println!("open {}", held.len());
    std::io::stdout().flush().unwrap();
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()))
        .await
        .unwrap()
        .unwrap();
    let mut served = 0;
    for stream in &mut held {
        exchange(stream, KEEP_ALIVE, "secured").await;
        served += 1;
    }
    println!("served {served}");
}

struct Holder {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Holder {
    fn start(pki: &Pki, lb: &Lb) -> Self {
        // As many descriptors as it may have.
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "many::hold_connections", "--ignored", "--nocapture"])
            .env(ADDRESS, lb.address("https").to_string())
            .env(COUNT, CONNECTIONS.to_string())
            .env(AUTHORITY, pki.path("ca.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Waits for a line, and fails when the process ends before it.
    fn says(&mut self, expected: &str) {
        let mut line = String::new();
        while !line.ends_with(&format!("{expected}\n")) {
            line.clear();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended before {expected:?}");
        }
    }
}

/// Requests on four connections for a while; each has to succeed.
async fn latencies(pki: &Pki, lb: &Lb) -> (Duration, Duration) {
    const REQUESTS: usize = 500;
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (config, address) = (client::config(pki, None), lb.address("https"));
        clients.spawn(async move {
            let mut stream = client::connect(&config, address).await.unwrap();
            let mut took = Vec::with_capacity(REQUESTS);
            for _ in 0..REQUESTS {
                let begun = Instant::now();
                let answer = exchange(&mut stream, KEEP_ALIVE, "secured").await;
                took.push(begun.elapsed());
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            }
            took
        });
    }
    let mut all: Vec<Duration> = clients.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    (all[all.len() / 2], all[all.len() * 99 / 100])
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_open_connections_do_not_slow_the_others() {
    let pki = Pki::new();
    let (_origin, lb) = edge(&[pki.pair("api")], "").await;
    latencies(&pki, &lb).await;
    let alone = latencies(&pki, &lb).await;
    let before = lb.resident_memory();
    let begun = Instant::now();
    let mut holder = Holder::start(&pki, &lb);
    let mut holder = tokio::task::spawn_blocking(move || {
        holder.says(&format!("open {CONNECTIONS}"));
        holder
    })
    .await
    .unwrap();
    let opened = begun.elapsed();
    lb.metric_becomes("lb_tls_handshakes_total", &["result=\"full\""], (CONNECTIONS + 8) as f64)
        .await;
    let among = latencies(&pki, &lb).await;
    let held = lb.resident_memory().saturating_sub(before);
    println!(
        "{CONNECTIONS} connections opened in {opened:?}, {} KiB each ({} MiB in all); \
         p50 and p99 without {alone:?}, with {among:?}",
        held / 1024 / CONNECTIONS as u64,
        held / 1024 / 1024,
    );
    assert_eq!(lb.metric("lb_tls_handshakes_total", &["result=\"failed\""]).await, 0.0);
    // Wide, for a busy machine: what this must catch grows with every connection.
    assert!(among.0 < alone.0 * 10 + Duration::from_millis(20), "{alone:?}, {among:?}");
    assert!(held < CONNECTIONS as u64 * 128 * 1024, "{held} bytes");
    drop(holder.child.stdin.take());
    tokio::task::spawn_blocking(move || {
        holder.says(&format!("served {CONNECTIONS}"));
        assert!(holder.child.wait().unwrap().success());
    })
    .await
    .unwrap();
}
