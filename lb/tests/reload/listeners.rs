//! Listeners that come, stay, move and change.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::scene::{ANY_PORT, SECURE, Tunnel, Yaml, ask, origin, start};
use crate::support::{Client, Lb, RawConnection, eventually};

async fn refuses(address: SocketAddr) {
    eventually(&format!("{address} to be closed"), || {
        TcpStream::connect(address).is_err().then_some(())
    })
    .await;
}

fn at(address: SocketAddr) -> String {
    format!("bind: [\"{address}\"]")
}

#[tokio::test(flavor = "multi_thread")]
async fn they_come_and_go_and_come_again_under_the_same_name() {
    let (origin, _) = origin("x").await;
    let plain = Yaml::new(&origin);
    let lb = start(&plain).await;
    let mut stays = Tunnel::open(lb.address("http"), "a.test").await;
    for round in 0..3 {
        let mut more = plain.clone();
        more.listener("extra", ANY_PORT);
        more.listener("path", &format!("bind: [\"unix:{}\"]", lb.path("lb.sock").display()));
        let mark = lb.mark();
        let report = lb.reload(&more.to_string()).await;
        let changes = report["changes"].to_string();
        assert!(changes.contains("listener \\\"extra\\\" added"), "{changes}");
        let address = lb.bound_since(mark, "extra").await;
        assert_eq!(Client::unpooled().text(&format!("http://{address}/")).await, "x");
        let over = reqwest::Client::builder().unix_socket(lb.path("lb.sock")).build().unwrap();
        let text = over.get("http://a.test/").send().await.unwrap().text().await.unwrap();
        assert_eq!(text, "x", "round {round}");
        let line = lb.access_line(|line| line["listener"] == "path").await;
        assert_eq!(line["status"], 200);
        drop(over);
        let report = lb.reload(&plain.to_string()).await;
        let changes = report["changes"].to_string();
        assert!(changes.contains("listener \\\"extra\\\" removed"), "{changes}");
        refuses(address).await;
        let path = lb.path("lb.sock");
        eventually("the path to be closed", || {
            std::os::unix::net::UnixStream::connect(&path).is_err().then_some(())
        })
        .await;
        stays.echoes("here").await;
    }
    assert_eq!(lb.metric("lb_connections_total", &["listener=\"extra\""]).await, 3.0);
}

/// Everybody who connects meanwhile, and everybody who is inside.
struct Crowd {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    people: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    fn gather(address: SocketAddr) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let people = (0..4).map(|_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let close = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
                    let answer = RawConnection::exchange(address, close).await;
                    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { people: people.collect(), stop, served }
    }

    async fn are_served(&self) {
        let before = self.served.load(Ordering::Relaxed);
        eventually("the crowd to be served", || {
            let some = self.served.load(Ordering::Relaxed) > before + 20;
            (some || self.people.iter().any(|one| one.is_finished())).then_some(())
        })
        .await;
    }

