//! Pods beside endpoints from elsewhere, and what is configured of each.

use crate::pods::Pod;
use crate::scene::{Scene, ask, endpoints_become, of_pod};
use crate::slices::{State, slice};
use crate::stays::Tunnel;
use crate::support::Lb;
use crate::support::dns::DnsServer;

/// How many of so many requests each has got.
async fn shares(lb: &Lb, pods: &[Pod], requests: usize) -> Vec<usize> {
    let before: Vec<_> = pods.iter().map(Pod::requests).collect();
    for _ in 0..requests {
        let (status, name) = ask(lb).await;
        assert_eq!(status, 200, "{name}");
    }
    pods.iter().zip(before).map(|(pod, before)| pod.requests() - before).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sources_make_one_upstream_and_each_has_its_weight() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=4).await;
    let dns = DnsServer::start().await;
    dns.set("web.test", &[&pods[2].address.ip().to_string()], 60);
    scene.publish_ready(&pods[..1]).await;
    let other =
        slice("other-1", "other", &[("http", scene.port)], vec![of_pod(&pods[1], State::Ready)]);
    scene.cluster.apply(other).await;
    let keys = format!(
        "balance: round_robin, endpoints: [{{ address: \"{}\", weight: 4 }}], endpoints_from: [\
           {{ {}, weight: 1 }}, {{ {}, weight: 2 }}, {{ dns: web.test, port: {}, weight: 3 }}]",
        pods[3].address,
        scene.source("api", "http"),
        scene.source("other", "http"),
        scene.port,
    );
    let yaml = format!("dns: {{ servers: [\"{}\"] }}{}", dns.address, scene.yaml_of(&keys));
    let lb = Lb::start(&yaml).await;
    endpoints_become(&lb, 4).await;
    assert_eq!(shares(&lb, &pods, 40).await, [4, 8, 12, 16]);
    // What one source loses, the others keep.
    scene.publish(Vec::new()).await;
    endpoints_become(&lb, 3).await;
    assert_eq!(shares(&lb, &pods, 36).await, [0, 8, 12, 16]);
    for service in ["api", "other"] {
        let label = format!("service=\"{service}\"");
        assert_eq!(lb.metric("lb_kubernetes_watch_up", &[&label]).await, 1.0, "{service}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_two_sources_have_is_the_first_ones() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods).await;
    let keys = format!(
        "balance: round_robin, endpoints: [{{ address: \"{}\", weight: 3 }}], endpoints_from: {{ {} }}",
        pods[0].address,
        scene.source("api", "http"),
    );
    let lb = Lb::start(&scene.yaml_of(&keys)).await;
    endpoints_become(&lb, 2).await;
    assert_eq!(shares(&lb, &pods, 40).await, [30, 10]);
    // It does not leave with the Service.
    scene.publish(Vec::new()).await;
    endpoints_become(&lb, 1).await;
    assert_eq!(shares(&lb, &pods, 10).await, [10, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_can_be_the_backup() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods[1..]).await;
    let keys = format!(
        "endpoints: [{{ address: \"{}\" }}], endpoints_from: {{ {}, backup: true }}",
        pods[0].address,
        scene.source("api", "http"),
    );
    let lb = Lb::start(&scene.yaml_of(&keys)).await;
    endpoints_become(&lb, 2).await;
    assert_eq!(shares(&lb, &pods, 10).await, [10, 0]);
    pods[0].begin_to_end();
    let before = pods[1].requests();
    for _ in 0..10 {
        assert_eq!(ask(&lb).await.0, 200);
    }
    assert_eq!(pods[1].requests() - before, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_has_more_than_its_max_connections() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods[..1]).await;
    let keys = format!(
        "queue: {{ size: 10, timeout: 1h }}, endpoints_from: {{ {}, max_connections: 1 }}",
        scene.source("api", "http"),
    );
    let lb = Lb::start(&scene.yaml_of(&keys)).await;
    let _tunnel = Tunnel::open(&lb).await;
    let waits = async { ask(&lb).await };
    let comes = async {
        lb.metric_becomes("lb_upstream_queue_length", &[], 1.0).await;
        scene.publish_ready(&pods).await;
    };
    // Who waits finds a place at the pod that comes.
    let (answer, ()) = tokio::join!(waits, comes);
    assert_eq!(answer, (200, pods[1].name()));
    assert_eq!(pods[0].requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_pods_are_checked_first_and_start_slowly() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods[..1]).await;
    let check = "health_check: { path: /check, interval: 20ms, failing_interval: 20ms }";
    let lb = Lb::start(&scene.yaml(&format!("slow_start: 1h, {check}"))).await;
    let new = &pods[1];
    new.set_healthy(false);
    scene.publish_ready(&pods).await;
    endpoints_become(&lb, 2).await;
    assert_eq!(shares(&lb, &pods, 20).await, [20, 0], "Kubernetes says ready, our check does not");
    assert!(new.checks() > 0);
    new.set_healthy(true);
    let label = format!("endpoint=\"{}\"", new.address);
    lb.metric_becomes("lb_endpoint_healthy", &[&label], 1.0).await;
    let weight = lb.metric("lb_endpoint_weight", &[&label]).await;
    assert!((0.1..0.2).contains(&weight), "{weight}");
    let share = shares(&lb, &pods, 220).await[1];
    assert!((10..=40).contains(&share), "{share} of 220");
}
