//! Away from endpoints that answer, and answer badly: statuses that are retried, the
//! circuit breaker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt;

use crate::support::{Client, Lb, Origin, respond};

pub fn config(endpoints: &[SocketAddr], more: &str) -> String {
    let endpoints: Vec<String> =
        endpoints.iter().map(|address| format!("{{ address: \"{address}\" }}")).collect();
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
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        endpoints.join(", ")
    )
}

/// Answers every request with this status.
async fn answering(status: u16, body: impl Into<bytes::Bytes>) -> Origin {
    let body = body.into();
    Origin::start(move |_| {
        let body = body.clone();
        async move { respond(status, body) }
    })
    .await
}

/// Says what it was sent.
async fn echoing() -> Origin {
    Origin::start(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        respond(200, body)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_retried_on_another_endpoint() {
    let (bad, good) = (answering(503, "overloaded").await, echoing().await);
    let lb = Lb::start(&config(
        &[bad.address, good.address],
        "retry: { on: [503] }\n    passive_health: { max_fails: 1 }",
    ))
    .await;
    let client = Client::plain();
    for n in 0..10 {
        let body = format!("body {n}");
        let put = client.0.put(lb.url("/")).body(body.clone()).send().await.unwrap();
        assert_eq!((put.status().as_u16(), put.text().await.unwrap()), (200, body));
    }
    assert_eq!(bad.count(), 5, "it stays in, and has its turns");
    assert_eq!(lb.metric("lb_upstream_retries_total", &["outcome=\"sent\""]).await, 5.0);
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0, "it answered");
    let line = lb.access_line(|line| line["attempts"] == 2).await;
    assert_eq!(line["endpoint"], good.address.to_string());
    assert!(line["cause"].is_null(), "{line}");
    // Nothing but what was asked for is retried, and nothing that may not be repeated.
    let mut posts = Vec::new();
    for _ in 0..2 {
        let post = client.0.post(lb.url("/")).body("pay").send().await.unwrap();
        posts.push(post.status().as_u16());
    }
    posts.sort_unstable();
    assert_eq!(posts, [200, 503]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_of_the_last_endpoint_is_passed_on() {
    let (a, b) = (answering(503, "busy").await, answering(502, "busy").await);
    let lb = Lb::start(&config(&[a.address, b.address], "retry: { on: [502, 503] }")).await;
    for n in 1..=4 {
        let response = Client::plain().get(&lb.url("/")).await.unwrap();
        assert!([502, 503].contains(&response.status().as_u16()));
        assert!(!response.headers().contains_key("proxy-status"), "it is the endpoint's own");
        assert_eq!(response.text().await.unwrap(), "busy");
        assert_eq!([a.count(), b.count()], [n, n], "each was asked once");
    }
    let alone = Lb::start(&config(&[a.address], "retry: { on: [503] }")).await;
    assert_eq!(Client::plain().get(&alone.url("/")).await.unwrap().status(), 503);
    assert_eq!(a.count(), 5, "there is no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_not_listed_is_passed_on() {
    let (bad, good) = (answering(500, "broken").await, Origin::named("good").await);
    let lb = Lb::start(&config(&[bad.address, good.address], "retry: { on: [503] }")).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(Client::plain().get(&lb.url("/")).await.unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 500, 500]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_response_put_aside_reaches_nobody() {
    for length in [0, 10, 1_000_000] {
        let bad = answering(503, vec![b'x'; length]).await;
        let good = Origin::named("good").await;
        let lb = Lb::start(&config(&[bad.address, good.address], "retry: { on: [503] }")).await;
        let client = Client::plain();
        for _ in 0..20 {
            assert_eq!(client.text(&lb.url("/")).await, "good", "after a body of {length}");
        }
        assert_eq!(bad.count(), 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_retried_over_http2_too() {
    let (bad, good) = (answering(503, vec![b'x'; 100_000]).await, echoing().await);
    let lb =
        Lb::start(&config(&[bad.address, good.address], "protocol: h2c\n    retry: { on: [503] }"))
            .await;
    for n in 0..10 {
        let body = format!("body {n}");
        let put = Client::plain().0.put(lb.url("/")).body(body.clone()).send().await.unwrap();
        assert_eq!(put.text().await.unwrap(), body);
    }
    assert_eq!(bad.count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_bounds_retries_of_statuses() {
    let (bad, good) = (answering(503, "busy").await, Origin::named("good").await);
    let lb = Lb::start(&config(
        &[bad.address, good.address],
        "retry: { on: [503], budget: { ratio: 0, min_per_second: 0 } }",
    ))
    .await;
    let mut busy = 0;
    for _ in 0..6 {
        busy += usize::from(Client::plain().get(&lb.url("/")).await.unwrap().status() == 503);
    }
    assert_eq!(busy, 3);
    assert_eq!(
        lb.metric("lb_upstream_retries_total", &["outcome=\"budget_exhausted\""]).await,
        3.0
    );
}

/// Answers 200 or 500, as the switch says.
async fn switched(works: &Arc<AtomicBool>) -> Origin {
    let works = Arc::clone(works);
    Origin::start(move |_| {
        let status = if works.load(Ordering::Relaxed) { 200 } else { 500 };
        async move { respond(status, "answered") }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_is_left_alone_and_tried_again() {
    let works = Arc::new(AtomicBool::new(false));
    let origin = switched(&works).await;
    // Two failed times in a row show that a failed probe opens it again.
    let lb = Lb::start(&config(
        &[origin.address],
        "circuit_breaker: { min_requests: 4, window: 1h, open_for: 1s, probes: 1 }",
    ))
    .await;
    let client = Client::plain();
    assert_eq!(lb.metric("lb_upstream_circuit_state", &["upstream=\"api\""]).await, 0.0);
    for _ in 0..4 {
        assert_eq!(client.get(&lb.url("/")).await.unwrap().status(), 500);
    }
    lb.logged("circuit open: too many failed requests").await;
    // The probes fail, and the circuit opens again and again.
    let mut refused = 0;
    while lb.metric("lb_upstream_circuit_opened_total", &[]).await < 3.0 {
        let response = client.get(&lb.url("/")).await.unwrap();
        if response.status() == 503 {
            refused += 1;
            assert_eq!(response.headers()["retry-after"], "1");
            let status = response.headers()["proxy-status"].to_str().unwrap().to_owned();
            assert!(status.contains("destination_unavailable"), "{status}");
            assert!(response.text().await.unwrap().contains("circuit_open"));
        }
    }
    assert!(refused > 0);
    assert_eq!(origin.count(), 6, "four that opened it and two probes");
    works.store(true, Ordering::Relaxed);
    while client.get(&lb.url("/")).await.unwrap().status() != 200 {}
    lb.logged("circuit closed: the upstream works again").await;
    lb.metric_becomes("lb_upstream_circuit_state", &[], 0.0).await;
    for _ in 0..10 {
        assert_eq!(client.get(&lb.url("/")).await.unwrap().status(), 200);
    }
    let line = lb.access_line(|line| line["cause"] == "circuit_open").await;
    assert!(line.get("endpoint").is_none() && line.get("error").is_none(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fail_open_the_circuit_too() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lb = Lb::start(&config(
        &[nobody],
        "circuit_breaker: { min_requests: 3, window: 1h, open_for: 1h }",
    ))
    .await;
    // Three attempts, of one request: every attempt counts, and the last is no retry.
    let first = Client::plain().get(&lb.url("/")).await.unwrap();
    assert_eq!(first.status(), 502);
    let second = Client::plain().get(&lb.url("/")).await.unwrap();
    assert_eq!(second.status(), 503);
    let wait: u64 = second.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    lb.metric_becomes("lb_upstream_circuit_state", &[], 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_wrong_opens_no_circuit() {
    let origin = answering(404, "no").await;
    let lb = Lb::start(&config(
        &[origin.address],
        "circuit_breaker: { min_requests: 1, error_rate: 1% }",
    ))
    .await;
    for _ in 0..20 {
        assert_eq!(Client::plain().get(&lb.url("/")).await.unwrap().status(), 404);
    }
}
