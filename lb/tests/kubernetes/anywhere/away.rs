//! The API server goes away, and comes back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::load::Load;
use crate::pods::Pod;
use crate::scene::{Scene, endpoints_become, problem_becomes, told, watch_becomes};

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

const STALE_SINCE: &str = "lb_kubernetes_stale_since_timestamp_seconds";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_stays_and_changes_arrive_afterwards() {
    let scene = Scene::alone().await;
    let pods = scene.pods(1..=5).await;
    let names: Vec<_> = pods.iter().map(Pod::name).collect();
    scene.publish_ready(&pods[..3]).await;
    let lb = scene.start().await;
    watch_becomes(&lb, true).await;
    assert_eq!(lb.metric(STALE_SINCE, &[]).await, 0.0);
    let load = Load::start(&lb);
    load.reaches(&names[..3]).await;

    let before = now();
    scene.cluster.stop().await;
    watch_becomes(&lb, false).await;
    problem_becomes(&lb, Some("unreachable")).await;
    let since = lb.metric(STALE_SINCE, &[]).await;
    assert!((before - 0.1..=now()).contains(&since), "{before} {since} {}", now());
    let problem = told(&lb).await;
    let service = format!("{}/api", scene.cluster.namespace);
    assert!(problem.len() == 1 && problem[0].contains(&service), "{problem:?}");
    load.reaches(&names[..3]).await;
    // It stays since then, however often it is tried.
    let failures = lb.metric("lb_kubernetes_failures_total", &[]).await;
    while lb.metric("lb_kubernetes_failures_total", &[]).await < failures + 2.0 {
        load.goes_on(100).await;
    }
    let begun = Instant::now();
    while begun.elapsed() < scene.cluster.outage() {
        load.goes_on(100).await;
    }
    assert_eq!(lb.metric(STALE_SINCE, &[]).await, since);
    endpoints_become(&lb, 3).await;

    scene.cluster.start().await;
    scene.publish_ready(&pods).await;
    endpoints_become(&lb, 5).await;
    watch_becomes(&lb, true).await;
    problem_becomes(&lb, None).await;
    assert_eq!(lb.metric(STALE_SINCE, &[]).await, 0.0);
    assert_eq!(told(&lb).await, [""; 0]);
    load.reaches(&names).await;
    load.stop().await;
    assert_eq!(lb.metric("lb_requests_total", &["status_class=\"5xx\""]).await, 0.0);
}
