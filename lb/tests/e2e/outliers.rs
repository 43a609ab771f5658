//! Endpoints that answer their health checks, and fail or delay everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::failing_over::config;
use crate::support::{Client, Lb, Origin, respond};

const CHECK: &str = "health_check: { path: /check, interval: 20ms }";

/// Answers checks with 200, and everything else with this after so long. How many
/// checks there were.
async fn origin(status: u16, delay: Duration) -> (Origin, Arc<AtomicUsize>) {
    let checks = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&checks);
    let origin = Origin::start(move |request| {
        let is_check = request.uri().path() == "/check";
        counter.fetch_add(usize::from(is_check), Ordering::Relaxed);
        async move {
            if is_check {
                return respond(200, "well");
            }
            tokio::time::sleep(delay).await;
            respond(status, "answered")
        }
    })
    .await;
    (origin, checks)
}

/// Sends requests, eight at a time, until the log says this.
async fn load_until(lb: &Lb, text: &str) -> String {
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (client, url) = (Client::plain(), lb.url("/"));
        clients.spawn(async move {
            loop {
                client.get(&url).await.expect("a response");
            }
        });
    }
    lb.logged(text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_requests_is_taken_out_though_its_checks_succeed() {
    let (good, _) = origin(200, Duration::ZERO).await;
    let (other, _) = origin(200, Duration::ZERO).await;
    let (bad, checks) = origin(500, Duration::ZERO).await;
    let lb = Lb::start(&config(
        &[good.address, other.address, bad.address],
        &format!(
            "outlier: {{ error_rate: 50%, min_requests: 5, interval: 1s, eject_for: 1h }}\n    {CHECK}"
        ),
    ))
    .await;
    let line = load_until(&lb, "it fails more requests than it may").await;
    assert!(line.contains(&bad.address.to_string()), "{line}");
    let label = format!("endpoint=\"{}\"", bad.address);
    let known = checks.load(Ordering::Relaxed);
    crate::support::eventually("more checks", || {
        (checks.load(Ordering::Relaxed) > known + 5).then_some(())
    })
    .await;
    assert_eq!(lb.metric("lb_endpoint_ejected", &[&label]).await, 1.0);
    assert_eq!(lb.metric("lb_endpoint_healthy", &[&label]).await, 1.0);
    let labels = [&*label, "reason=\"error_rate\""];
    assert_eq!(lb.metric("lb_endpoint_ejections_total", &labels).await, 1.0);
    for _ in 0..20 {
        assert_eq!(Client::plain().get(&lb.url("/")).await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_slower_than_the_others_is_taken_out() {
    // A busy machine makes all of them slow, which is no reason.
    let (slow, _) = origin(200, Duration::from_millis(400)).await;
    let (fast, _) = origin(200, Duration::ZERO).await;
    let (other, _) = origin(200, Duration::ZERO).await;
    let lb = Lb::start(&config(
        &[slow.address, fast.address, other.address],
        "outlier: { latency_factor: 3, min_requests: 5, interval: 4s, eject_for: 1h }",
    ))
    .await;
    let line = load_until(&lb, "it is slower than the others").await;
    assert!(line.contains(&slow.address.to_string()), "{line}");
    let label = format!("endpoint=\"{}\"", slow.address);
    assert_eq!(lb.metric("lb_endpoint_ejected", &[&label]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outlier_comes_back_by_time() {
    let (good, _) = origin(200, Duration::ZERO).await;
    let (bad, _) = origin(503, Duration::ZERO).await;
    let lb = Lb::start(&config(
        &[good.address, bad.address],
        "outlier: { error_rate: 100%, min_requests: 5, interval: 1s, eject_for: 1s }\n    retry: { on: [503] }",
    ))
    .await;
    let line = load_until(&lb, "endpoint is back: its ejection is over").await;
    assert!(line.contains(&bad.address.to_string()), "{line}");
    // It fails again, and is out for longer: statuses that are retried count.
    load_until(&lb, "out_for_seconds=2").await;
}
