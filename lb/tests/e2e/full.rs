//! Endpoints that have as many exchanges as they may, those who wait for them, and
//! those who stand by.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::support::{Client, Lb, Origin, RawConnection, RawOrigin, respond};

fn config(endpoints: &[(SocketAddr, &str)], more: &str) -> String {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|(address, rules)| format!("{{ address: \"{address}\", {rules} }}"))
        .collect();
    format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  api:
    balance: round_robin
    endpoints: [{}]
    {more}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api, websocket: true }}]
"#,
        endpoints.join(", ")
    )
}

/// Answers when it is told to, one request for each permit; checks at once.
async fn gated(name: &'static str) -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let origin = Origin::start({
        let gate = Arc::clone(&gate);
        move |request| {
            let gate = Arc::clone(&gate);
            async move {
                if request.uri().path() != "/check" {
                    gate.acquire().await.unwrap().forget();
                }
                respond(200, name)
            }
        }
    })
    .await;
    (origin, gate)
}

/// What a request comes to: its status, and the body.
fn get(lb: &Lb) -> tokio::task::JoinHandle<(u16, String)> {
    let url = lb.url("/");
    tokio::spawn(async move {
        let response = Client::plain().get(&url).await.expect("a response");
        (response.status().as_u16(), response.text().await.unwrap())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_ever_has_more_than_it_may() {
    let most = Arc::new(AtomicUsize::new(0));
    let busy = || async {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
        Origin::start(move |_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                let count = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(count, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                respond(200, "ok")
            }
        })
        .await
    };
    let (a, b) = (busy().await, busy().await);
    let rules = "max_connections: 2";
    let lb = Lb::start(&config(
        &[(a.address, rules), (b.address, rules)],
        "queue: { size: 1000, timeout: 1h }",
    ))
    .await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let (client, url) = (Client::plain(), lb.url("/"));
        clients.spawn(async move {
            for _ in 0..20 {
                assert_eq!(client.get(&url).await.unwrap().status(), 200);
            }
        });
    }
    while let Some(result) = clients.join_next().await {
        result.unwrap();
    }
    assert_eq!(a.count() + b.count(), 480);
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert!(lb.metric("lb_upstream_queue_total", &["outcome=\"served\""]).await > 0.0);
    lb.metric_becomes("lb_upstream_queue_length", &["upstream=\"api\""], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_queue_nobody_waits() {
    let (origin, gate) = gated("served").await;
    let lb = Lb::start(&config(&[(origin.address, "max_connections: 1")], "")).await;
    let first = get(&lb);
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    let second = Client::plain().get(&lb.url("/")).await.unwrap();
    assert_eq!(second.status(), 503);
    let status = second.headers()["proxy-status"].to_str().unwrap().to_owned();
    assert!(status.contains("connection_limit_reached"), "{status}");
    assert!(status.contains("upstream_queue_full"), "{status}");
    gate.add_permits(2);
    assert_eq!(first.await.unwrap(), (200, "served".to_owned()));
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    assert_eq!(get(&lb).await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_wait_for_so_long() {
    let (origin, gate) = gated("served").await;
    let lb = Lb::start(&config(
        &[(origin.address, "max_connections: 1")],
        "queue: { size: 1, timeout: 2s }",
    ))
    .await;
    let first = get(&lb);
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    let second = get(&lb);
    lb.metric_becomes("lb_upstream_queue_length", &[], 1.0).await;
    let (status, body) = get(&lb).await.unwrap();
    assert!(status == 503 && body.contains("upstream_queue_full"), "{status} {body}");
    let (status, body) = second.await.unwrap();
    assert!(status == 503 && body.contains("upstream_queue_timeout"), "{status} {body}");
    for outcome in ["full", "timeout"] {
        let label = format!("outcome=\"{outcome}\"");
        assert_eq!(lb.metric("lb_upstream_queue_total", &[&label]).await, 1.0, "{outcome}");
    }
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().0, 200);
    let line = lb.access_line(|line| line["cause"] == "upstream_queue_timeout").await;
    assert!(line["duration_ms"].as_f64().unwrap() >= 2000.0, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_counts_in_the_time_of_the_request() {
    let (origin, _gate) = gated("never").await;
    let lb = Lb::start(&config(
        &[(origin.address, "max_connections: 1")],
        "queue: { size: 1, timeout: 1h }\n    timeouts: { request: 1s }",
    ))
    .await;
    let mut first = RawConnection::open(lb.address("http")).await;
    // A body that does not end keeps the endpoint: its time has not begun.
    first.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    let (status, body) = get(&lb).await.unwrap();
    assert!(status == 504 && body.contains("request_timeout"), "{status} {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_its_place_up() {
    let (origin, gate) = gated("served").await;
    let lb = Lb::start(&config(
        &[(origin.address, "max_connections: 1")],
        "queue: { size: 1, timeout: 1h }",
    ))
    .await;
    let first = get(&lb);
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    let mut second = RawConnection::open(lb.address("http")).await;
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    lb.metric_becomes("lb_upstream_queue_length", &[], 1.0).await;
    second.reset();
    lb.metric_becomes("lb_upstream_queue_length", &[], 0.0).await;
    assert_eq!(lb.metric("lb_upstream_queue_total", &["outcome=\"left\""]).await, 1.0);
    lb.access_line(|line| line["cause"] == "client_closed").await;
    // Its place is free.
    let third = get(&lb);
    lb.metric_becomes("lb_upstream_queue_length", &[], 1.0).await;
    gate.add_permits(2);
    assert_eq!((first.await.unwrap().0, third.await.unwrap().0), (200, 200));
    assert_eq!(origin.count(), 2, "who left was not sent on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_over_http2_gives_its_place_up() {
    let (origin, gate) = gated("served").await;
    let yaml = config(
        &[(origin.address, "max_connections: 1")],
        "queue: { size: 1, timeout: 1h }",
    )
    .replace(
        "listeners: {",
        "listeners: { https: { bind: [\"127.0.0.1:0\"], tls: { certificates: [{ cert: api.pem, key: api.key }] } },",
    );
    let lb = Lb::start(&yaml).await;
    let first = get(&lb);
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    let second = tokio::spawn({
        let (client, url) = (lb.client(), lb.secure_url("api.test", "/"));
        async move { client.get(&url).await }
    });
    lb.metric_becomes("lb_upstream_queue_length", &[], 1.0).await;
    second.abort();
    lb.metric_becomes("lb_upstream_queue_length", &[], 0.0).await;
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_keeps_its_body() {
    let echo = Origin::start(|request| async move {
        use http_body_util::BodyExt;
        respond(200, request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    let lb = Lb::start(&config(
        &[(echo.address, "max_connections: 1")],
        "queue: { size: 10, timeout: 1h }",
    ))
    .await;
    let mut first = RawConnection::open(lb.address("http")).await;
    first.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhi").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    let body = vec![b'x'; 300_000];
    let second = tokio::spawn({
        let (url, body) = (lb.url("/"), body.clone());
        async move { Client::plain().0.post(url).body(body).send().await.unwrap().bytes().await }
    });
    lb.metric_becomes("lb_upstream_queue_length", &[], 1.0).await;
    first.send("ho").await;
    first.read_until("hiho").await;
    assert_eq!(second.await.unwrap().unwrap(), body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_gets_healthy_takes_those_who_wait() {
    let (a, gate) = gated("a").await;
    let healthy = Arc::new(AtomicBool::new(false));
    let b = Origin::start({
        let healthy = Arc::clone(&healthy);
        move |request| {
            let sick = request.uri().path() == "/check" && !healthy.load(Ordering::Relaxed);
            async move { respond(if sick { 503 } else { 200 }, "b") }
        }
    })
    .await;
    let rules = "max_connections: 1";
    let lb = Lb::start(&config(
        &[(a.address, rules), (b.address, rules)],
        "queue: { timeout: 1h }\n    health_check: { path: /check, interval: 20ms, failing_interval: 20ms }",
    ))
    .await;
    let first = get(&lb);
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    let (second, third) = (get(&lb), get(&lb));
    lb.metric_becomes("lb_upstream_queue_length", &[], 2.0).await;
    healthy.store(true, Ordering::Relaxed);
    assert_eq!(second.await.unwrap(), (200, "b".to_owned()));
    assert_eq!(third.await.unwrap(), (200, "b".to_owned()));
    gate.add_permits(1);
    assert_eq!(first.await.unwrap(), (200, "a".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_takes_a_place() {
    // Switches protocols, or answers.
    let origin = RawOrigin::start(|mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let upgrade = String::from_utf8_lossy(&head).to_lowercase().contains("upgrade: websocket");
        let answer: &[u8] = match upgrade {
            true => b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            false => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        };
        let _ = stream.write_all(answer).await;
        while upgrade && matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
    })
    .await;
    let lb = Lb::start(&config(&[(origin.address, "max_connections: 1")], "")).await;
    let mut tunnel = RawConnection::open(lb.address("http")).await;
    tunnel
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    tunnel.read_until("101").await;
    assert_eq!(get(&lb).await.unwrap().0, 503);
    tunnel.reset();
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    assert_eq!(get(&lb).await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_takes_no_more_than_there_is() {
    // Takes one request after the other and closes without a word.
    let bad = RawOrigin::start(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let (good, gate) = gated("good").await;
    let rules = "max_connections: 1";
    let lb = Lb::start(&config(
        &[(bad.address, rules), (good.address, rules)],
        "queue: { timeout: 1h }\n    passive_health: { max_fails: 0 }",
    ))
    .await;
    let requests: Vec<_> = (0..6).map(|_| get(&lb)).collect();
    let label = format!("endpoint=\"{}\"", good.address);
    for _ in 0..6 {
        lb.metric_becomes("lb_endpoint_in_flight", &[&label], 1.0).await;
        assert!(good.count() <= 6);
        gate.add_permits(1);
    }
    for request in requests {
        assert_eq!(request.await.unwrap(), (200, "good".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_what_the_others_cannot() {
    let (main, gate) = gated("main").await;
    let spare = Origin::named("spare").await;
    let lb = Lb::start(&config(
        &[(main.address, "max_connections: 1"), (spare.address, "backup: true, weight: 1000")],
        "passive_health: { max_fails: 0 }",
    ))
    .await;
    gate.add_permits(10);
    for _ in 0..10 {
        assert_eq!(get(&lb).await.unwrap().1, "main");
        lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    }
    let first = get(&lb);
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    assert_eq!(get(&lb).await.unwrap().1, "spare", "the other one is full");
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().1, "main");
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    drop(main);
    for _ in 0..5 {
        assert_eq!(get(&lb).await.unwrap(), (200, "spare".to_owned()), "the other one is gone");
    }
}
