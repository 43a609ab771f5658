//! Endpoints that come back, and get little at first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failing_over::config;
use crate::support::{Client, Lb, Origin, respond};

const CHECK: &str =
    "health_check: { path: /check, interval: 20ms, failing_interval: 20ms, unhealthy_after: 1 }";

/// Healthy or not, as the switch says.
async fn switched(healthy: &Arc<AtomicBool>) -> Origin {
    let healthy = Arc::clone(healthy);
    Origin::start(move |request| {
        let sick = request.uri().path() == "/check" && !healthy.load(Ordering::Relaxed);
        async move { respond(if sick { 503 } else { 200 }, "ok") }
    })
    .await
}

async fn out_and_back(lb: &Lb, origin: &Origin, healthy: &AtomicBool) {
    let label = format!("endpoint=\"{}\"", origin.address);
    healthy.store(false, Ordering::Relaxed);
    lb.metric_becomes("lb_endpoint_healthy", &[&label], 0.0).await;
    healthy.store(true, Ordering::Relaxed);
    lb.metric_becomes("lb_endpoint_healthy", &[&label], 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_comes_back_gets_a_tenth_at_first() {
    for balance in ["round_robin", "least_connections"] {
        let (always, healthy) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
        let (a, b) = (switched(&always).await, switched(&healthy).await);
        let yaml = config(&[a.address, b.address], &format!("slow_start: 1h\n    {CHECK}"))
            .replace("round_robin", balance);
        let lb = Lb::start(&yaml).await;
        let client = Client::plain();
        for _ in 0..20 {
            client.text(&lb.url("/")).await;
        }
        // A request may come before the one before it is given back.
        assert!(a.count().abs_diff(b.count()) <= 8, "nothing is slow at the start");
        out_and_back(&lb, &b, &healthy).await;
        let label = format!("endpoint=\"{}\"", b.address);
        let weight = lb.metric("lb_endpoint_weight", &[&label]).await;
        assert!((0.1..0.2).contains(&weight), "{weight}");
        let before = b.count();
        for _ in 0..220 {
            client.text(&lb.url("/")).await;
        }
        let took = b.count() - before;
        assert!((10..=40).contains(&took), "{took} of 220 with {balance}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_come_back_together_they_share() {
    let (first, second) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let (a, b) = (switched(&first).await, switched(&second).await);
    let lb =
        Lb::start(&config(&[a.address, b.address], &format!("slow_start: 1h\n    {CHECK}"))).await;
    out_and_back(&lb, &a, &first).await;
    out_and_back(&lb, &b, &second).await;
    for _ in 0..40 {
        Client::plain().text(&lb.url("/")).await;
    }
    assert!(a.count().abs_diff(b.count()) <= 10, "{} and {}", a.count(), b.count());
}