    async fn go_home(self) {
        self.are_served().await;
        self.stop.store(true, Ordering::Relaxed);
        for one in self.people {
            one.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_for_the_same_address_refuses_nobody() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    let lb = start(&yaml).await;
    let address = lb.address("http");
    // From a port of the system's choice to the same, written out.
    yaml.listener("http", &at(address));
    lb.reload(&yaml.to_string()).await;
    let crowd = Crowd::gather(address);
    crowd.are_served().await;
    let mut inside = RawConnection::open(address).await;
    ask(&mut inside, "a.test", "/", "x").await;
    for name in ["web", "http", "again"] {
        yaml.listeners.clear();
        yaml.listener(name, &at(address));
        lb.reload(&yaml.to_string()).await;
        crowd.are_served().await;
    }
    crowd.go_home().await;
    // Its listener is gone, so it was closed; nothing was asked on it.
    assert_eq!(inside.read_to_end().await, "");
    lb.access_line(|line| line["listener"] == "again").await;
    let failed: Vec<_> =
        lb.access_lines().into_iter().filter(|line| !line.contains("\"status\":200")).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_may_swap_their_addresses() {
    let (first, _) = origin("x").await;
    let mut yaml = Yaml::new(&first);
    yaml.listener("other", ANY_PORT);
    let lb = start(&yaml).await;
    let (http, other) = (lb.address("http"), lb.address("other"));
    yaml.listener("http", &at(http)).listener("other", &at(other));
    lb.reload(&yaml.to_string()).await;
    yaml.listener("http", &at(other)).listener("other", &at(http));
    lb.reload(&yaml.to_string()).await;
    for (address, listener) in [(http, "other"), (other, "http")] {
        let url = format!("http://{address}/{listener}");
        assert_eq!(Client::unpooled().text(&url).await, "x");
        let target = format!("/{listener}");
        let line = lb.access_line(|line| line["target"] == *target).await;
        assert_eq!(line["listener"], listener);
    }
}

/// A port that nobody has at any address. The system gives one that is free at 127.0.0.1,
/// though a connection of this machine to another may have it at its own address.
fn port_free_everywhere() -> u16 {
    let start = u16::try_from(std::process::id() % 20_000).unwrap();
    // Below those that the system gives to connections.
    let mut ports = (0..20_000).map(|offset| 10_000 + (start + offset) % 20_000);
    ports.find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_may_widen_and_narrow_at_the_same_port() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    let port = port_free_everywhere();
    let narrow = SocketAddr::from(([127, 0, 0, 1], port));
    let wide = SocketAddr::from(([0, 0, 0, 0], port));
    yaml.listener("http", &at(narrow));
    let lb = start(&yaml).await;
    let elsewhere = format!("http://127.0.0.2:{}/", narrow.port());
    for _ in 0..2 {
        yaml.listener("http", &at(wide));
        lb.reload(&yaml.to_string()).await;
        assert_eq!(Client::unpooled().text(&elsewhere).await, "x");
        assert_eq!(Client::unpooled().text(&lb.url("/")).await, "x");
        yaml.listener("http", &at(narrow));
        lb.reload(&yaml.to_string()).await;
        refuses(SocketAddr::from(([127, 0, 0, 2], narrow.port()))).await;
        assert_eq!(Client::unpooled().text(&lb.url("/")).await, "x");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_changes_nothing() {
    let (first, _) = origin("first").await;
    let (second, _) = origin("second").await;
    let lb = start(&Yaml::new(&first)).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut yaml = Yaml::new(&second);
    // "a" is bound before "z" fails, and is closed again.
    yaml.listener("a", ANY_PORT).listener("z", &at(taken.local_addr().unwrap()));
    let mark = lb.mark();
    let report = lb.reload_fails(&yaml.to_string()).await;
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("listener \"z\" cannot bind") && error.contains("in use"), "{error}");
    refuses(lb.bound_since(mark, "a").await).await;
    assert_eq!(Client::unpooled().text(&lb.url("/")).await, "first");
    let descriptors = lb.descriptors();
    for _ in 0..20 {
        lb.hup().await;
    }
    eventually("no socket to be left", || (lb.descriptors() <= descriptors + 4).then_some(()))
        .await;
    // The status server's address is no better.
    let status = taken.local_addr().unwrap();
    let text = Lb::written(&Yaml::new(&second).to_string()).replacen(
        "127.0.0.1:0",
        &status.to_string(),
        1,
    );
    lb.rewrite_with(text);
    let report = lb.hup().await;
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("status server") && error.contains("in use"), "{error}");
    assert_eq!(Client::unpooled().text(&lb.url("/")).await, "first");
    drop(taken);
    lb.reload(&yaml.to_string()).await;
    assert_eq!(Client::unpooled().text(&format!("http://{status}/")).await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_server_may_move() {
    let (origin, _) = origin("x").await;
    let yaml = Yaml::new(&origin).to_string();
    let lb = start(&Yaml::new(&origin)).await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    lb.rewrite_with(Lb::written(&yaml).replacen("127.0.0.1:0", &free.to_string(), 1));
    let (status, report) = lb.post_reload().await;
    assert_eq!(status, 200, "{report:#}");
    let ready = Client::unpooled().get(&format!("http://{free}/readyz")).await.unwrap();
    assert_eq!(ready.status(), 200);
    refuses(lb.status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_clear_and_tls_take_turns_at_one_address() {
    let (origin, gate) = origin("x").await;
    let mut plain = Yaml::new(&origin);
    let lb = start(&plain).await;
    let address = lb.address("http");
    plain.listener("http", &at(address));
    lb.reload(&plain.to_string()).await;
    let mut secure = plain.clone();
    secure.listener("http", &SECURE.replace("127.0.0.1:0", &address.to_string()));
    let mut idle = RawConnection::open(address).await;
    ask(&mut idle, "a.test", "/", "x").await;
    let mut busy = RawConnection::open(address).await;
    busy.send("GET /gated HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    let report = lb.reload(&secure.to_string()).await;
    assert_eq!(report["changes"], serde_json::json!(["listener \"http\" changed"]));
    let url = format!("https://api.test:{}/", address.port());
    assert_eq!(lb.client().text(&url).await, "x");
    assert_eq!(idle.read_to_end().await, "", "it was let in on other terms");
    gate.add_permits(1);
    let last = busy.read_to_end().await;
    assert!(last.to_lowercase().contains("connection: close") && last.ends_with("x"), "{last}");
    lb.reload(&plain.to_string()).await;
    assert_eq!(Client::unpooled().text(&format!("http://{address}/")).await, "x");
    assert!(lb.client().get(&url).await.is_none(), "no TLS any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_clients_is_asked_of_everybody() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    yaml.listener("https", SECURE);
    let lb = start(&yaml).await;
    let (client, url) = (lb.client(), lb.secure_url("api.test", "/"));
    for (tls, clients) in [
        (", min_version: \"1.3\"", 200),
        (", client_auth: { ca: ca.pem, mode: require }", 0),
        (", client_auth: { ca: ca.pem, mode: request }", 200),
        ("", 200),
    ] {
        let before = lb.metric("lb_tls_handshakes_total", &["result=\"full\""]).await
            + lb.metric("lb_tls_handshakes_total", &["result=\"resumed\""]).await;
        assert_eq!(client.get(&url).await.unwrap().status(), 200);
        let secure = SECURE.replace("api.key }]", &format!("api.key }}]{tls}"));
        yaml.listener("https", &secure);
        lb.reload(&yaml.to_string()).await;
        // Its connection has ended, and it has to shake hands again.
        lb.metric_becomes("lb_connections_open", &["listener=\"https\""], 0.0).await;
        let status = client.get(&url).await.map_or(0, |response| response.status().as_u16());
        assert_eq!(status, clients, "{tls}");
        if status == 0 {
            yaml.listener("https", SECURE);
            lb.reload(&yaml.to_string()).await;
        } else {
            let after = lb.metric("lb_tls_handshakes_total", &["result=\"full\""]).await
                + lb.metric("lb_tls_handshakes_total", &["result=\"resumed\""]).await;
            assert!(after > before, "{tls}: {before} {after}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_options_change_under_open_connections() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    let lb = start(&yaml).await;
    let address = lb.address("http");
    let mut inside = Tunnel::open(address, "a.test").await;
    let mut second = RawConnection::open(address).await;
    ask(&mut second, "a.test", "/", "x").await;
    // As many as are there, who count though there was no limit when they came.
    yaml.listener("http", &format!("{ANY_PORT}, limits: {{ connections: 2 }}"));
    lb.reload(&yaml.to_string()).await;
    let mut third = RawConnection::open(address).await;
    assert_eq!(third.read_to_end().await, "");
    let cause = ["listener=\"http\"", "cause=\"listener_connection_limit\""];
    lb.metric_becomes("lb_connections_closed_total", &cause, 1.0).await;
    inside.echoes("one").await;
    ask(&mut second, "a.test", "/", "x").await;
    let tcp = "tcp: { keepalive: { idle: 7s, interval: 3s, count: 5 }, user_timeout: 9s }";
    let deadlines = "deadlines: { idle: 1h }";
    yaml.listener("http", &format!("{ANY_PORT}, backlog: 64, {tcp}, {deadlines}"));
    lb.reload(&yaml.to_string()).await;
    let mut fourth = RawConnection::open(address).await;
    ask(&mut fourth, "a.test", "/", "x").await;
    let probe = next_probe(&fourth);
    assert!(probe.is_some_and(|seconds| seconds <= 7.0), "{probe:?}");
    yaml.listener("http", &format!("{ANY_PORT}, tcp: {{ keepalive: {{ idle: 0s }} }}"));
    lb.reload(&yaml.to_string()).await;
    let mut silent = RawConnection::open(address).await;
    ask(&mut silent, "a.test", "/", "x").await;
    assert_eq!(next_probe(&silent), None, "turned off");
    drop((silent, fourth));
    lb.metric_becomes("lb_connections_open", &["listener=\"http\""], 2.0).await;
    inside.echoes("two").await;
    ask(&mut second, "a.test", "/", "x").await;
    yaml.top("max_connections", "3");
    lb.reload(&yaml.to_string()).await;
    let mut last = RawConnection::open(address).await;
    ask(&mut last, "a.test", "/", "x").await;
    let mut beyond = RawConnection::open(address).await;
    assert_eq!(beyond.read_to_end().await, "");
    inside.echoes("three").await;
}

/// When the other side probes a connection next, in seconds (proc_net_tcp.txt:
/// timer 2 is that of keepalive, in hundredths).
fn next_probe(connection: &RawConnection) -> Option<f64> {
    let hexadecimal = |address: SocketAddr| match address {
        SocketAddr::V4(address) => {
            format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
        }
        SocketAddr::V6(_) => panic!("tests connect over IPv4"),
    };
    let ours = hexadecimal(connection.0.local_addr().unwrap());
    let theirs = hexadecimal(connection.0.peer_addr().unwrap());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find(|line| line.contains(&format!(" {theirs} {ours} ")))?;
    let timer = line.split_whitespace().nth(5).unwrap();
    let (kind, left) = timer.split_once(':').unwrap();
    (kind == "02").then(|| f64::from(u32::from_str_radix(left, 16).unwrap()) / 100.0)
}
