//! Requests and retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Client, Lb, Origin, RawOrigin, respond};

/// Reads a request and closes without an answer; counts.
async fn closing() -> (RawOrigin, Arc<AtomicUsize>) {
    closing_after(1).await
}

/// Closes when it has read so much, and counts how often.
async fn closing_after(bytes: usize) -> (RawOrigin, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let origin = RawOrigin::start(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            let mut read = 0;
            while read < bytes {
                match stream.read(&mut [0; 4096]).await {
                    Ok(length @ 1..) => read += length,
                    _ => return,
                }
            }
            counter.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    (origin, count)
}

fn config(endpoints: &[std::net::SocketAddr], more: &str) -> String {
    let endpoints: Vec<String> =
        endpoints.iter().map(|address| format!("{{ address: \"{address}\" }}")).collect();
    format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  api:
    balance: round_robin
    endpoints: [{}]
    passive_health: {{ max_fails: 0 }}
    {more}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        endpoints.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_request_is_sent_to_another_endpoint() {
    let good = Origin::named("good").await;
    let (bad, count) = closing().await;
    let lb = Lb::start(&config(&[bad.address, good.address], "")).await;
    for _ in 0..10 {
        assert_eq!(Client::plain().text(&lb.url("/")).await, "good");
        let put = Client::plain().0.put(lb.url("/")).body("small").send().await.unwrap();
        assert_eq!(put.status(), 200);
    }
    assert!(count.load(Ordering::Relaxed) > 0, "it was tried");
    let retried = lb.metric("lb_upstream_retries_total", &["outcome=\"sent\""]).await;
    assert_eq!(retried, count.load(Ordering::Relaxed) as f64, "each failure cost one retry");
    let line = lb.access_line(|line| line["attempts"] == 2).await;
    assert_eq!(line["endpoint"], good.address.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_acted_on_is_never_repeated() {
    let (bad, count) = closing().await;
    let (other, other_count) = closing().await;
    let lb = Lb::start(&config(&[bad.address, other.address], "")).await;
    for n in 1..=4 {
        let post = Client::plain().0.post(lb.url("/")).body("pay").send().await.unwrap();
        assert_eq!(post.status(), 502);
        assert_eq!(count.load(Ordering::Relaxed) + other_count.load(Ordering::Relaxed), n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_found_no_connection_is_sent_elsewhere() {
    let good = Origin::start(|request| async move {
        use http_body_util::BodyExt;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        respond(200, body)
    })
    .await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lb = Lb::start(&config(&[nobody, good.address], "")).await;
    for _ in 0..6 {
        let post = Client::plain().0.post(lb.url("/")).body("pay").send().await.unwrap();
        assert_eq!(post.text().await.unwrap(), "pay");
    }
    assert!(lb.metric("lb_upstream_retries_total", &["outcome=\"sent\""]).await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_that_failed_is_not_picked_again_while_another_is_there() {
    let (a, a_count) = closing().await;
    let (b, b_count) = closing().await;
    let (c, c_count) = closing().await;
    let lb = Lb::start(&config(&[a.address, b.address, c.address], "")).await;
    let response = Client::plain().get(&lb.url("/")).await.unwrap();
    assert_eq!(response.status(), 502);
    let counts = [&a_count, &b_count, &c_count].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts, [1, 1, 1], "three attempts, three endpoints");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_is_retried_within_the_deadline_of_the_request() {
    let good = Origin::named("good").await;
    let silent = RawOrigin::start(|stream| async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(stream);
    })
    .await;
    let lb = Lb::start(&config(&[silent.address, good.address], "timeouts: { read: 100ms }")).await;
    for _ in 0..4 {
        assert_eq!(Client::plain().text(&lb.url("/")).await, "good");
    }
    // With every endpoint silent the request's own deadline ends it.
    let late = Lb::start(&config(
        &[silent.address],
        "timeouts: { read: 150ms, request: 400ms }\n    retry: { attempts: 16 }",
    ))
    .await;
    let begin = Instant::now();
    let response = Client::plain().get(&late.url("/")).await.unwrap();
    assert_eq!(response.status(), 504);
    assert!(response.text().await.unwrap().contains("request_timeout"));
    assert!(begin.elapsed() >= Duration::from_millis(400));
    assert_eq!(late.access_line(|line| line["status"] == 504).await["attempts"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_bounds_retries() {
    let (bad, count) = closing().await;
    let lb = Lb::start(&config(
        &[bad.address],
        "retry: { attempts: 3, budget: { ratio: 0, min_per_second: 1 } }",
    ))
    .await;
    for _ in 0..30 {
        assert_eq!(Client::plain().get(&lb.url("/")).await.unwrap().status(), 502);
    }
    let sent = lb.metric("lb_upstream_retries_total", &["outcome=\"sent\""]).await;
    // Ten a window of ten seconds; a slow machine may see a second window begin.
    assert!((10.0..=20.0).contains(&sent), "{sent}");
    assert!(lb.metric("lb_upstream_retries_total", &["outcome=\"budget_exhausted\""]).await > 0.0);
    assert_eq!(count.load(Ordering::Relaxed) as f64, 30.0 + sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_began_is_not_repeated_but_cut() {
    let broken = RawOrigin::start(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    })
    .await;
    let lb = Lb::start(&config(&[broken.address, broken.address].map(|a| a)[..1], "")).await;
    let response = Client::plain().get(&lb.url("/")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err(), "the client sees that it is incomplete");
    let line = lb.access_line(|line| line["cause"] == "upstream_incomplete").await;
    assert_eq!(line["attempts"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_pooled_connections_are_replaced_for_free() {
    // Serves one request a connection and closes it silently afterwards.
    let origin = RawOrigin::start(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        // Closes only when the next request is on its way.
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let lb = Lb::start(&config(&[origin.address], "retry: { attempts: 1 }")).await;
    let client = Client::plain();
    for _ in 0..10 {
        assert_eq!(client.text(&lb.url("/")).await, "ok");
    }
    assert_eq!(lb.metric("lb_upstream_retries_total", &[]).await, 0.0);
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_larger_than_the_replay_buffer_is_not_replayed() {
    let (bad, count) = closing_after(100_000).await;
    let good = Origin::named("good").await;
    let lb = Lb::start(&config(&[bad.address, good.address], "")).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let put =
            Client::plain().0.put(lb.url("/")).body(vec![b'x'; 300_000]).send().await.unwrap();
        statuses.push(put.status().as_u16());
    }
    let failed = statuses.iter().filter(|status| **status == 502).count();
    assert_eq!(failed, count.load(Ordering::Relaxed), "{statuses:?}");
    assert!(failed > 0 && failed < 4, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_body_counts_once_against_its_limit_and_moves_no_deadline() {
    let (bad, _) = closing().await;
    let good = Origin::named("good").await;
    let yaml =
        config(&[bad.address, good.address], "") + "\ndefaults: { limits: { body: 50KiB } }\n";
    let lb = Lb::start(&yaml).await;
    for _ in 0..4 {
        let put =
            Client::plain().0.put(lb.url("/")).body(vec![b'x'; 40 * 1024]).send().await.unwrap();
        assert_eq!(put.status(), 200);
    }
    let silent = RawOrigin::start(|stream| async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(stream);
    })
    .await;
    let late = Lb::start(&config(
        &[silent.address],
        "timeouts: { read: 300ms, request: 700ms }\n    retry: { attempts: 16 }",
    ))
    .await;
    Client::plain().0.put(late.url("/")).body("body").send().await.unwrap();
    // Each replay would have bought another 300 ms.
    let line = late.access_line(|line| line["cause"] == "request_timeout").await;
    assert_eq!(line["attempts"], 3, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_closes_behind_every_answer_is_not_blamed() {
    // Answers, and closes a moment later: the pool is always full of the dead.
    let origin = RawOrigin::start(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    })
    .await;
    let lb = Lb::start(&config(&[origin.address], "retry: { attempts: 1 }")).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (client, url) = (Client::plain(), lb.url("/"));
        clients.spawn(async move {
            for _ in 0..200 {
                assert_eq!(client.get(&url).await.unwrap().status(), 200);
            }
        });
    }
    while let Some(result) = clients.join_next().await {
        result.unwrap();
    }
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
}
